"""The last load is the last that filled tables, as this or another process sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from dlt_dbtcloud import DBTCloudException
from dlt_dbtcloud.loads.packages import RESULTS_HINT, RESULTS_SCHEMA, LastLoad, last_load
from tests.support.forks import run_forked
from tests.support.warehouse import warehouse


@pytest.fixture
def pipeline() -> dlt.Pipeline:
    destination = warehouse("flights.duckdb")
    return dlt.pipeline("flights", destination=destination, dataset_name="raw")


def load(
    pipeline: dlt.Pipeline,
    table: str = "airlines",
    source: str | None = None,
    hints: dict[str, Any] | None = None,
) -> str:
    resource = dlt.resource([{"carrier": "AA"}], name=table)
    resource.apply_hints(additional_table_hints=hints)
    data: Any = dlt.source(lambda: resource, name=source)() if source else resource
    return str(max(pipeline.run(data).loads_ids))


def test_a_pipeline_that_has_loaded_nothing_has_no_last_load(pipeline: dlt.Pipeline) -> None:
    assert last_load(pipeline) is None


def test_the_last_load_is_the_last(pipeline: dlt.Pipeline) -> None:
    load(pipeline)
    newest = load(pipeline)
    assert last_load(pipeline) == LastLoad("flights", newest)


def test_a_load_of_several_sources_is_one(pipeline: dlt.Pipeline) -> None:
    first = dlt.source(lambda: dlt.resource([{"a": 1}], name="one"), name="first")()
    second = dlt.source(lambda: dlt.resource([{"a": 1}], name="two"), name="second")()
    newest = max(pipeline.run([first, second]).loads_ids)
    assert last_load(pipeline) == LastLoad("flights", newest)


def test_another_process_sees_the_same(pipeline: dlt.Pipeline) -> None:
    newest = load(pipeline)
    code = (
        "import dlt; from dlt_dbtcloud.loads.packages import last_load\n"
        "print(last_load(dlt.attach('flights')).load_id)"
    )
    assert run_forked(code).strip() == newest


def elsewhere(folder: Path, **options: Any) -> dlt.Pipeline:
    """The same pipeline on another machine, which shares the destination only."""
    pipelines_dir = str(folder / "elsewhere")
    pipeline: dlt.Pipeline = dlt.pipeline("flights", pipelines_dir=pipelines_dir, **options)
    return pipeline


def test_another_machine_finds_the_load_in_the_destination(
    pipeline: dlt.Pipeline, tmp_path: Path
) -> None:
    options = {"destination": warehouse("flights.duckdb"), "dataset_name": "raw"}
    assert last_load(elsewhere(tmp_path / "before", **options)) is None
    newest = load(pipeline)
    assert last_load(elsewhere(tmp_path / "after", **options)) == LastLoad("flights", newest)


def test_another_machine_that_cannot_know_the_load_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # without it, dlt does not store the state of a pipeline in its destination
    monkeypatch.setenv("RESTORE_FROM_DESTINATION", "false")
    options: Any = {"destination": warehouse("flights.duckdb"), "dataset_name": "raw"}
    load(dlt.pipeline("flights", **options))
    with pytest.raises(DBTCloudException, match="has loads but not its state"):
        last_load(elsewhere(tmp_path, **options))


def test_another_machine_needs_the_destination(pipeline: dlt.Pipeline, tmp_path: Path) -> None:
    load(pipeline)
    with pytest.raises(DBTCloudException, match="has no destination"):
        last_load(elsewhere(tmp_path))


def test_a_load_of_dbts_results_does_not_count(pipeline: dlt.Pipeline) -> None:
    newest = load(pipeline)
    load(pipeline, "dbt_runs", source=RESULTS_SCHEMA, hints={RESULTS_HINT: True})
    assert last_load(pipeline) == LastLoad("flights", newest)


def test_a_load_of_nothing_does_not_count(pipeline: dlt.Pipeline) -> None:
    newest = load(pipeline)

    @dlt.resource
    def empty() -> Iterator[dict[str, Any]]:
        dlt.current.resource_state()["seen"] = True
        yield from ()

    pipeline.run(empty())
    assert last_load(pipeline) == LastLoad("flights", newest)


def test_a_failed_load_is_an_error(pipeline: dlt.Pipeline) -> None:
    load(pipeline)

    @dlt.resource
    def broken() -> Iterator[dict[str, Any]]:
        yield {"a": 1}
        raise ValueError("no more")

    with pytest.raises(PipelineStepFailed):
        pipeline.run(broken())
    with pytest.raises(DBTCloudException, match="`flights` failed in step `extract`"):
        last_load(pipeline)
    newest = load(pipeline)
    assert last_load(pipeline) == LastLoad("flights", newest)


def test_other_types_are_refused() -> None:
    anything: Any = "flights"
    with pytest.raises(TypeError, match="`pipeline` is a `str`"):
        last_load(anything)
