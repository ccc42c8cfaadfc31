"""dbt Fusion as `make fusion` installs it, databases that it can read, and its recorded runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

__all__ = ["PROGRAM", "SCENARIOS", "Scenario", "create_database"]


PROGRAM = Path(__file__).parents[3] / ".venv-fusion" / "dbt"


def create_database(path: str) -> None:
    """Create a DuckDB file that any DuckDB can read; by default only 2.0 and newer could."""
    duckdb.connect(path, config={"storage_compatibility_version": "v1.0.0"}).close()


@dataclass(frozen=True)
class Scenario:
    """A run of the orchard, with other files in the project.

    Args:
        steps: The commands.
        files: Further files of the project, or other contents of its own.
        ending: A text in the log, if dbt ends one way or the other each time.
    """

    steps: list[str]
    files: Mapping[str, str] = field(default_factory=dict)
    ending: str | None = None


_GOOD = "--exclude broken+ accepted_values_sorts_colour__green"
_FAIL_FAST = "dbt build --fail-fast --select sorts prices.v1"
SCENARIOS: Mapping[str, Scenario] = {
    "built": Scenario([f"dbt build {_GOOD} --write-catalog", "dbt docs generate"]),
    # a model and a test fail, a test warns, and nodes are skipped because of both failures
    "failures": Scenario(["dbt build"]),
    "fail_fast": Scenario([_FAIL_FAST], ending="Finished 'build' with 1 error"),
    # all nodes are reported as errors, the successful ones too
    "fail_fast_cancelled": Scenario([_FAIL_FAST], ending="Operation cancelled"),
    "unknown_ref": Scenario(
        [f"dbt build {_GOOD}"], {"models/bad.sql": "select * from {{ ref('no_such_model') }}"}
    ),
    "broken_yaml": Scenario([f"dbt build {_GOOD}"], {"models/schema.yml": "sources: [raw\n"}),
    "jinja_error": Scenario([f"dbt build {_GOOD}"], {"models/bad.sql": "select {% if %}"}),
    "no_database": Scenario([f"dbt build {_GOOD}"], {"orchard.duckdb": "This is no database."}),
    "stale_source": Scenario(
        ["dbt source freshness", "dbt run --select juice"],
        {
            "models/freshness.yml": """
sources:
  - name: stock
    schema: raw
    tables:
      - name: harvest_2025
        config:
          loaded_at_field: "timestamp '2025-10-01 06:00:00'"
          freshness: {error_after: {count: 1, period: day}}
"""
        },
    ),
}
