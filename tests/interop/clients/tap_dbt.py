"""The Singer tap `tap-dbt` with its default settings: all streams, then what is new."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tests.interop.session import Client, Session, expect


def check(session: Session) -> None:
    """Sync the default streams, then all streams with the state of the first sync."""
    job = session.create_job("Hourly", outcome="success")
    session.trigger(job, "first")
    session.trigger(job, "second")
    config = session.folder / "config.json"
    # all other settings are the tap's defaults
    settings = {
        "api_key": session.cloud.api_token,
        "account_ids": [str(session.cloud.account_id)],
        "base_url": f"{session.cloud.url}/api/v2",
    }
    config.write_text(json.dumps(settings))

    first = _sync(session, config)
    runs = [run["id"] for run in session.cloud.runs]
    expect(_runs(first), runs)
    counts = Counter(message["stream"] for message in _records(first))
    expect([counts["accounts"], counts["projects"], counts["jobs"]], [1, 2, 1])

    state = session.folder / "state.json"
    state.write_text(json.dumps([each["value"] for each in first if each["type"] == "STATE"][-1]))
    catalog = session.folder / "catalog.json"
    discovered = json.loads(session.run("tap-dbt", "--config", str(config), "--discover"))
    catalog.write_text(json.dumps(_select_all(discovered)))
    session.trigger(job, "third")
    again = _sync(session, config, "--state", str(state), "--catalog", str(catalog))
    # the run of the state itself is read again
    expect(_runs(again), [run["id"] for run in session.cloud.runs][1:])
    expect(Counter(message["stream"] for message in _records(again))["environments"], 2)


def _select_all(catalog: dict[str, Any]) -> dict[str, Any]:
    """Select all streams and fields."""
    for stream in catalog["streams"]:
        for each in stream["metadata"]:
            each["metadata"]["selected"] = True
    return catalog


def _sync(session: Session, config: Path, *arguments: str) -> list[dict[str, Any]]:
    """Return the messages of a sync."""
    output = session.run("tap-dbt", "--config", str(config), *arguments)
    return [json.loads(line) for line in output.splitlines()]


def _records(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == "RECORD"]


def _runs(messages: list[dict[str, Any]]) -> list[int]:
    """Return the ids of the runs."""
    return [each["record"]["id"] for each in _records(messages) if each["stream"] == "runs"]


# it trusts no other authorities than those of certifi
CLIENT = Client("tap", ("tap-dbt==0.17.0",), check, https=False)
