"""The caller's display wins over the pipeline's, and without both there are lines."""

from __future__ import annotations

import io
import sys
from typing import Any

import dlt
import pytest
from dlt.common.configuration.exceptions import ConfigurationValueError
from dlt.common.exceptions import MissingDependencyException
from dlt.common.runtime.collector import DictCollector, LogCollector, NullCollector

from dlt_dbtcloud import DBTCloudConfiguration, get_dbt_cloud_run_status, run_dbt_cloud_job
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.runs.progress import new_display
from dlt_dbtcloud.runs.progress.displays import (
    CollectorDisplay,
    Counter,
    Frame,
    LineDisplay,
    TerminalDisplay,
)
from tests.support.processes.terminal import terminal

FRAME = Frame("dbt Cloud run 7", (), ("running 3s",), 1, (Counter("Steps", 1, 2),))


def test_without_a_terminal_there_are_lines() -> None:
    assert isinstance(new_display(None), LineDisplay)


def test_a_terminal_has_a_line_that_is_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(80) as screen:
        monkeypatch.setattr(sys, "stderr", screen.stream)
        monkeypatch.setenv("TERM", "xterm")
        assert isinstance(new_display(None), TerminalDisplay)
        monkeypatch.setenv("TERM", "dumb")
        assert isinstance(new_display(None), LineDisplay)


def test_a_process_without_standard_error_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert new_display(None) is None
    assert new_display("log") is None


def test_the_log_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    display = new_display("log")
    assert display
    display.show(FRAME, 0)
    display.close()
    captured = capsys.readouterr()
    assert "Steps: 1/2 (50.0%)" in captured.err
    assert captured.out == ""


def test_the_collector_of_the_pipeline_is_the_default(pipeline: dlt.Pipeline) -> None:
    assert isinstance(new_display(None, pipeline), LineDisplay)
    pipeline.collector = LogCollector(logger=io.StringIO(), dump_system_stats=False)
    assert isinstance(new_display(None, pipeline), CollectorDisplay)
    assert new_display(NullCollector(), pipeline) is None


def test_the_collector_of_a_pipeline_that_is_running_keeps_its_counters(
    pipeline: dlt.Pipeline,
) -> None:
    collector = LogCollector(logger=io.StringIO(), dump_system_stats=False)
    pipeline.collector = collector
    with collector("Extract"):
        collector.update("Resources", 1)
        for display in (new_display(None, pipeline), new_display(collector)):
            assert display
            display.show(FRAME, 0)
            display.close()
        collector.update("Resources", 1)
        assert collector.counters == {"Resources": 2}


class Counting(DictCollector):
    """A collector that records what it was started for."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[str] = []

    def _start(self, step: str) -> None:
        super()._start(step)
        self.steps.append(step)


def test_a_collector_is_an_argument_or_part_of_the_credentials(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_CLOUD__PROGRESS", "log")
    job = cloud.create_job("Short")
    first, second = Counting(), Counting()
    run_dbt_cloud_job({"progress": first}, job)
    run_dbt_cloud_job({"progress": first}, job, progress=second)
    run_dbt_cloud_job(DBTCloudConfiguration(progress=first), job, progress="log")  # type: ignore[arg-type]  # undocumented
    get_dbt_cloud_run_status(run_id=run_dbt_cloud_job(job_id=job)["id"], progress=second)
    assert (first.steps, second.steps) == (["dbt Cloud"], ["dbt Cloud"])


@pytest.mark.parametrize("progress", ["bar", "Log", 5])
def test_an_unknown_name_is_an_error_that_lists_the_names(
    cloud: DBTCloudEmulator, progress: Any
) -> None:
    names = "`log`, `tqdm`, `enlighten`, `alive_progress`, or a collector of dlt"
    with pytest.raises(ConfigurationValueError, match=names):
        run_dbt_cloud_job(job_id=7, progress=progress)
    assert not cloud.requests


def test_the_config_names_a_collector(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DBT_CLOUD__PROGRESS", "log")
    job = cloud.create_job("Short")
    run_dbt_cloud_job(job_id=job)
    assert "- dbt Cloud -" in capsys.readouterr().err
    monkeypatch.setenv("DBT_CLOUD__PROGRESS", "bar")
    with pytest.raises(ConfigurationValueError, match="`progress='bar'`"):
        run_dbt_cloud_job(job_id=job)


def test_a_missing_library_is_an_error_before_the_trigger(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(MissingDependencyException, match="tqdm"):
        run_dbt_cloud_job(job_id=cloud.create_job("Short"), progress="tqdm")
    assert not cloud.runs


def test_a_call_writes_its_progress_to_standard_error(
    cloud: DBTCloudEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    job = cloud.create_job("Short")
    run = run_dbt_cloud_job(job_id=job)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0] == f'dbt Cloud run {run["id"]} of job "Short": {run["href"]}'
    assert lines[-1].startswith(f"dbt Cloud run {run['id']}: success after 0s")
    run_dbt_cloud_job(job_id=job, wait_for_outcome=False)
    assert capsys.readouterr() == ("", "")
