"""A dbt project with sources of odd names, of which some feed no models."""

from __future__ import annotations

import json
from pathlib import Path

ODD_NAMES = ["or.ders", "or ders", "orders*", "order[s]", "order?", "a+1", "it's", "orders"]
_SOURCES = """
sources:
  - name: landing
    schema: raw
    tables:
      - name: sales
        identifier: orders
        columns: [{name: id, data_tests: [not_null]}]
      - name: refunds
      - name: only_read
  - name: odd
    schema: raw
    tables:
"""
_SNAPSHOTS = """
snapshots:
  - name: history
    relation: source('landing', 'refunds')
    config: {unique_key: id, strategy: check, check_cols: all}
unit_tests:
  - name: sums
    model: totals
    given: [{input: ref('passed_on'), rows: [{id: 1}]}]
    expect: {rows: [{id: 1}]}
exposures:
  - name: board
    type: dashboard
    owner: {name: Sales, email: sales@example.com}
    depends_on: ["source('landing', 'only_read')"]
"""
_FILES = {
    "profiles.yml": (
        "shop: {target: dev, outputs: {dev: {type: duckdb, path: shop.duckdb, schema: main}}}\n"
    ),
    "dbt_project.yml": ("name: shop\nprofile: shop\nflags: {send_anonymous_usage_stats: false}\n"),
    "models/sources.yml": (
        _SOURCES
        + "".join(f"      - {{name: {json.dumps(name)}}}\n" for name in ODD_NAMES)
        + _SNAPSHOTS
    ),
    "models/passed_on.sql": "{{ config(materialized='ephemeral') }}"
    "select id from {{ source('landing', 'sales') }}",
    "models/totals.sql": "select sum(id) as id from {{ ref('passed_on') }}",
    **{
        f"models/odd_{number}.sql": f"select * from {{{{ source('odd', {json.dumps(name)}) }}}}"
        for number, name in enumerate(ODD_NAMES)
    },
    "dbt_packages/billing/dbt_project.yml": "name: billing\nmodels: {+materialized: view}\n",
    "dbt_packages/billing/models/sources.yml": (
        "sources: [{name: landing, schema: bills, tables: [{name: sales}, {name: fees}]}]\n"
    ),
    "dbt_packages/billing/models/bills.sql": "select * from {{ source('landing', 'sales') }}",
    "dbt_packages/billing/models/fees.sql": "select * from {{ source('landing', 'fees') }}",
}


def write_landing(folder: Path) -> Path:
    """Write the project to a folder and return the folder."""
    for path, text in _FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder
