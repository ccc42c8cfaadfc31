"""Explanation of a failed run: the failed nodes, their messages, sources and skipped nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from textwrap import indent
from typing import cast

from dlt_dbtcloud.artifacts.download import OUTAGE
from dlt_dbtcloud.artifacts.results import (
    FAILED,
    ReadRuns,
    leaves_results,
    message_of,
    step_results,
)
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import COOL_DOWN
from dlt_dbtcloud.dbt import (
    TESTS,
    Entry,
    FusionLog,
    Manifest,
    Result,
    Results,
    Unread,
    has_project_error,
    match_sources,
    sources_of,
)
from dlt_dbtcloud.exceptions import (
    DBTCloudException,
    DBTCloudRunCancelled,
    DBTCloudRunError,
    DBTCloudRunFailed,
    run_error,
)
from dlt_dbtcloud.loads import LastLoad, loaded_relations
from dlt_dbtcloud.payloads import failed_step, id_of, log_of, log_tail, run_name
from dlt_dbtcloud.redaction import Redact, first_lines, listed, redact
from dlt_dbtcloud.typing import NodeFailure, NodeResult, Run, RunStep

__all__ = [
    "MAX_FAILURES",
    "Postmortem",
    "advice",
    "describe_failures",
    "describe_nodes",
    "describe_step",
    "explain",
    "load_ids_of",
    "node_failure",
    "node_failures",
    "other_errors",
    "table_of",
    "without_token",
]


MAX_FAILURES = 20
_MAX_DESCRIBED = 10
_MAX_NAMES = 5
_MAX_MESSAGE_LINES = 30
_MAX_DESCRIBED_LINES = 6
_MAX_ERRORS = 5
# dbt Fusion's messages without content; the first is that of every node if dbt was stopped
_STOPPED = "Compilation Error"
_EMPTY = re.compile(rf"(?:{_STOPPED}|Error|Fail|Warn)?")


def explain(
    client: DBTCloudClientV2,
    run: Run,
    load: LastLoad | None = None,
    runs: ReadRuns | None = None,
) -> DBTCloudRunError:
    """Return the error of an unsuccessful run, with its cause if readable.

    Args:
        client: The client.
        run: The run.
        load: The load that the run is bound to.
        runs: The runs that are read already.
    """
    try:
        return Postmortem(client, run, runs).error(load)
    except Exception as error:  # noqa: BLE001, an error here must not hide the failure of the run
        known = run_error(run)
        if isinstance(known, DBTCloudRunCancelled):
            return known
        trouble = error if isinstance(error, DBTCloudException) else repr(error)
        return DBTCloudRunFailed(
            run, advice=f"Its steps and logs show the reason; they could not be read: {trouble}"
        )


class Postmortem:
    """Reads why a run ended without success, with as few requests as possible.

    The properties read artifacts, and raise the same errors.

    Args:
        client: The client.
        run: The run, when it has finished.
        runs: The runs that are read already.

    Raises:
        DBTCloudException: The run cannot be read.
    """

    def __init__(self, client: DBTCloudClientV2, run: Run, runs: ReadRuns | None = None) -> None:
        self._runs = runs or ReadRuns()
        self._client = client.patient(cool_down=COOL_DOWN)
        self.run = self._runs.run(self._client, id_of(run))
        patient = client.patient(OUTAGE, cool_down=COOL_DOWN)
        self._artifacts = self._runs.artifacts(patient, self.run)

    @property
    def step(self) -> RunStep | None:
        """The step that ended the run."""
        return failed_step(self.run)

    @property
    def results(self) -> list[NodeResult]:
        """The results of the nodes in that step; none if dbt wrote no results."""
        step = self.step
        return [*step_results(id_of(self.run), step, self._found, self.manifest)] if step else []

    @property
    def unread(self) -> tuple[Unread, ...]:
        """The results of that step that could not be read."""
        return self._found.unread

    @cached_property
    def _found(self) -> Results[Result]:
        step = self.step
        found = self._artifacts.read_results(step) if step and leaves_results(step) else None
        return found or Results()

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of that step; empty if it does not exist."""
        step = self.step
        found = self._artifacts.find_manifest(step.get("index")) if step else None
        return found or Manifest()

    def error(self, load: LastLoad | None = None) -> DBTCloudRunError:
        """Return the error that explains the end of the run.

        Args:
            load: The load that the run is bound to.

        Raises:
            DBTCloudException: The API returned an error or did not respond.
        """
        if isinstance(run_error(self.run), DBTCloudRunCancelled):
            return DBTCloudRunCancelled(self.run)
        results, manifest, client = self.results, self.manifest, self._client
        if all(_EMPTY.fullmatch(failed["message"] or "") for failed in _failed(results)):
            self._wait_for_log()
        log = FusionLog(log_of(self.step) if self.step else "")
        loads = load_ids_of(load, manifest)
        failures = node_failures(results, manifest, loads, client.redact, log)
        if any(failure["message"] for failure in failures):
            description = describe_nodes(self.run, results, failures)
            others = other_errors(results, manifest, log)
            if others:
                description += f"\nOther errors in its log:\n{_quoted(others, client.redact)}"
        else:
            description = describe_step(self.run, self.step, client.redact)
        if self.unread:
            parts = listed([str(part) for part in self.unread], _MAX_NAMES)
            description += f"\nResults that could not be read: {parts}."
        return DBTCloudRunFailed(
            self.run,
            client.without_token(description),
            [without_token(failure, client) for failure in failures[:MAX_FAILURES]],
            advice(client.call("retry_dbt_cloud_run", self.run["id"]), failures, self.step),
        )

    def _wait_for_log(self) -> None:
        """Read the run again while the log of its last step may still be uploaded."""
        pauses = self._artifacts.pauses()
        while self._has_no_log() and next(pauses, False) is None:
            self.run = self._runs.newest(self._client, id_of(self.run))

    def _has_no_log(self) -> bool:
        return self.step is not None and not self.step.get("logs")


