"""dbt Core in a fork and dbt Core as a program of its own have the same results."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.dbt.forks import SHARED, STARTUP, Forks
from dlt_dbtcloud.emulator.dbt.template import DBT, LATER
from tests.support.clock import DBT_PATIENCE, until
from tests.support.processes.children import run_python
from tests.support.servers.emulator_api import Api

pytestmark = [
    pytest.mark.dbt,
    pytest.mark.skipif(sys.platform != "linux", reason="dbt is forked on Linux only"),
]
BROKEN = "select no_such_column from {{ ref('numbers') }}"
# dbt waits for a query of DuckDB that is interrupted, unlike for a macro
ENDLESS = """
{% macro endless() %}
{{ log("working", info=true) }}
{% for _ in range(90000) %}{% for _ in range(90000) %}{% endfor %}{% endfor %}
{% endmacro %}
"""
CANCELLED = ["dbt run-operation endless"]
# the commands of runs; the last one of each fails or is cancelled
RUNS = (
    ["dbt build --select numbers folder", "dbt build --select doubled"],
    ["dbt build --no-such-option"],
    CANCELLED,
)
# times, durations and ids differ from run to run, and so does the order of arguments in a set
VARYING = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?|\d\d:\d\d:\d\d(\.\d+)?"
    r"|[0-9a-f]{8}-[0-9a-f-]{27}|\d{9,}|\d+(\.\d+)?(e-\d+)? ?s(econds)?\b|0x[0-9a-f]{8,}|Thread-\d+"
    r"|Resource report: .*|running dbt with arguments .*"
)
# fields of artifacts that measure
MEASURED = {"created_at", "execution_time", "elapsed_time", "timing", "thread_id", "generated_at"}


def comparable_run(api: Api, project: Path, commands: list[str]) -> Any:
    """Return what is comparable of a run."""
    job = api.cloud.create_job("Any", project_dir=project, execute_steps=commands)
    run = api.trigger(job)["id"]
    if commands == CANCELLED:
        until(lambda: "working" in _last_log(api, run))
        api.post(f"/runs/{run}/cancel/")
    ended = api.ended(run)
    steps = ended["run_steps"]
    return {
        "run": (ended["status"], ended["status_message"], ended["dbt_version"]),
        "steps": [(step["status"], _constant(step["logs"], project)) for step in steps],
        "debug": [_debug_lines(step["debug_logs"], project) for step in steps],
        "artifacts": {
            (step["index"], name): _artifact(api, run, step["index"], name, project)
            for step in steps
            for name in api.data(f"/runs/{run}/artifacts/", step=step["index"]) or ()
        },
    }


def _debug_lines(text: str, project: Path) -> list[str]:
    """Return the lines of a debug log, but those that depend on the turns of threads."""
    lines = _constant(text, project).split("\n")
    return sorted(line for line in lines if "onnection" not in line)


def _last_log(api: Api, run: int) -> str:
    steps = api.run(run, "run_steps")["run_steps"]
    return str(steps[-1]["logs"]) if steps else ""


def _artifact(api: Api, run: int, step: int, name: str, project: Path) -> Any:
    response = api.get(f"/runs/{run}/artifacts/{name}", step=step)
    if name.endswith(".json"):
        return json.loads(_constant(json.dumps(_without_measures(response.json())), project))
    return _constant(response.text, project) if name.endswith(".sql") else None


def _without_measures(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_measures(v) for k, v in value.items() if k not in MEASURED}
    return [_without_measures(item) for item in value] if isinstance(value, list) else value


def _constant(text: str, project: Path) -> str:
    text = re.sub(r"/[^\s\"']*/dbt-cloud-[^/\s]+", "<folder>", text)
    return VARYING.sub("<varying>", text.replace(str(project), "<project>"))


def test_logs_exit_codes_and_artifacts_are_the_same(
    cloud: DBTCloudEmulator, api: Api, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # dbt may need more than three seconds to end on a slow machine
    monkeypatch.setattr("dlt_dbtcloud.emulator.dbt.process.GRACE", DBT_PATIENCE)
    models = tiny / "models"
    (models / "doubled.sql").write_text(BROKEN)
    (tiny / "macros").mkdir()
    (tiny / "macros" / "endless.sql").write_text(ENDLESS)
    (models / "folder.sql").write_text("select '{{ env_var('PWD') }}' as folder")
    results = []
    # without a user, nothing is forked
    for forks in (Forks(), SHARED):
        monkeypatch.setattr("dlt_dbtcloud.emulator.dbt.invoker.SHARED", forks)
        # dbt reuses no parsed project of the runs before
        cloud.reset()
        project = tiny.parent / "copy"
        shutil.copytree(tiny, project)
        results.append([comparable_run(api, project, commands) for commands in RUNS])
        shutil.rmtree(project)
    assert SHARED._template is not None
    assert SHARED._template.is_ready
    plain, forked = results
    assert [run["run"][0] for run in plain] == [20, 20, 30]
    assert "exited with code 2 " in plain[1]["steps"][-1][1]
    assert {name for _, name in plain[0]["artifacts"]} >= {"manifest.json", "run_results.json"}
    assert forked == plain


# prints the variables that are read while dbt is imported
READING = """
import importlib, os, sys
read = set()
class Recorded(type(os.environ)):
    def __getitem__(self, name):
        frame, names = sys._getframe(1), set()
        while frame:
            names.add(frame.f_globals.get("__name__"))
            frame = frame.f_back
        # it looks at all variables for those with its prefix
        if not {"networkx.utils.backends", "NETWORKX"} & names or name.startswith("NETWORKX"):
            read.add(name)
        return super().__getitem__(name)
os.environ.__class__ = Recorded
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*sorted(read))
"""


def test_dbt_reads_no_other_variable_when_it_is_imported() -> None:
    read = run_python(READING, DBT, *LATER).split()
    assert "DBT_MACRO_DEBUGGING" in read
    assert [name for name in read if not name.startswith(STARTUP)] == []
