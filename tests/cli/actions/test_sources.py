"""`sources` prints, writes and checks the dbt sources of a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import pytest
import yaml

from dlt_dbtcloud import dbt_sources
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.cli.conftest import Cli, Done
from tests.support.dbt.nodes import manifest
from tests.support.past_runs import ended_run


@pytest.fixture
def sources(cli: Cli, loaded_pipeline: dlt.Pipeline) -> Any:
    """Return a function that executes `sources` for a loaded pipeline."""
    folder = Path(loaded_pipeline.working_dir).parent

    def execute(*words: object) -> Done:
        return cli("sources", "flights", "--pipelines-dir", folder, *words)

    return execute


def test_they_are_printed_as_yaml_or_json(sources: Any, loaded_pipeline: dlt.Pipeline) -> None:
    expected = dbt_sources(loaded_pipeline)
    assert yaml.safe_load(sources().out) == expected
    assert sources("--json").json == expected


def test_they_are_written_to_a_file(sources: Any, isolated: Path) -> None:
    done = sources("--write", "sources.yml")
    assert (done.status, done.out) == (0, "")
    assert "Wrote 1 table to sources.yml." in done.err
    assert yaml.safe_load((isolated / "sources.yml").read_text())["sources"]
    done = sources("--write", "no/such/folder.yml")
    assert done.status == 2
    assert "`no/such/folder.yml` cannot be written" in done.err


def test_only_a_file_that_the_command_has_written_is_replaced(sources: Any, isolated: Path) -> None:
    own = isolated / "own.yml"
    own.write_text("sources: [] # of the user\n")
    done = sources("--write", own)
    assert (done.status, done.out, own.read_text()) == (2, "", "sources: [] # of the user\n")
    assert f"`{own}` exists, and this command has not written it. Name another" in done.err
    written = isolated / "sources.yml"
    written.touch()
    for _ in range(2):
        assert sources("--write", written).status == 0
    assert written.read_text() == sources().out


def test_a_difference_to_the_job_is_a_failure(sources: Any, cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly", artifacts={"manifest.json": manifest()})
    ended_run(cloud, job)
    done = sources("--check", "--job-id", job)
    assert done.status == 1
    assert "airlines" in done.out
    found = sources("--check", "--job-id", job, "--json")
    assert found.status == 1
    assert {"kind", "name", "message"} == found.json[0].keys()


def test_a_check_needs_a_job_with_a_manifest(sources: Any, cloud: DBTCloudEmulator) -> None:
    assert "`job_id` is missing" in sources("--check").err
    done = sources("--check", "--job-id", cloud.create_job("Nightly"))
    assert done.status == 2
    assert "status 404" in done.err


def test_a_pipeline_that_never_loaded_is_bad_input(cli: Cli) -> None:
    pipeline = dlt.pipeline("empty", destination="duckdb")
    with pipeline.managed_state():
        pass
    done = cli("sources", "empty")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "has not loaded any table" in done.err