def node_failures(
    results: Sequence[NodeResult],
    manifest: Manifest,
    load_ids: Mapping[str, str] | None = None,
    redact: Redact = redact,
    log: FusionLog | None = None,
) -> list[NodeFailure]:
    """Return the nodes that failed, in the order of dbt's results.

    dbt Fusion may report all nodes as failed if a connection fails, or with `--fail-fast`. In this
    case the nodes that failed are read from its log.

    Args:
        results: The results of the nodes in the failed step.
        manifest: The manifest of that step; without it, there is no lineage.
        load_ids: The id of the last load that filled a source, by the source's unique id.
        redact: Redacts a text.
        log: The log of that step.
    """
    log = log or FusionLog("")
    skipped = {each["unique_id"] for each in results if each["status"] == "skipped"}
    failed = _failed(results)
    if all(map(_was_stopped, failed)):
        named = [result for result in failed if log.about(_logged_node(result, manifest))]
        failed = named or ([] if log.errors else failed)
    return [
        node_failure(result, manifest, skipped, load_ids or {}, redact, log) for result in failed
    ]


def other_errors(results: Sequence[NodeResult], manifest: Manifest, log: FusionLog) -> list[str]:
    """Return the errors in the project because of which dbt Fusion ran no node.

    Those about a failed node are not among them.

    Args:
        results: The results of the nodes in the failed step.
        manifest: The manifest of that step.
        log: The log of that step.
    """
    failed = _failed(results)
    if not all(map(_was_stopped, failed)):
        return []
    known = {text for each in failed for text in log.about(_logged_node(each, manifest))}
    return [text for text in log.errors if has_project_error(text) and text not in known]


