"""A pipeline with names and texts that dbt might misread, and a dbt project of its tables."""

from __future__ import annotations

from pathlib import Path

import dlt

from dlt_dbtcloud import dbt_sources
from dlt_dbtcloud.declarations import sources_yaml
from tests.support.loading.loads import source_of
from tests.support.projects.fusion import create_database
from tests.support.projects.tiny import DBT_PROJECT

__all__ = ["DESCRIPTION", "load_odd_names", "write_project"]


DESCRIPTION = "Not {{ jinja }}, {% raw %} nor {% endraw %} {# a comment #}: 'no', and\n- more"
PROFILES = """
tiny:
  target: dev
  outputs: {dev: {type: duckdb, path: "PATH", schema: marts, threads: 1}}
"""
# where a user sets the thresholds, as the YAML is written again
THRESHOLDS = """
sources:
  tiny:
    +freshness: {warn_after: {count: 1, period: day}}
"""
MODEL = """
select "Unit price", "order" from {{ source("shop", "Order_Lines") }}
union all select 1, value from {{ source("shop", "Order_Lines_tags") }}
"""


def load_odd_names(folder: Path) -> dlt.Pipeline:
    """Load two dlt sources into a file that dbt Fusion can read, too."""
    lines = dlt.resource(
        [{"Unit price": 1.5, "order": "a", "tags": ["x"]}],
        name="Order Lines",
        columns={"order": {"description": DESCRIPTION}},
    )
    lines.apply_hints(additional_table_hints={"description": DESCRIPTION})
    users = dlt.resource([{"id": 1}], name="users")
    database = str(folder / "landing.duckdb")
    create_database(database)
    destination = dlt.destinations.duckdb(database, naming_convention="direct")
    pipeline = dlt.pipeline("shop", destination=destination, dataset_name="Raw Data")
    pipeline.run([source_of("shop", lines), source_of("crm", users)])
    return pipeline


def write_project(pipeline: dlt.Pipeline, folder: Path) -> Path:
    """Write a dbt project with the sources of a pipeline, and return its folder."""
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(DBT_PROJECT + THRESHOLDS)
    database = str(folder.parent / "landing.duckdb")
    (folder / "profiles.yml").write_text(PROFILES.replace("PATH", database))
    (folder / "models" / "sources.yml").write_text(sources_yaml(dbt_sources(pipeline)))
    (folder / "models" / "prices.sql").write_text(MODEL)
    return folder
