"""What in dbt's artifacts is of another shape than dbt writes, so that it counts as not told.

Artifacts: https://docs.getdbt.com/reference/artifacts/dbt-artifacts
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dlt_dbtcloud.guards import as_mapping, dicts, integer, number, text

__all__ = ["odd_in_results", "odd_in_sources", "odd_sections"]

_Types = Mapping[str, Callable[[object], object]]

_OF_EACH = ("unique_id", "status")
_RESULT: _Types = {
    "execution_time": number,
    "failures": integer,
    "message": text,
    "relation_name": text,
    "rows_affected": integer,
    "thread_id": text,
}
_FRESHNESS: _Types = {
    "execution_time": number,
    "max_loaded_at": text,
    "max_loaded_at_time_ago_in_s": number,
    "snapshotted_at": text,
}
_SECTIONS = ("nodes", "sources", "exposures", "unit_tests")


def odd_in_results(run_results: Mapping[str, Any]) -> list[str]:
    """Return the fields of a `run_results.json` that say something of another type than dbt's."""
    flat = [
        {**each, "rows_affected": as_mapping(each.get("adapter_response")).get("rows_affected")}
        for each in dicts(run_results.get("results"))
    ]
    return _odd_fields(run_results, flat, _RESULT)


def odd_in_sources(sources: Mapping[str, Any]) -> list[str]:
    """Return the fields of a `sources.json` that say something of another type than dbt's."""
    return _odd_fields(sources, dicts(sources.get("results")), _FRESHNESS)


def odd_sections(artifact: Mapping[str, Any]) -> list[str]:
    """Return the sections of a manifest or catalog that are no objects by their ids."""
    return [name for name in _SECTIONS if not _holds_objects(artifact.get(name))]


def _odd_fields(
    artifact: Mapping[str, Any], told: list[dict[str, Any]], types: _Types
) -> list[str]:
    results = artifact.get("results")
    if not isinstance(results, list) or len(told) < len(results):
        return ["results"]
    lacking = [name for name in _OF_EACH if not all(text(each.get(name)) for each in told)]
    odd = [
        name
        for name, read in types.items()
        if any(each.get(name) is not None and read(each[name]) is None for each in told)
    ]
    return [*lacking, *odd]


def _holds_objects(section: object) -> bool:
    if section is None:
        return True
    return isinstance(section, dict) and all(isinstance(each, dict) for each in section.values())