def describe_nodes(run: Run, results: Sequence[NodeResult], failures: Sequence[NodeFailure]) -> str:
    """Describe a run in which nodes failed.

    Args:
        run: The run, with its job.
        results: The results of the nodes in the failed step.
        failures: Its failures, as `node_failures` returns them.
    """
    warned = [result for result in results if result["status"] == "warn"]
    tests = [result["name"] for result in warned if result["resource_type"] in TESTS]
    others = [result["name"] for result in warned if result["resource_type"] not in TESTS]
    return "\n".join(
        [
            f"{len(failures)} of {_count(len(results), 'node')} failed in {run_name(run, 'run')}: "
            f"{_summary(results, failures)}.",
            *describe_failures(failures),
            *(
                [f"Of the tests, {len(tests)} only warned: {listed(tests, _MAX_NAMES)}."]
                if tests
                else ()
            ),
            *([f"Built with warnings: {listed(others, _MAX_NAMES)}."] if others else ()),
        ]
    )


def describe_failures(failures: Sequence[NodeFailure]) -> list[str]:
    """Describe the first ten of some failures, one text each."""
    more = len(failures) - _MAX_DESCRIBED
    texts = [_entry(i, failure) for i, failure in enumerate(failures[:_MAX_DESCRIBED], start=1)]
    return [*texts, f"     ... and {more} more"] if more > 0 else texts


def describe_step(run: Run, step: RunStep | None, redact: Redact = redact) -> str:
    """Describe a run that failed without a failed node, by its step and log.

    Args:
        run: The run, with its job.
        step: The step that ended the run, or None if no step had started.
        redact: Redacts a text.
    """
    if step is None:
        reason = redact(run.get("status_message") or "")
        return f"{run_name(run)} failed before its first step{f': {reason}' if reason else '.'}"
    name = redact(step.get("name") or "").strip()
    failed = f"{run_name(run)} failed in step {step.get('index')}, {name};"
    errors = FusionLog(log_of(step)).errors
    if errors:
        return f"{failed} its errors:\n{_quoted(errors, redact)}"
    log = log_tail(step, redact)
    end = f"the end of its log:\n{indent(log, '     ')}" if log else "it has no log."
    return f"{failed} {end}"


def advice(retry: str, failures: Sequence[NodeFailure], step: RunStep | None) -> str:
    """Return the next step, and whether a retry is unlikely to help.

    Args:
        retry: The call that retries the run.
        failures: The nodes that failed.
        step: The step that failed.
    """
    texts = [failure["message"] or "" for failure in failures] or [log_of(step) if step else ""]
    if any(text != _STOPPED and has_project_error(text) for text in texts):
        return f"Fix the project first; then {retry} resumes from the failure."
    if any(failure["status"] == "fail" for failure in failures):
        return (
            "A test failed, so a retry is unlikely to help until the data change. "
            f"Then {retry} runs only the nodes that failed or were skipped."
        )
    return f"{retry} runs only the nodes and steps that failed, were skipped or never began."


def _quoted(errors: Sequence[str], redact: Redact) -> str:
    texts = [first_lines(redact(error), _MAX_MESSAGE_LINES) for error in errors[:_MAX_ERRORS]]
    more = len(errors) - len(texts)
    texts += [f"... and {more} more"] if more else []
    return "\n".join(indent(text, "     ") for text in texts)


def load_ids_of(load: LastLoad | None, manifest: Manifest) -> dict[str, str]:
    """Return the id of a load for each source that it filled."""
    if load is None or load.pipeline is None or not manifest:
        return {}
    filled = match_sources(loaded_relations(load.pipeline), manifest).sources
    return dict.fromkeys(filled, load.load_id)


def without_token(failure: NodeFailure, client: DBTCloudClientV2) -> NodeFailure:
    """Return a failure without the token of a client in its texts."""
    texts = {name: text for name, text in failure.items() if isinstance(text, str)}
    redacted = {name: client.without_token(text) for name, text in texts.items()}
    return cast(NodeFailure, {**failure, **redacted})


