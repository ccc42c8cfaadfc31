"""The key in the cause of a run, which identifies the run of a call."""

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
    "cause_with_key",
    "has_cause",
    "has_key",
    "is_of_another_call",
    "may_have_cause",
    "new_key",
    "retried_run",
    "retry_cause",
    "with_retries",
]


_CAUSE_LIMIT = 255
_MIN_WORDS_LENGTH = 60
_KEY_DIGITS = 12
# the digits of a 64-bit number
_ID_DIGITS = 19
_MARK = re.compile(r"(?:: retry of run (\d+))? \[dlt:([0-9a-f]{12})\]$")
_ORIGIN = re.compile(
    r": dlt pipeline ((?:(?!: dlt pipeline ).)+), load (\d+(?:\.\d+)?)$", re.DOTALL
)


class BoundLoad(NamedTuple):
    """The load and the key in the cause of a run."""

    pipeline_name: str
    load_id: str
    key: str


def new_key() -> str:
    """Return a random key for a call."""
    return secrets.token_hex(_KEY_DIGITS // 2)


def bound_key(load: tuple[str, str], job_id: str, body: Mapping[str, Any]) -> str:
    """Return the key of a job's run for a load.

    It is the same in every process and on every machine.

    Args:
        load: The name of the pipeline and the id of its load.
        job_id: The job.
        body: The trigger. Its overrides are part of the key, its cause is not.
    """
    overrides = {name: value for name, value in sorted(body.items()) if name != "cause"}
    parts = [*load, job_id, overrides]
    return hashlib.sha256(json.dumpb(parts, sort_keys=True)).hexdigest()[:_KEY_DIGITS]


def cause_with_key(cause: str, key: str, load: tuple[str, str] | None = None) -> str:
    """Return a cause with the load and the key, cut to the API's limit.

    Args:
        cause: The words of the caller, which are cut first.
        key: The key.
        load: The name of the pipeline and the id of its load.
    """
    return _fitted(cause, _origin_text(load), f" [dlt:{key}]")


def bound_load(run: Run) -> BoundLoad | None:
    """Return the load in the cause of a run, which was read with its trigger."""
    cause = _cause(run)
    mark = _MARK.search(cause)
    origin = _ORIGIN.search(cause[: mark.start()]) if mark else None
    return BoundLoad(origin[1], origin[2], mark[2]) if mark and origin else None


def has_key(run: Run, key: str, load: tuple[str, str] | None = None) -> bool:
    """Return whether the cause of a run that is not a retry ends in a key.

    A run that quotes the key elsewhere in its cause is a different run.

    Args:
        run: The run, read with its trigger.
        key: The key.
        load: The name of the pipeline and the id of its load, which precede the key.
    """
    mark = f" [dlt:{key}]"
    end = _fitting(_origin_text(load), mark) + mark
    # the service may trim the space before a key without words
    return f" {_spaced(_cause(run))}".endswith(end) and retried_run(run) is None


def has_cause(run: Run, cause: str) -> bool:
    """Return whether a run that is read with its trigger has this cause."""
    return _spaced(_cause(run)) == _spaced(cause)


def may_have_cause(run: Run, cause: str) -> bool:
    """Return whether a run may have this cause, although its payload does not show it.

    The payload shows none, only the beginning, or the same key after other words.

    Args:
        run: The run.
        cause: A cause with a key.
    """
    found, full = _spaced(_cause(run)), _spaced(cause)
    mark = _MARK.search(full)
    if not mark or not found or found == full:
        return not found
    origin = _ORIGIN.search(full[: mark.start()])
    words = full[: origin.start() if origin else mark.start()]
    is_cut = full.startswith(found) and found != words
    return is_cut or found.endswith(mark[0])


def is_of_another_call(run: Run, cause: str) -> bool:
    """Return whether the cause of a run ends in another key than this cause.

    A service may change a cause, so that other differences prove nothing.
    """
    mark, own = _MARK.search(_cause(run)), _MARK.search(cause)
    return bool(mark and own and mark[2] != own[2])


def retry_cause(run: Run) -> str:
    """Return the cause for a retry of a run.

    It keeps the words and the key, so that the retry is a run of the same load. It names the run
    that is retried.
    """
    cause = _cause(run)
    match = _MARK.search(cause)
    key = match[2] if match else hashlib.sha256(b"%d" % id_of(run)).hexdigest()[:_KEY_DIGITS]
    words = cause[: match.start()] if match else cause
    origin = _ORIGIN.search(words) if match else None
    start = origin.start() if origin else len(words)
    return _fitted(words[:start], words[start:], f": retry of run {run['id']} [dlt:{key}]")


def retried_run(run: Run) -> int | None:
    """Return the id of the run that a run retries; None if none."""
    digits = str(run.get("retrying_run_id") or "")
    if not digits.isdecimal():
        match = _MARK.search(_cause(run))
        digits = (match and match[1]) or ""
    return as_integer(int(digits)) if 0 < len(digits) <= _ID_DIGITS else None


def with_retries(runs: Sequence[Run], candidates: Iterable[Run]) -> list[Run]:
    """Return runs, their retries, and the retries of those, sorted by id.

    Args:
        runs: The runs.
        candidates: Other runs of the job, which may be retries.
    """
    found = {id_of(run): run for run in runs}
    for run in sorted(candidates, key=id_of):
        if retried_run(run) in found:
            found[id_of(run)] = run
    return [found[run_id] for run_id in sorted(found)]


def _origin_text(load: tuple[str, str] | None) -> str:
    return ": dlt pipeline {}, load {}".format(*load) if load else ""


def _fitting(origin: str, mark: str) -> str:
    """Return the text for a load, unless it leaves too little room for words."""
    return origin if len(origin) + len(mark) <= _CAUSE_LIMIT - _MIN_WORDS_LENGTH else ""


def _fitted(words: str, origin: str, mark: str) -> str:
    """Join the parts of a cause; cut the words, or drop a long origin."""
    end = _fitting(origin, mark) + mark
    return words[: _CAUSE_LIMIT - len(end)].rstrip() + end


def _spaced(text: str) -> str:
    """Return a text with single spaces, as a service may trim it."""
    return " ".join(text.split())


def _cause(run: Run) -> str:
    return as_text(as_mapping(run.get("trigger")).get("cause")) or ""
