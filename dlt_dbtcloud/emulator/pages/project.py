"""The nodes and executions in artifacts, as far as a page shows them.

The artifacts of scripted runs may be anything, so a value of another type is left out.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from datetime import datetime, timezone
from typing import Any

from dlt_dbtcloud.report import Column, Execution, Freshness, Node, limits_text

__all__ = ["decode", "executions_of", "freshness_of", "nodes_of", "seconds_of"]


_SECTIONS = (
    *("nodes", "sources", "exposures", "metrics", "semantic_models"),
    *("saved_queries", "unit_tests", "functions"),
)


def decode(content: bytes) -> dict[str, Any]:
    """Return a JSON object; an empty one for any other content."""
    try:
        return _object(json.loads(content))
    except (ValueError, RecursionError):
        return {}


def nodes_of(manifest: dict[str, Any], code: dict[str, str]) -> tuple[Node, ...]:
    """Return the nodes of a manifest.

    Args:
        manifest: The manifest.
        code: The compiled code of nodes by their ids, which results have as well.
    """
    return tuple(
        _node(key, _object(entry), code)
        for section in _SECTIONS
        for key, entry in _object(manifest.get(section)).items()
    )


def code_of(results: dict[str, Any]) -> dict[str, str]:
    """Return the compiled code in results, by the ids of nodes."""
    found = (
        (_text(each.get("unique_id")), _text(each.get("compiled_code")))
        for each in _results(results)
    )
    return {key: code for key, code in found if key and code}


def executions_of(
    results: dict[str, Any], step: int, ephemeral: Container[str] = ()
) -> Iterator[Execution]:
    """Yield the executions in a `run_results.json`.

    Args:
        results: The results.
        step: The index of the step.
        ephemeral: The ids of ephemeral nodes, which dbt Fusion calls skipped.
    """
    for each in _results(results):
        unique_id, status = _text(each.get("unique_id")), _text(each.get("status"))
        if not unique_id or not status:
            continue
        timing = each.get("timing")
        begins = [
            seconds_of(phase.get("started_at"))
            for phase in (timing if isinstance(timing, list) else ())
            if isinstance(phase, dict)
        ]
        rows = _number(_object(each.get("adapter_response")).get("rows_affected"))
        failures = _number(each.get("failures"))
        yield Execution(
            unique_id=unique_id,
            step=step,
            status="no-op" if status == "skipped" and unique_id in ephemeral else status,
            message=_text(each.get("message")),
            started_at=min((time for time in begins if time is not None), default=None),
            seconds=_number(each.get("execution_time")) or 0.0,
            thread=_text(each.get("thread_id")),
            failures=None if failures is None else int(failures),
            rows=None if rows is None else int(rows),
        )


def freshness_of(sources: dict[str, Any]) -> Iterator[Freshness]:
    """Yield the freshness of sources in a `sources.json`."""
    for each in _results(sources):
        unique_id, status = _text(each.get("unique_id")), _text(each.get("status"))
        if unique_id and status:
            yield Freshness(
                unique_id=unique_id,
                status=status,
                loaded_at=_text(each.get("max_loaded_at")),
                age=_number(each.get("max_loaded_at_time_ago_in_s")),
                criteria=limits_text(each.get("criteria")),
                error=_text(each.get("error")),
            )


def seconds_of(time: object) -> float | None:
    """Return an ISO 8601 time in seconds since 1970; None if it is none."""
    if not isinstance(time, str):
        return None
    head, _, fraction = time.replace("Z", "+00:00").partition(".")
    digits = fraction.split("+")[0][:6].ljust(6, "0")
    zone = "+00:00" if "+" not in fraction else "+" + fraction.split("+")[1]
    try:
        moment = datetime.fromisoformat(f"{head}.{digits}{zone}" if fraction else head)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _node(key: str, entry: dict[str, Any], code: dict[str, str]) -> Node:
    path = _text(entry.get("original_file_path"))
    source = _text(entry.get("source_name"))
    folder = f"source {source}" if source else (path.rpartition("/")[0] or ".") if path else None
    config = _object(entry.get("config"))
    name, version = _text(entry.get("name")), entry.get("version")
    parents = _texts(_object(entry.get("depends_on")).get("nodes"))
    attached = _text(entry.get("attached_node"))
    return Node(
        unique_id=key,
        # as dbt calls a version of a model
        name=f"{name}.v{version}" if name and version else name or key,
        resource_type=_text(entry.get("resource_type")) or key.partition(".")[0],
        package=_text(entry.get("package_name")),
        path=path,
        folder=folder,
        parents=parents or ((attached,) if attached else ()),
        description=_text(entry.get("description")),
        relation=_text(entry.get("relation_name")),
        materialized=_text(config.get("materialized")),
        columns=tuple(
            Column(
                _text(_object(column).get("name")) or name,
                _text(_object(column).get("data_type")),
                _text(_object(column).get("description")),
            )
            for name, column in _object(entry.get("columns")).items()
        ),
        code=code.get(key) or _text(entry.get("compiled_code")),
        owners=_texts(_object(entry.get("meta")).get("owner")),
        tags=_texts(entry.get("tags")),
    )


def _results(artifact: dict[str, Any]) -> list[dict[str, Any]]:
    results = artifact.get("results")
    return [each for each in results if isinstance(each, dict)] if isinstance(results, list) else []


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(each for each in values if isinstance(each, str) and each)


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 2**63 else None  # type: ignore[arg-type]  # checked