def node_failure(
    result: NodeResult,
    manifest: Manifest,
    skipped: set[str],
    load_ids: Mapping[str, str],
    redact: Redact,
    log: FusionLog,
) -> NodeFailure:
    """Return a node that failed or warned, with its consequences.

    Args:
        result: The result of the node.
        manifest: The manifest of its step; without it, there is no lineage.
        skipped: The unique ids of the nodes that were skipped in this step.
        load_ids: The id of the last load that filled a source, by the source's unique id.
        redact: Redacts a text.
        log: The log of that step.
    """
    unique_id, message = result["unique_id"], _message(result, manifest, log)
    sources = sources_of(manifest, unique_id) if manifest else []
    blocked = manifest.blocked_by(unique_id) if manifest else set()
    return NodeFailure(
        unique_id=unique_id,
        name=result["name"],
        resource_type=result["resource_type"],
        status=result["status"],
        message=first_lines(redact(message), _MAX_MESSAGE_LINES) if message else None,
        path=result["path"],
        relation_name=result["relation_name"],
        step_index=result["step_index"],
        command=redact(result["command"]),
        skipped=len(skipped & blocked),
        tables=sorted(table_of(manifest, source) for source in sources),
        load_id=max((load_ids[source] for source in sources if source in load_ids), default=None),
    )


def _failed(results: Sequence[NodeResult]) -> list[NodeResult]:
    return [result for result in results if result["status"] in FAILED]


def _was_stopped(result: NodeResult) -> bool:
    """Return whether dbt Fusion did not run a node, or lost its outcome."""
    return result["message"] == _STOPPED and not result["execution_time"]


def _message(result: NodeResult, manifest: Manifest, log: FusionLog) -> str | None:
    """Return the message of a node, or its failure count or log lines."""
    message = message_of(result, manifest)
    if not _EMPTY.fullmatch(message or ""):
        return message
    logged = log.about(_logged_node(result, manifest))[:_MAX_ERRORS]
    return "\n".join(logged) or message


def _logged_node(result: NodeResult, manifest: Manifest) -> Entry:
    entry = manifest.entry(result["unique_id"])
    return Entry(
        name=result["name"],
        resource_type=result["resource_type"],
        original_file_path=result["path"],
        schema=entry.schema,
        alias=entry.alias,
    )


def table_of(manifest: Manifest, source: str) -> str:
    """Return the table of a source, as `schema.table`."""
    node = manifest.entry(source)
    name = node.identifier or node.name or source
    return f"{node.schema}.{name}" if node.schema else name


def _summary(results: Sequence[NodeResult], failures: Sequence[NodeFailure]) -> str:
    tests = sum(failure["status"] == "fail" for failure in failures)
    skipped = sum(result["status"] == "skipped" for result in results)
    counts = (
        _count(len(failures) - tests, "error"),
        _count(tests, "failed test"),
        f"{skipped} skipped",
    )
    return ", ".join(count for count in counts if not count.startswith("0 "))


def _entry(number: int, failure: NodeFailure) -> str:
    path = f" ({failure['path']})" if failure["path"] else ""
    status = "failed" if failure["status"] == "fail" else failure["status"]
    first, *more = [f"{failure['unique_id']}{path}: {status}", *_details(failure)]
    return "\n".join([f"{number:3}. {first}", *(indent(text, "     ") for text in more)])


def _details(failure: NodeFailure) -> Iterator[str]:
    if failure["message"]:
        yield indent(first_lines(failure["message"], _MAX_DESCRIBED_LINES), "  ")
    if failure["status"] == "fail" and failure["relation_name"]:
        yield f"The rows that failed are in {failure['relation_name']}."
    if failure["skipped"]:
        yield f"Skipped because of it: {_count(failure['skipped'], 'node')}."
    if failure["tables"]:
        load = f", last by load {failure['load_id']}" if failure["load_id"] else ""
        yield f"It is fed by {listed(failure['tables'], _MAX_NAMES)}{load}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
