"""A dbt project with two models and a test, on DuckDB."""

from __future__ import annotations

from pathlib import Path

DBT_PROJECT = """
name: tiny
version: "1.0"
profile: tiny
model-paths: [models]
models:
  tiny:
    +materialized: table
"""
PROFILES = """
tiny:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: tiny.duckdb
      schema: main
      threads: 1
    prod:
      type: duckdb
      path: prod.duckdb
      schema: main
"""
MODELS = {
    "numbers.sql": "select 1 as id, '{{ target.name }}' as target, {{ target.threads }} as threads",
    "doubled.sql": "select 2 * id as id from {{ ref('numbers') }}",
    "schema.yml": """
models:
  - name: numbers
    columns:
      - name: id
        data_tests: [not_null]
""",
}


def write_tiny(folder: Path) -> Path:
    """Write the project to a folder and return the folder."""
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(DBT_PROJECT)
    (folder / "profiles.yml").write_text(PROFILES)
    for name, text in MODELS.items():
        (folder / "models" / name).write_text(text)
    return folder
