"""Warnings of successful runs: tests that warned, and stale sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dlt.common import logger

from dlt_dbtcloud.artifacts.download import OUTAGE
from dlt_dbtcloud.artifacts.reader import FRESHNESS
from dlt_dbtcloud.artifacts.results import ReadRuns, leaves_results, merge, step_results
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import COOL_DOWN
from dlt_dbtcloud.dbt import (
    TESTS,
    FreshnessResult,
    FusionLog,
    Manifest,
    Result,
    Results,
    stale_count,
    subcommand_of,
    warning_count,
)
from dlt_dbtcloud.exceptions import DBTCloudException, DBTCloudRunWarning
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.payloads import command_of, id_of, log_of, run_name, steps_of
from dlt_dbtcloud.redaction import listed
from dlt_dbtcloud.runs.failure import (
    MAX_FAILURES,
    describe_failures,
    load_ids_of,
    node_failure,
    table_of,
    without_token,
)
from dlt_dbtcloud.runs.retry.coverage import results_of
from dlt_dbtcloud.typing import NodeFailure, NodeResult, Run, RunStep
from dlt_dbtcloud.values import as_mapping

__all__ = ["find_warnings"]


# the commands that execute tests
_TESTING = frozenset({"build", "retry", "test"})
_STALE = frozenset({"warn", "error", "runtime error"})
_NAMED = 5
_DAY = 86400.0
_ADVICE = "dbt Cloud counts the run as a success."


def find_warnings(
    client: DBTCloudClientV2,
    run: Run,
    load: LastLoad | None,
    runs: ReadRuns,
    *,
    is_strict: bool,
) -> DBTCloudRunWarning | None:
    """Return the warnings of a successful run; None if there are none.

    A run without warnings needs one request, for the logs of its steps, which contain the counts.

    Args:
        client: The client.
        run: The run.
        load: The load that the run is bound to.
        runs: The runs that are read already.
        is_strict: Whether warnings that cannot be read are a warning, too; else they are logged.
    """
    if not is_strict and client.shortest_pause:
        logger.info(f"The warnings of {run_name(run)} were not read, as the API limits requests.")
        return None
    # what is only logged is not worth a wait
    patient = client.patient(OUTAGE, cool_down=COOL_DOWN) if is_strict else client.patient(0)
    try:
        return _Warnings(patient, run, load, runs, is_strict=is_strict).find()
    except Exception as error:  # noqa: BLE001, an error here must not hide the success of the run
        trouble = error if isinstance(error, DBTCloudException) else repr(error)
        return _uncertain(run, str(trouble), is_strict=is_strict)


class _Warnings:
    """Reads the warnings of a run, and of the runs that it retries."""

    def __init__(
        self,
        client: DBTCloudClientV2,
        run: Run,
        load: LastLoad | None,
        runs: ReadRuns,
        *,
        is_strict: bool,
    ) -> None:
        self._client = client
        self._runs = runs
        self._chain = [*reversed(runs.chain(client, id_of(run)))]
        self._load = load
        self._is_strict = is_strict
        # whether a log counts warnings
        self._has_counted = False
        self._unread: list[str] = []
        self._manifests: dict[tuple[int, int | None], Manifest] = {}

    def find(self) -> DBTCloudRunWarning | None:
        """Return the warnings, or None."""
        run = self._chain[-1]
        results = merge(*(self._results(each) for each in self._chain))
        warned = [r for r in results if r["status"] == "warn" and r["resource_type"] in TESTS]
        # of a source that is checked again, the last check counts
        checked = {each[0].unique_id: each for run in self._chain for each in self._checked(run)}
        stale = [each for each in checked.values() if each[0].status.lower() in _STALE]
        failures = [*map(self._test, warned), *(self._source(*each) for each in stale)]
        if failures:
            return self._warning(run, failures)
        if not self._unread:
            return None
        reason = f"these could not be read: {listed(self._unread, _NAMED)}"
        return _uncertain(run, reason, is_strict=self._is_strict or self._has_counted)

    def _warning(self, run: Run, failures: Sequence[NodeFailure]) -> DBTCloudRunWarning:
        tests = sum(failure["resource_type"] in TESTS for failure in failures)
        counts = ((tests, "test"), (len(failures) - tests, "stale source"))
        texts = [f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count]
        lines = [f"{run_name(run)} succeeded with warnings: {' and '.join(texts)}."]
        lines += describe_failures(failures)
        if self._unread:
            lines.append(f"Results that could not be read: {listed(self._unread, _NAMED)}.")
        kept = [without_token(failure, self._client) for failure in failures[:MAX_FAILURES]]
        return DBTCloudRunWarning(
            run,
            self._client.without_token("\n".join(lines)),
            kept,
            _ADVICE,
        )

    def _results(self, run: Run) -> list[NodeResult]:
        """Return the results of the nodes of a run, without those of steps without warnings."""
        found: list[NodeResult] = []
        for step in filter(_executes_tests, steps_of(run)):
            count = warning_count(log_of(step))
            if count == 0 and len(self._chain) == 1:
                continue
            self._has_counted |= bool(count)
            results = self._read_results(run, step, is_expected=bool(count))
            if results is None:
                self._note(step, "run_results.json")
                continue
            self._unread += map(str, results.unread)
            has_warned = any(result.status == "warn" for result in results.results)
            manifest = self._manifest(run, step) if has_warned else Manifest()
            found += step_results(id_of(run), step, results, manifest)
        return found

    def _read_results(
        self, run: Run, step: RunStep, *, is_expected: bool
    ) -> Results[Result] | None:
        if self._is_strict:
            found = results_of(self._client, run, step, self._runs)
            return Results() if found is None else found
        artifacts = self._runs.artifacts(self._client, run)
        return artifacts.find_results(step, is_expected=is_expected)

    def _checked(self, run: Run) -> Iterator[tuple[FreshnessResult, Run, RunStep]]:
        """Yield the freshness of sources, without that of steps without stale sources."""
        for step in steps_of(run):
            count = stale_count(log_of(step))
            is_check = subcommand_of(command_of(step)) in FRESHNESS
            if not is_check or (count == 0 and len(self._chain) == 1):
                continue
            self._has_counted |= bool(count)
            artifacts = self._runs.artifacts(self._client, run)
            is_expected = self._is_strict or bool(count)
            found = artifacts.find_freshness(step, is_expected=is_expected)
            if found is None:
                self._note(step, "sources.json")
                continue
            self._unread += map(str, found.unread)
            yield from ((result, run, step) for result in found.results)

    def _note(self, step: RunStep, file: str) -> None:
        self._unread.append(f"`{file}` of step {step.get('index')}")

    def _manifest(self, run: Run, step: RunStep) -> Manifest:
        """Return the manifest of a step, or else of a later step."""
        key = id_of(run), step.get("index")
        if key not in self._manifests:
            artifacts = self._runs.artifacts(self._client, run)
            later = filter(leaves_results, reversed(steps_of(run)))
            found = (artifacts.find_manifest(each.get("index")) for each in (step, *later))
            self._manifests[key] = next(filter(None, found), Manifest())
        return self._manifests[key]

    def _test(self, result: NodeResult) -> NodeFailure:
        manifest = self._manifests.get((result["run_id"], result["step_index"]), Manifest())
        loads = load_ids_of(self._load, manifest)
        log = FusionLog("")
        return node_failure(result, manifest, set(), loads, self._client.redact, log)

    def _source(self, result: FreshnessResult, run: Run, step: RunStep) -> NodeFailure:
        manifest = self._manifest(run, step)
        unique_id, node = result.unique_id, manifest.entry(result.unique_id)
        return NodeFailure(
            unique_id=unique_id,
            name=manifest.name(unique_id),
            resource_type="source",
            status=result.status.lower(),
            message=self._client.redact(_age(result)),
            path=node.original_file_path or None,
            relation_name=node.relation_name or None,
            step_index=step.get("index") or 0,
            command=self._client.redact(command_of(step) or ""),
            skipped=0,
            tables=[table_of(manifest, unique_id)] if unique_id in manifest else [],
            load_id=load_ids_of(self._load, manifest).get(unique_id),
        )


def _executes_tests(step: RunStep) -> bool:
    return leaves_results(step) and subcommand_of(command_of(step)) in _TESTING


def _uncertain(run: Run, reason: str, *, is_strict: bool) -> DBTCloudRunWarning | None:
    """Return an error, or log, that warnings are unknown."""
    text = f"{run_name(run)} succeeded, but its warnings are unknown: {reason.rstrip('.')}."
    if is_strict:
        return DBTCloudRunWarning(run, text)
    logger.info(text)
    return None


def _age(result: FreshnessResult) -> str:
    """Describe how old the newest row of a source is."""
    if result.error:
        return str(result.error)
    seconds, limit = result.max_loaded_at_time_ago_in_s, _limit(result)
    text = f"The newest row is of {result.max_loaded_at or 'an unknown time'}"
    if seconds is not None:
        age = f"{seconds / _DAY:.1f} days" if seconds >= _DAY else f"{seconds / 3600:.1f} hours"
        text += f", {age} before the check"
    return f"{text}{limit}."


def _limit(result: FreshnessResult) -> str:
    name = "warn_after" if result.status.lower() == "warn" else "error_after"
    limit = as_mapping((result.criteria or {}).get(name))
    count, period = limit.get("count"), limit.get("period")
    if not (count and period):
        return ""
    verb = "warns" if name == "warn_after" else "fails"
    return f"; it {verb} after {count} {period}{'' if count == 1 else 's'}"
