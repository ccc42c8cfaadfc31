"""What a run that did not succeed left behind: its steps, and what the one that ended it wrote."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, cast

from dlt_dbtcloud.artifacts import RunArtifacts
from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.clock import Clock
from dlt_dbtcloud.ends import run_error
from dlt_dbtcloud.exceptions import (
    DBTCloudException,
    DBTCloudRunCancelled,
    DBTCloudRunError,
    DBTCloudRunFailed,
)
from dlt_dbtcloud.failures import advice, describe_nodes, describe_step, node_failures
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.outages import through_outages
from dlt_dbtcloud.relations import loaded_relations
from dlt_dbtcloud.results import leaves_results, read_results, step_results
from dlt_dbtcloud.sources import fed_sources
from dlt_dbtcloud.steps import failed_step
from dlt_dbtcloud.typing import NodeFailure, NodeResult, Run, RunStep

__all__ = ["RELATED", "Postmortem", "explain"]

RELATED = ("run_steps", "job", "trigger", "audit")
_FAILURES = 20


def explain(
    client: DBTCloudClientV2, run: Run, load: LastLoad | None = None, *, clock: Clock = time
) -> DBTCloudRunError:
    """Return the error of a run that did not succeed, with as much of its cause as can be read.

    Args:
        client: What reads it.
        run: The run.
        load: The load that the run is bound to.
        clock: What the time is told by.
    """
    try:
        return Postmortem(client, run, clock=clock).error(load)
    except Exception as error:  # noqa: BLE001, whatever is wrong must not hide that the run failed
        known = run_error(run)
        if isinstance(known, DBTCloudRunCancelled):
            return known
        trouble = error if isinstance(error, DBTCloudException) else repr(error)
        return DBTCloudRunFailed(
            run, advice=f"Its steps and logs say why; they could not be read: {trouble}"
        )


class Postmortem:
    """Finds out what became of a run, with as few requests as that takes.

    Args:
        client: What asks the API.
        run: The run, when it is over.
        clock: What the time is told by.

    Raises:
        DBTCloudException: The run cannot be read; so do the properties, for its artifacts.
    """

    def __init__(self, client: DBTCloudClientV2, run: Run, *, clock: Clock = time) -> None:
        self._client = client.without_retries()
        self._clock = clock
        self.run = self._read(run["id"])
        self._artifacts = RunArtifacts(client, self.run, clock)

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
        written = read_results(self._artifacts, step)
        return [*step_results(self.run["id"], step, written, self.manifest)] if written else []

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """The `manifest.json` of that step; nothing where there is none."""
        step = self.step
        return (self._artifacts.read("manifest.json", step.get("index")) if step else None) or {}

    def error(self, load: LastLoad | None = None) -> DBTCloudRunError:
        """Return the error that tells of the run's end.

        Args:
            load: The load that the run is bound to.

        Raises:
            DBTCloudException: The API answered with an error, or not at all.
        """
        if isinstance(run_error(self.run), DBTCloudRunCancelled):
            return DBTCloudRunCancelled(self.run)
        failures = node_failures(self.results, self.manifest, _filled(load, self.manifest))
        hide = self._client.without_token
        if failures:
            outcome = describe_nodes(self.run, self.results, failures)
        else:
            self._wait_for_log()
            outcome = describe_step(self.run, self.step, hide)
        return DBTCloudRunFailed(
            self.run,
            hide(outcome),
            [_hidden(failure, hide) for failure in failures[:_FAILURES]],
            advice(self.run, failures, self.step),
        )

    def _wait_for_log(self) -> None:
        """Read the run again while the log of its last step is still being uploaded."""
        pauses = self._artifacts.pauses()
        while self._lacks_log and next(pauses, False) is None:
            self.run = self._read(self.run["id"])

    @property
    def _lacks_log(self) -> bool:
        return self.step is not None and not self.step.get("logs")

    def _read(self, run_id: int) -> Run:
        return through_outages(
            lambda: self._client.get_run_status(run_id, RELATED), clock=self._clock
        )


def _hidden(failure: NodeFailure, hide: Callable[[str], str]) -> NodeFailure:
    hidden = {name: hide(text) if isinstance(text, str) else text for name, text in failure.items()}
    return cast(NodeFailure, hidden)


def _filled(load: LastLoad | None, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the id of the load that a run is bound to, for each source that it has filled."""
    if load is None or load.pipeline is None or not manifest:
        return {}
    return dict.fromkeys(
        fed_sources(loaded_relations(load.pipeline), manifest).sources, load.load_id
    )
