"""The progress of a run is as documented, from its link to its end."""

from __future__ import annotations

import io
from datetime import datetime, timezone
from typing import Any, cast

from dlt_dbtcloud.runs.progress import Pace, Progress
from dlt_dbtcloud.runs.progress.displays import LineDisplay
from dlt_dbtcloud.runs.progress.durations import Durations, kind_of
from dlt_dbtcloud.typing import Run
from tests.support.clock import FakeClock
from tests.support.dbt.recordings import CORE, load
from tests.support.docs.pages import ROOT, blocks

HREF = "https://ab123.us1.dbt.com/deploy/1/projects/2/runs/7/"
CLONE = {"index": 1, "name": "Clone git repository", "logs": "Cloning"}


def payload(status: int, words: str, *steps: Any, **fields: Any) -> Run:
    return cast(
        Run,
        {
            "id": 7,
            "job_definition_id": 3,
            "href": HREF,
            "status": status,
            "status_humanized": words,
            "job": {"name": "Nightly", "execute_steps": ["dbt build"]},
            "trigger": {"cause": "By dlt"},
            "run_steps": [*steps],
            **fields,
        },
    )


def build(until: str) -> dict[str, Any]:
    lines: list[str] = load("failed_test", CORE)[0]["log"]
    end = next(number for number, line in enumerate(lines) if until in line)
    log = "\n".join(lines[: end + 1])
    return {"index": 2, "name": "Invoke dbt with `dbt build`", "logs": log}


def test_the_documented_lines_are_those_of_a_run() -> None:
    clock, stream = FakeClock(), io.StringIO()
    began = {"started_at": str(datetime.fromtimestamp(clock.time() + 20, timezone.utc))}
    failed = {**began, "is_complete": True}
    checks = (
        (0, payload(1, "Queued", blocked_by=[6])),
        (12, payload(2, "Starting")),
        (20, payload(3, "Running", CLONE, **began)),
        (45, payload(3, "Running", CLONE, build("21 of 82 START"), **began)),
        (100, payload(3, "Running", CLONE, build("41 of 82 START"), **began)),
        (150, payload(20, "Error", CLONE, build("Done."), **failed)),
    )
    past = Durations({kind: (310.0,) for kind in [kind_of(checks[0][1])] if kind})
    progress = Progress(LineDisplay(stream), Pace(clock, past=past), clock)
    for at, run in checks:
        progress.sleep(at - clock.now)
        progress.note(run, None if at else 0.0)
        progress.show()
    (documented,) = [b.code for b in blocks("text") if b.page == ROOT / "docs" / "progress.md"]
    assert stream.getvalue() == documented
