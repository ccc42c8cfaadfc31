"""Nodes are predicted to take as long as before, and less if they execute together."""

from __future__ import annotations

import pytest

from dlt_dbtcloud.dbt import Manifest, Result, Results
from dlt_dbtcloud.runs.plan.forecast import Forecast, Past, positions_with_results
from dlt_dbtcloud.typing import Run
from tests.support.dbt.manifests import read_manifest

CHAIN = read_manifest(
    {
        "nodes": {
            "model.p.a": {},
            "model.p.b": {"depends_on": {"nodes": ["model.p.e"]}},
            "model.p.e": {
                "depends_on": {"nodes": ["model.p.a"]},
                "config": {"materialized": "ephemeral"},
            },
            "model.p.c": {},
        }
    }
)
ABC = frozenset({"model.p.a", "model.p.b", "model.p.c"})


def past(
    seconds: dict[str, float],
    elapsed: float | None = None,
    duration: float | None = None,
    *,
    is_complete: bool = True,
) -> Past:
    found = tuple(Result(node, "success", execution_time=each) for node, each in seconds.items())
    run = Run(id=1)
    if duration is not None:
        run["started_at"] = "2026-01-01 00:00:00.000000+00:00"
        run["finished_at"] = f"2026-01-01 00:00:{duration:09.6f}+00:00"
    return Past(run, ["dbt build"], {0: Results(found, elapsed=elapsed)}, is_complete)


def test_parallel_nodes_take_less_than_their_sum() -> None:
    times = dict.fromkeys(ABC, 10.0)
    assert Forecast([past(times)]).seconds([ABC], Manifest()) == 30.0
    assert Forecast([past(times, elapsed=15.0)]).seconds([ABC], Manifest()) == 15.0


def test_a_chain_of_nodes_takes_their_sum() -> None:
    forecast = Forecast([past(dict.fromkeys(ABC, 10.0), elapsed=12.0)])
    assert forecast.seconds([ABC], CHAIN) == 20.0
    assert forecast.seconds([{"model.p.a", "model.p.c"}], CHAIN) == 10.0
    assert forecast.seconds([{"model.p.a"}, {"model.p.b"}], CHAIN) == 20.0


def test_the_time_without_nodes_is_added_if_all_results_are_known() -> None:
    times = dict.fromkeys(ABC, 10.0)
    assert Forecast([past(times, 15.0, 40.0)]).seconds([set()], CHAIN) == 25.0
    assert Forecast([past(times, 15.0, 40.0, is_complete=False)]).seconds([set()], CHAIN) == 0
    # results that contradict the duration of the run
    assert Forecast([past(times, 15.0, 4.0)]).seconds([set()], CHAIN) == 0


def test_the_median_of_each_node_counts_and_a_new_node_is_like_others_of_its_type() -> None:
    forecast = Forecast([past({"model.p.a": each, "test.p.t": 1.0}) for each in (2.0, 9.0, 3.0)])
    assert forecast.seconds([{"model.p.a"}], CHAIN) == 3.0
    assert forecast.seconds([{"model.p.new", "test.p.new"}], CHAIN) == 4.0
    assert forecast.seconds([{"seed.p.new"}], CHAIN) == 0.0


def test_nodes_that_were_not_executed_have_no_time() -> None:
    reused = Result("model.p.a", "reused", execution_time=0.0)
    without = Past(Run(id=1), ["dbt build"], {0: Results((reused,))}, is_complete=True)
    assert not Forecast([without])
    assert Forecast([without, past({"model.p.a": 5.0})]).seconds([{"model.p.a"}], CHAIN) == 5.0


def test_a_cycle_is_not_an_error() -> None:
    nodes = {
        name: {"depends_on": {"nodes": [f"model.p.{other}"]}}
        for name, other in (("a", "b"), ("b", "a"))
    }
    manifest = read_manifest({"nodes": {f"model.p.{name}": each for name, each in nodes.items()}})
    forecast = Forecast([past({"model.p.a": 1.0, "model.p.b": 2.0})])
    assert forecast.seconds([{"model.p.a", "model.p.b"}], manifest) == 3.0


@pytest.mark.parametrize(
    ("commands", "positions"),
    [
        (["dbt deps", "dbt seed", "dbt run", "dbt test", "dbt docs generate"], [2, 1, 3]),
        (["dbt build --no-write-json", "make x", "dbt 'x"], []),
    ],
)
def test_results_of_models_are_read_first(commands: list[str], positions: list[int]) -> None:
    assert positions_with_results(commands) == positions
