"""The key in a run's cause, by which the run of one call is found again."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from dlt.common.json import json

from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.typing import Run
from dlt_dbtcloud.values import as_integer, as_mapping, as_text

__all__ = [
    "BoundLoad",
    "bound_key",
    "bound_load",
    "carries",
    "cause_with_key",
    "new_key",
    "retried_run",
    "retry_cause",
    "with_retries",
]


_CAUSE_LIMIT = 255
_FEWEST_WORDS = 60
_DIGITS = 12
# of a number of 64 bits
_ID_DIGITS = 19
_MARK = re.compile(r"(?:: retry of run (\d+))? \[dlt:([0-9a-f]{12})\]$")
_ORIGIN = re.compile(
    r": dlt pipeline ((?:(?!: dlt pipeline ).)+), load (\d+(?:\.\d+)?)$", re.DOTALL
)


class BoundLoad(NamedTuple):
    """The load that a run's cause names, and the key of the trigger."""

    pipeline_name: str
    load_id: str
    key: str


def new_key() -> str:
    """Return a key that no other call has."""
    return secrets.token_hex(_DIGITS // 2)


def bound_key(load: tuple[str, str], job_id: str, body: Mapping[str, Any]) -> str:
    """Return the key of a job's run for a load: the same in every process and on every machine.

    Args:
        load: The name of the pipeline and the id of its load.
        job_id: The job.
        body: The trigger; its overrides count, its cause does not.
    """
    overrides = {name: value for name, value in sorted(body.items()) if name != "cause"}
    parts = [*load, job_id, overrides]
    return hashlib.sha256(json.dumpb(parts, sort_keys=True)).hexdigest()[:_DIGITS]


def cause_with_key(cause: str, key: str, load: tuple[str, str] | None = None) -> str:
    """Return a cause that names the load and ends in the key, within what the API takes.

    Where there is not room for all, the caller's words are cut.
    """
    origin = ": dlt pipeline {}, load {}".format(*load) if load else ""
    return _fitted(cause, origin, f" [dlt:{key}]")


def bound_load(run: Run) -> BoundLoad | None:
    """Return the load that a run, read with its trigger, is bound to, where its cause has it."""
    cause = _cause(run)
    mark = _MARK.search(cause)
    origin = _ORIGIN.search(cause[: mark.start()]) if mark else None
    return BoundLoad(origin[1], origin[2], mark[2]) if mark and origin else None


def carries(run: Run, key: str) -> bool:
    """Tell whether a run, listed with its trigger, is one of the call with this key."""
    return f"[dlt:{key}]" in _cause(run)


def retry_cause(run: Run) -> str:
    """Return the cause of a run that does again what another left undone.

    It keeps the words and the key of the other's, so that it counts as a run of the same load, and
    names the other, so that it is known for its retry wherever one looks for that.
    """
    cause = _cause(run)
    match = _MARK.search(cause)
    key = match[2] if match else hashlib.sha256(b"%d" % id_of(run)).hexdigest()[:_DIGITS]
    words = cause[: match.start()] if match else cause
    origin = _ORIGIN.search(words) if match else None
    start = origin.start() if origin else len(words)
    return _fitted(words[:start], words[start:], f": retry of run {run['id']} [dlt:{key}]")


def retried_run(run: Run) -> int | None:
    """Return the id of the run that a run retries, or None where it is no retry."""
    told = run.get("retrying_run_id")
    match = _MARK.search(_cause(run))
    found = str(told) if told and str(told).isdecimal() else match and match[1]
    return as_integer(int(found)) if found and len(found) <= _ID_DIGITS else None


def with_retries(runs: Sequence[Run], candidates: Iterable[Run]) -> list[Run]:
    """Return runs and their retries, and the retries of those, by rising id.

    Args:
        runs: The runs.
        candidates: Other runs of the job, among which their retries are looked for.
    """
    found = {id_of(run): run for run in runs}
    for run in sorted(candidates, key=id_of):
        if retried_run(run) in found:
            found[id_of(run)] = run
    return [found[run_id] for run_id in sorted(found)]


def _fitted(words: str, origin: str, mark: str) -> str:
    """Return the three in one, with fewer words where there is no room, or else without origin."""
    room = _CAUSE_LIMIT - len(mark)
    if len(origin) > room - _FEWEST_WORDS:
        origin = ""
    return words[: room - len(origin)].rstrip() + origin + mark


def _cause(run: Run) -> str:
    return as_text(as_mapping(run.get("trigger")).get("cause")) or ""
