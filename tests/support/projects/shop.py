"""A dbt project and a package with many names that are easily confused."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

LONG = [10**8 + number for number in range(12)]
FILES = {
    "dbt_project.yml": """
name: shop
version: "1.0"
profile: shop
models:
  shop:
    +materialized: view
  shared:
    +schema: shared
snapshots:
  shop:
    +strategy: check
    +unique_key: id
    +check_cols: all
flags:
  # as before dbt 1.10
  require_resource_names_without_spaces: false
  # as since dbt 1.11
  require_generic_test_arguments_property: true
""",
    "profiles.yml": """
shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: shop.duckdb, schema: main, threads: 1}
""",
    "packages.yml": "packages: [{local: packages/shared}]",
    "packages/shared/dbt_project.yml": "name: shared\nversion: '1.0'",
    # the same path behind the package's name, and the same name
    "packages/shared/models/same.sql": "select 1 as id",
    "packages/shared/models/orders.sql": "select * from {{ ref('same') }}",
    "models/shared/same.sql": "select 2 as id",
    # a model beside a folder of its name
    "models/orders.sql": (
        "{{ config(tags='nightly') }} select id from {{ source('raw', 'orders') }}"
    ),
    "models/orders/daily.sql": "select id from {{ ref('shop', 'orders') }}",
    "models/orders/owned.sql": (
        "{{ config(tags='nightly') }} select o.id from {{ ref('shop', 'orders') }} o "
        "join {{ ref('users') }} u using (id)"
    ),
    "models/orders/off.sql": "{{ config(enabled=false) }} select 1 as id",
    "models/users.sql": "{{ config(tags='nightly') }} select id from {{ source('raw', 'users') }}",
    "models/counted.sql": "select count(*) as n from {{ ref('users') }}, {{ ref('names') }}",
    "models/still.sql": "{{ config(tags='nightly') }} select 1 as id",
    # version 2 of `priced` beside a model `v2` in a folder `priced`
    "models/priced_v1.sql": "select 1 as id",
    "models/priced_v2.sql": "select id from {{ ref('shop', 'orders') }}",
    "models/priced/v2.sql": "select 1 as id",
    "models/priced.dotted.sql": "select 1 as id",
    "models/schema.yml": f"""
sources:
  - name: raw
    schema: raw
    tables:
      - name: orders
        columns: [{{name: id, data_tests: [not_null]}}]
      - name: users
      - name: idle
exposures:
  - name: orders
    type: dashboard
    owner: {{name: x}}
    depends_on: ["ref('shop', 'orders')"]
models:
  - name: orders
    columns:
      - name: id
        data_tests:
          - not_null
          - accepted_values:
              arguments: {{values: {json.dumps(LONG)}, quote: false}}
              config: {{severity: warn}}
          - relationships:
              arguments: {{to: "ref('users')", field: id}}
          - unique: {{name: "orders"}}
  - name: priced
    latest_version: 2
    columns: [{{name: id, data_tests: [not_null]}}]
    versions: [{{v: 1}}, {{v: 2}}]
unit_tests:
  - name: counts
    model: counted
    given:
      - {{input: "ref('users')", rows: [{{id: 1}}]}}
      - {{input: "ref('names')", rows: [{{id: 1}}]}}
    expect: {{rows: [{{n: 1}}]}}
  - name: counts
    model: users
    given: [{{input: "source('raw', 'users')", rows: [{{id: 1}}]}}]
    expect: {{rows: [{{id: 1}}]}}
  - name: prices
    model: priced
    versions: {{include: [2]}}
    given: [{{input: "ref('shop', 'orders')", rows: [{{id: 1}}]}}]
    expect: {{rows: [{{id: 1}}]}}
""",
    "models/orders/schema.yml": """
models:
  - name: daily
    columns:
      - name: id
        data_tests:
          - unique: {name: "orders"}
          - not_null: {name: "every [order] has an id, *always*"}
          - not_null: {name: "every [order] has an id, or else+1", config: {severity: warn}}
""",
    "seeds/names.csv": "id,name\n1,one\n",
    "seeds/seeds.yml": "seeds: [{name: names, columns: [{name: id, data_tests: [unique]}]}]",
    "snapshots/orders.sql": """
{% snapshot orders_then %}select id from {{ ref('shop', 'orders') }}{% endsnapshot %}
{% snapshot users_then %}select id from {{ ref('users') }}{% endsnapshot %}
""",
    "snapshots/more.yml": """snapshots: [{name: daily_then, relation: "ref('daily')"}]""",
    "analyses/orders.sql": "select 1",
    # a test of a model's name, with two parents
    "tests/orders.sql": "select 1 from {{ ref('users') }}, {{ ref('daily') }} where false",
    "macros/noop.sql": "{% macro noop() %}{% endmacro %}",
    "selectors.yml": """
selectors:
  - {name: nightly, definition: {method: tag, value: nightly}}
  - {name: usual, default: true, definition: {method: fqn, value: users}}
""",
}


def write_shop(folder: Path, *, has_default: bool = False) -> Path:
    """Write the project and its source tables; `dbt deps` installs its package."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if not has_default:
        text = FILES["selectors.yml"].replace("default: true, ", "")
        (folder / "selectors.yml").write_text(text)
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        connection.execute("create schema raw")
        for table in ("orders", "users", "idle"):
            connection.execute(f"create table raw.{table} as select 1 as id")
    return folder
