"""The key in a run's cause, by which the run of one call is found again."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from dlt.common.json import json

from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.typing import Run

__all__ = ["bound_key", "carries", "cause_with_key", "new_key"]

_CAUSE_LIMIT = 255
_DIGITS = 12


def new_key() -> str:
    """Return a key that no other call has."""
    return secrets.token_hex(_DIGITS // 2)


def bound_key(load: LastLoad, job_id: str, body: Mapping[str, Any]) -> str:
    """Return the key of a job's run for a load: the same in every process and on every machine.

    Args:
        load: The load.
        job_id: The job.
        body: The trigger; its overrides count, its cause does not.
    """
    overrides = {name: value for name, value in sorted(body.items()) if name != "cause"}
    parts = [load.pipeline_name, load.load_id, job_id, overrides]
    return hashlib.sha256(json.dumpb(parts, sort_keys=True)).hexdigest()[:_DIGITS]


def cause_with_key(cause: str, key: str, load: LastLoad | None = None) -> str:
    """Return a cause that names the load and ends in the key, within what the API takes.

    Where there is not room for all, the caller's words stay and the load's name gives way.
    """
    mark = f" [dlt:{key}]"
    room = _CAUSE_LIMIT - len(mark)
    origin = f": dlt pipeline {load.pipeline_name}, load {load.load_id}" if load else ""
    words = cause + origin if len(cause) + len(origin) <= room else cause
    return words[:room].rstrip() + mark


def carries(run: Run, key: str) -> bool:
    """Tell whether a run, listed with its trigger, is one of the call with this key."""
    trigger = run.get("trigger") or {}
    return f"[dlt:{key}]" in (trigger.get("cause") or "")
