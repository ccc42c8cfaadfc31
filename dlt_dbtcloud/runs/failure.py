"""What is said of a failure: which nodes failed, why, what feeds them and what waits for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from textwrap import indent
from typing import cast

from dlt_dbtcloud.artifacts.download import OUTAGE, RunArtifacts
from dlt_dbtcloud.artifacts.results import FAILED, leaves_results, step_results
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.dbt import Manifest, match_sources, sources_of
from dlt_dbtcloud.exceptions import (
    DBTCloudException,
    DBTCloudRunCancelled,
    DBTCloudRunError,
    DBTCloudRunFailed,
    run_error,
)
from dlt_dbtcloud.loads import LastLoad, loaded_relations
from dlt_dbtcloud.payloads import RELATED, failed_step, id_of, log_of, log_tail, run_name
from dlt_dbtcloud.redaction import Redact, first_lines, redact
from dlt_dbtcloud.typing import NodeFailure, NodeResult, Run, RunStep

__all__ = [
    "Postmortem",
    "advice",
    "describe_nodes",
    "describe_step",
    "explain",
    "node_failures",
]


_SHOWN = 10
_LISTED = 5
_MESSAGE_LINES = 6
_KEPT_LINES = 30
_DOES_NOT_COMPILE = re.compile(r"\b(Compilation|Parsing) Error\b")


def node_failures(
    results: Sequence[NodeResult],
    manifest: Manifest,
    loads: Mapping[str, str] | None = None,
    redact: Redact = redact,
) -> list[NodeFailure]:
    """Return the nodes that failed, in the order in which dbt reports them.

    Args:
        results: What each node did in the step that failed.
        manifest: The step's manifest; without it, lineage stays empty.
        loads: The id of the load that filled a source last, by the source's unique id.
        redact: Redacts a text.
    """
    skipped = {each["unique_id"] for each in results if each["status"] == "skipped"}
    return [
        _failure(result, manifest, skipped, loads or {}, redact)
        for result in results
        if result["status"] in FAILED
    ]


def _failure(
    result: NodeResult,
    manifest: Manifest,
    skipped: set[str],
    loads: Mapping[str, str],
    redact: Redact,
) -> NodeFailure:
    unique_id, message = result["unique_id"], result["message"]
    sources = sources_of(manifest, unique_id) if manifest else []
    below = manifest.descendants([unique_id]) if manifest else set()
    return NodeFailure(
        unique_id=unique_id,
        name=result["name"],
        resource_type=result["resource_type"],
        status=result["status"],
        message=first_lines(redact(message), _KEPT_LINES) if message else None,
        path=result["path"],
        relation_name=result["relation_name"],
        step_index=result["step_index"],
        command=redact(result["command"]),
        skipped=len(skipped & below),
        tables=sorted(_table(manifest, source) for source in sources),
        load_id=max((loads[source] for source in sources if source in loads), default=None),
    )


def _table(manifest: Manifest, source: str) -> str:
    node = manifest.entry(source)
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


def describe_step(run: Run, step: RunStep | None, redact: Redact = redact) -> str:
    """Tell of a run that failed where no node did: the step, and the end of its log.

    Args:
        run: The run, with its job.
        step: The step that ended it, or None where none had begun.
        redact: Redacts a text.
    """
    if step is None:
        said = redact(run.get("status_message") or "")
        return f"{run_name(run)} failed before its first step{f': {said}' if said else '.'}"
    place = f"in step {step.get('index')}, {redact(step.get('name') or '').strip()}"
    log = log_tail(step, redact)
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
        yield indent(first_lines(failure["message"], _MESSAGE_LINES), "  ")
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


_FAILURES = 20


def explain(client: DBTCloudClientV2, run: Run, load: LastLoad | None = None) -> DBTCloudRunError:
    """Return the error of a run that did not succeed, with as much of its cause as can be read.

    Args:
        client: What reads it.
        run: The run.
        load: The load that the run is bound to.
    """
    try:
        return Postmortem(client, run).error(load)
    except Exception as error:  # noqa: BLE001, whatever is wrong must not hide that the run failed
        known = run_error(run)
        if isinstance(known, DBTCloudRunCancelled):
            return known
        trouble = error if isinstance(error, DBTCloudException) else repr(error)
        return DBTCloudRunFailed(
            run, advice=f"Its steps and logs show the reason; they could not be read: {trouble}"
        )


class Postmortem:
    """Finds out what became of a run, with as few requests as that takes.

    Args:
        client: What asks the API.
        run: The run, when it is over.

    Raises:
        DBTCloudException: The run cannot be read; so do the properties, for its artifacts.
    """

    def __init__(self, client: DBTCloudClientV2, run: Run) -> None:
        self._client = client.patient()
        self.run = self._read(id_of(run))
        self._artifacts = RunArtifacts(client.patient(OUTAGE), self.run)

    @property
    def step(self) -> RunStep | None:
        """The step that ended the run."""
        return failed_step(self.run)

    @cached_property
    def results(self) -> list[NodeResult]:
        """What each node did in that step; nothing where dbt did not come to tell."""
        step = self.step
        if step is None or not leaves_results(step):
            return []
        written = self._artifacts.read_results(step)
        return [*step_results(id_of(self.run), step, written, self.manifest)] if written else []

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of that step, empty if there is none."""
        step = self.step
        return Manifest(self._artifacts.read("manifest.json", step.get("index")) if step else None)

    def error(self, load: LastLoad | None = None) -> DBTCloudRunError:
        """Return the error that tells of the run's end.

        Args:
            load: The load that the run is bound to.

        Raises:
            DBTCloudException: The API answered with an error, or not at all.
        """
        if isinstance(run_error(self.run), DBTCloudRunCancelled):
            return DBTCloudRunCancelled(self.run)
        redact, without_token = self._client.redact, self._client.without_token
        results, manifest = self.results, self.manifest
        failures = node_failures(results, manifest, _filled(load, manifest), redact)
        if failures:
            outcome = describe_nodes(self.run, self.results, failures)
        else:
            self._wait_for_log()
            outcome = describe_step(self.run, self.step, redact)
        return DBTCloudRunFailed(
            self.run,
            without_token(outcome),
            [_without_token(failure, without_token) for failure in failures[:_FAILURES]],
            advice(self.run, failures, self.step),
        )

    def _wait_for_log(self) -> None:
        """Read the run again while the log of its last step is still being uploaded."""
        pauses = self._artifacts.pauses()
        while self._lacks_log and next(pauses, False) is None:
            self.run = self._read(id_of(self.run))

    @property
    def _lacks_log(self) -> bool:
        return self.step is not None and not self.step.get("logs")

    def _read(self, run_id: int) -> Run:
        return self._client.get_run_status(run_id, RELATED)


def _without_token(failure: NodeFailure, without_token: Redact) -> NodeFailure:
    texts = {name: without_token(text) for name, text in failure.items() if isinstance(text, str)}
    return cast(NodeFailure, {**failure, **texts})


def _filled(load: LastLoad | None, manifest: Manifest) -> dict[str, str]:
    """Return the id of the load that a run is bound to, for each source that it has filled."""
    if load is None or load.pipeline is None or not manifest:
        return {}
    return dict.fromkeys(
        match_sources(loaded_relations(load.pipeline), manifest).sources, load.load_id
    )
