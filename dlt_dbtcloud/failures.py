"""What is said of a failure: which nodes failed, why, what feeds them and what waits for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import indent
from typing import Any

from dlt_dbtcloud.graph import descendants, find_node
from dlt_dbtcloud.naming import run_name
from dlt_dbtcloud.quoting import head, without_secrets
from dlt_dbtcloud.results import FAILED
from dlt_dbtcloud.sources import fed_by
from dlt_dbtcloud.steps import log_of, log_tail
from dlt_dbtcloud.typing import NodeFailure, NodeResult, Run, RunStep

__all__ = ["advice", "describe_nodes", "describe_step", "node_failures"]

_SHOWN = 10
_LISTED = 5
_MESSAGE_LINES = 6
_KEPT_LINES = 30
_DOES_NOT_COMPILE = re.compile(r"\b(Compilation|Parsing) Error\b")


def node_failures(
    results: Sequence[NodeResult],
    manifest: Mapping[str, Any],
    loads: Mapping[str, str] | None = None,
) -> list[NodeFailure]:
    """Return the nodes that failed, in the order in which dbt reports them.

    Args:
        results: What each node did in the step that failed.
        manifest: The step's `manifest.json`; without its graph nothing is said of what feeds whom.
        loads: The id of the load that filled a source last, by the source's unique id.
    """
    skipped = {each["unique_id"] for each in results if each["status"] == "skipped"}
    return [
        _failure(result, manifest, skipped, loads or {})
        for result in results
        if result["status"] in FAILED
    ]


def _failure(
    result: NodeResult,
    manifest: Mapping[str, Any],
    skipped: set[str],
    loads: Mapping[str, str],
) -> NodeFailure:
    unique_id = result["unique_id"]
    sources = fed_by(manifest, unique_id) if manifest else []
    return NodeFailure(
        unique_id=unique_id,
        name=result["name"],
        resource_type=result["resource_type"],
        status=result["status"],
        message=_quoted(result["message"]),
        path=result["path"],
        relation_name=result["relation_name"],
        step_index=result["step_index"],
        command=without_secrets(result["command"]),
        skipped=len(skipped & descendants(manifest, [unique_id])),
        tables=sorted(_table(manifest, source) for source in sources),
        load_id=max((loads[source] for source in sources if source in loads), default=None),
    )


def _quoted(message: str | None) -> str | None:
    return without_secrets(head(str(message), _KEPT_LINES)) if message else None


def _table(manifest: Mapping[str, Any], source: str) -> str:
    node = find_node(manifest, source)
    name = node.get("identifier") or node.get("name") or source
    return f"{node['schema']}.{name}" if node.get("schema") else str(name)


def describe_nodes(run: Run, results: Sequence[NodeResult], failures: Sequence[NodeFailure]) -> str:
    """Tell of a run in which nodes failed.

    Args:
        run: The run, with its job.
        results: What each node did in the step that failed.
        failures: What `node_failures` says of them.
    """
    warned = [result["name"] for result in results if result["status"] == "warn"]
    hidden = len(failures) - _SHOWN
    return "\n".join(
        [
            f"{len(failures)} of {_count(len(results), 'node')} failed in {run_name(run, 'run')}: "
            f"{_summary(results, failures)}.",
            *(_entry(i, failure) for i, failure in enumerate(failures[:_SHOWN], start=1)),
            *([f"     ... and {hidden} more"] if hidden > 0 else ()),
            *([f"Of the tests, {len(warned)} only warned: {_listed(warned)}."] if warned else ()),
        ]
    )


def describe_step(run: Run, step: RunStep | None, hide: Callable[[str], str] = str) -> str:
    """Tell of a run that failed where no node did: the step, and the end of its log.

    Args:
        run: The run, with its job.
        step: The step that ended it, or None where none had begun.
        hide: Cuts the API's token out of a text.
    """
    if step is None:
        said = without_secrets(run.get("status_message") or "")
        return f"{run_name(run)} failed before its first step{f': {said}' if said else '.'}"
    place = f"in step {step.get('index')}, {without_secrets(step.get('name') or '').strip()}"
    log = log_tail(step, hide)
    end = f"the end of its log:\n{indent(log, '     ')}" if log else "it has no log."
    return f"{run_name(run)} failed {place}; {end}"


def advice(run: Run, failures: Sequence[NodeFailure], step: RunStep | None) -> str:
    """Say what to do next, and where to do the same again is unlikely to help."""
    retry = f"`retry_dbt_cloud_run(run_id={run['id']})`"
    said = [failure["message"] or "" for failure in failures] or [log_of(step) if step else ""]
    if any(map(_DOES_NOT_COMPILE.search, said)):
        return f"A retry is unlikely to help before the project is mended; then {retry} goes on."
    if any(failure["status"] == "fail" for failure in failures):
        return (
            "A retry is unlikely to help while the data are the same, as a test failed. When they "
            f"are mended, {retry} runs just what failed and what was skipped."
        )
    return f"{retry} runs just what failed and what was skipped or never began."


def _entry(number: int, failure: NodeFailure) -> str:
    path = f" ({failure['path']})" if failure["path"] else ""
    verdict = "failed" if failure["status"] == "fail" else failure["status"]
    first, *more = [f"{failure['unique_id']}{path}: {verdict}", *_details(failure)]
    return "\n".join([f"{number:3}. {first}", *(indent(text, "     ") for text in more)])


def _details(failure: NodeFailure) -> Iterator[str]:
    if failure["message"]:
        yield indent(head(failure["message"], _MESSAGE_LINES), "  ")
    if failure["status"] == "fail" and failure["relation_name"]:
        yield f"The rows that failed are in {failure['relation_name']}."
    if failure["skipped"]:
        yield f"Skipped because of it: {_count(failure['skipped'], 'node')}."
    if failure["tables"]:
        load = f", last by load {failure['load_id']}" if failure["load_id"] else ""
        yield f"It is fed by {_listed(failure['tables'])}{load}."


def _summary(results: Sequence[NodeResult], failures: Sequence[NodeFailure]) -> str:
    tests = sum(failure["status"] == "fail" for failure in failures)
    skipped = sum(result["status"] == "skipped" for result in results)
    told = (
        _count(len(failures) - tests, "error"),
        _count(tests, "failed test"),
        f"{skipped} skipped",
    )
    return ", ".join(words for words in told if not words.startswith("0 "))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
