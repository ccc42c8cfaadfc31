"""The run of somebody else's that serves a load: it has no key, so it is noted on this machine."""

from __future__ import annotations

from dlt_dbtcloud.loads import LastLoad

__all__ = ["adopted_run", "remember_adopted"]

_ADOPTED = "dbt_cloud_adopted_run"


def remember_adopted(load: LastLoad, key: str, run_id: int) -> None:
    """Note, on this machine, which run of somebody else's serves a load: it has no key of ours.

    Args:
        load: The load.
        key: What a run of one's own would carry.
        run_id: The run.
    """
    if load.pipeline:
        noted = {"key": key, "run_id": run_id, "load_id": load.load_id}
        load.pipeline.set_local_state_val(_ADOPTED, noted)


def adopted_run(load: LastLoad, key: str | None = None) -> int | None:
    """Return the run that was noted for a load, or None.

    Args:
        load: The load.
        key: What a run of one's own would carry; without it, whatever that would be.
    """
    try:
        noted = load.pipeline.get_local_state_val(_ADOPTED) if load.pipeline else {}
    except KeyError:
        return None
    is_noted = noted.get("load_id") == load.load_id and key in (None, noted.get("key"))
    return noted["run_id"] if is_noted else None
