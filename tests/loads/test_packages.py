"""The last load is the last that filled tables, as this or another process sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from dlt_dbtcloud import DBTCloudException
from dlt_dbtcloud.loads.packages import LastLoad, last_load
from tests.support.loading.loads import SharedLoads, load_sources, load_tables
from tests.support.processes.forks import run_forked


def load(pipeline: dlt.Pipeline) -> str:
    return str(max(pipeline.run([{"carrier": "AA"}], table_name="airlines").loads_ids))


@pytest.fixture
def copy(shared_loads: SharedLoads) -> dlt.Pipeline:
    """Return a copy of a pipeline that has loaded a table."""
    return shared_loads.copy("flights", load_tables, "airlines")


def newest(pipeline: dlt.Pipeline) -> str:
    return max(pipeline.list_completed_load_packages())


def test_a_pipeline_that_has_loaded_nothing_has_no_last_load(pipeline: dlt.Pipeline) -> None:
    assert last_load(pipeline) is None


def test_a_load_of_several_sources_is_one(shared_loads: SharedLoads) -> None:
    with shared_loads.pipeline("sales", load_sources) as pipeline:
        assert len(pipeline.list_completed_load_packages()) == 2
        assert last_load(pipeline) == LastLoad("sales", newest(pipeline))


@pytest.mark.usefixtures("forking")
def test_another_process_sees_the_same(loaded_pipeline: dlt.Pipeline) -> None:
    folder = loaded_pipeline.pipelines_dir
    code = (
        "import dlt; from dlt_dbtcloud.loads.packages import last_load\n"
        f"print(last_load(dlt.attach('flights', pipelines_dir={folder!r})).load_id)"
    )
    assert run_forked(code).strip() == newest(loaded_pipeline)


def elsewhere(folder: Path, **options: Any) -> dlt.Pipeline:
    """The same pipeline on another machine, which shares the destination only."""
    pipelines_dir = str(folder / "elsewhere")
    pipeline: dlt.Pipeline = dlt.pipeline("flights", pipelines_dir=pipelines_dir, **options)
    return pipeline


def test_another_machine_finds_the_load_in_the_destination(
    loaded_pipeline: dlt.Pipeline, pipeline: dlt.Pipeline, tmp_path: Path
) -> None:
    options: Any = {"destination": pipeline.destination, "dataset_name": "raw"}
    assert last_load(elsewhere(tmp_path / "before", **options)) is None
    options["destination"] = loaded_pipeline.destination
    after = elsewhere(tmp_path / "after", **options)
    assert last_load(after) == LastLoad("flights", newest(loaded_pipeline))


def test_another_machine_has_credentials_of_the_pipeline(
    loaded_pipeline: dlt.Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with loaded_pipeline.sql_client() as client:
        query = "SELECT path FROM duckdb_databases() WHERE path != ''"
        ((database,),) = client.execute_sql(query) or ()
    monkeypatch.setenv("FLIGHTS__DESTINATION__DUCKDB__CREDENTIALS", f"duckdb:///{database}")
    found = last_load(elsewhere(tmp_path, destination="duckdb", dataset_name="raw"))
    assert found == LastLoad("flights", newest(loaded_pipeline))


def test_another_machine_that_cannot_know_the_load_is_an_error(
    pipeline: dlt.Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # without it, dlt does not store the state of a pipeline in its destination
    monkeypatch.setenv("RESTORE_FROM_DESTINATION", "false")
    options: Any = {"destination": pipeline.destination, "dataset_name": "raw"}
    load(dlt.pipeline("flights", **options))
    with pytest.raises(DBTCloudException, match="has loads but not its state"):
        last_load(elsewhere(tmp_path, **options))


def test_another_machine_needs_the_destination(tmp_path: Path) -> None:
    with pytest.raises(DBTCloudException, match="has no destination"):
        last_load(elsewhere(tmp_path))


def test_a_failed_load_is_an_error_until_the_next_load(copy: dlt.Pipeline) -> None:
    @dlt.resource
    def broken() -> Iterator[dict[str, Any]]:
        yield {"a": 1}
        raise ValueError("no more")

    with pytest.raises(PipelineStepFailed):
        copy.run(broken())
    with pytest.raises(DBTCloudException, match="`flights` failed in step `extract`"):
        last_load(copy)
    newest = load(copy)
    assert last_load(copy) == LastLoad("flights", newest)


def test_other_types_are_refused() -> None:
    anything: Any = "flights"
    with pytest.raises(TypeError, match="`pipeline` is a `str`"):
        last_load(anything)
