"""Tables of a pipeline are compared with the sources of a project."""

from __future__ import annotations

from typing import Any

from dlt_dbtcloud.check.sources import source_findings
from dlt_dbtcloud.typing import Finding
from dlt_dbtcloud.values import Relation
from tests.support.dbt.manifests import manifest_of, source_entry


def findings(tables: list[str], *sources: dict[str, Any]) -> dict[str, Finding]:
    relations = [Relation(name, "raw", table=name) for name in tables]
    found = [*source_findings(relations, manifest_of(*sources))]
    return {finding["check"]: finding for finding in found}


def test_tables_with_sources_are_listed() -> None:
    found = findings(["orders", "users"], source_entry("orders"), source_entry("users"))
    assert [*found] == ["sources"]
    assert found["sources"]["message"] == (
        "The pipeline loads the sources `raw.orders`, `raw.users`."
    )


def test_tables_without_a_source_are_to_be_declared() -> None:
    entry = source_entry("orders", original_file_path="models/raw.yml")
    found = findings(["orders", "users"], entry)
    assert found["tables"]["message"] == "Loaded tables have no source: `users`."
    assert found["tables"]["fix"] == (
        "add `- name: users` under `tables:` of source `raw` in `models/raw.yml`"
    )


def test_a_project_without_sources_gets_a_whole_declaration() -> None:
    found = findings(["orders", "users"])
    assert [*found] == ["tables"]
    assert found["tables"]["fix"] == (
        "declare `sources: [{name: raw, schema: raw, tables: [{name: orders}, {name: users}]}]`"
    )


def test_a_misplaced_table_shows_the_line_to_change() -> None:
    found = findings(["orders"], source_entry("orders", schema="landing"))
    assert "`raw.orders` was loaded, but the project has" in found["tables"]["message"]
    assert str(found["tables"]["fix"]).startswith("set `schema: raw` of source `raw.orders` in")
    assert "unloaded" not in found


def test_sources_that_the_pipeline_does_not_load_are_not_a_problem() -> None:
    found = findings(
        ["orders"],
        source_entry("orders"),
        source_entry("weather"),
        source_entry("off", config={"enabled": False}),
    )
    assert found["unloaded"]["ok"]
    assert found["unloaded"]["message"] == "The pipeline does not load the sources `raw.weather`."
