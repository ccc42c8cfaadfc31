"""A load's commands build what it feeds: never less, and more only where dbt allows no better."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud.commands import MAX_LENGTH
from dlt_dbtcloud.selection import covers, steps_for

FLIGHTS, WEATHER = "source.shop.raw.flights", "source.shop.raw.weather"


def source(name: str) -> dict[str, Any]:
    return {"package_name": "shop", "source_name": "raw", "name": name, "schema": "raw"}


MANIFEST = {
    "sources": {FLIGHTS: source("flights"), WEATHER: source("weather")},
    "nodes": {"model.shop.stg": {}, "test.shop.t.1": {}},
    "child_map": {FLIGHTS: ["model.shop.stg"], "model.shop.stg": ["test.shop.t.1"]},
    "selectors": {},
}


@pytest.mark.parametrize(
    ("commands", "steps"),
    [
        (["dbt build"], ["dbt build --select source:raw.flights+"]),
        (
            ["dbt deps", "dbt run --full-refresh", "dbt test -s tag:a b,c --exclude d"],
            [
                "dbt deps",
                "dbt run --full-refresh --select source:raw.flights+",
                "dbt test --exclude d --select tag:a,source:raw.flights+ b,c,source:raw.flights+",
            ],
        ),
        # nothing that was loaded feeds a seed or a snapshot
        (["dbt seed", "dbt snapshot", "dbt run"], ["dbt run --select source:raw.flights+"]),
        (
            ["dbt run-operation grant", "dbt docs generate", "dbt source freshness", "dbt run"],
            [
                "dbt run-operation grant",
                "dbt docs generate",
                "dbt source freshness",
                "dbt run --select source:raw.flights+",
            ],
        ),
        # nothing at all that it feeds would be executed
        (["dbt seed", "dbt docs generate"], []),
        (["dbt deps"], []),
        ([], []),
    ],
)
def test_commands_build_what_the_sources_feed(commands: list[str], steps: list[str]) -> None:
    assert steps_for(commands, MANIFEST, [FLIGHTS]) == steps


@pytest.mark.parametrize(
    "line", ["dbt build --selector nightly", "dbt build 'x", "make build", "dbt"]
)
def test_what_cannot_be_narrowed_stays_whole_with_a_warning(
    line: str, caplog: pytest.LogCaptureFixture
) -> None:
    steps = steps_for([line, "dbt run"], MANIFEST, [FLIGHTS])
    assert steps == [line, "dbt run --select source:raw.flights+"]
    assert "A step is executed whole" in caplog.text


def test_a_default_selector_keeps_a_step_whole() -> None:
    manifest = {**MANIFEST, "selectors": {"usual": {"name": "usual", "default": True}}}
    assert steps_for(["dbt build"], manifest, [FLIGHTS]) == ["dbt build"]


def test_nothing_fed_is_nothing_to_do() -> None:
    assert steps_for(["dbt build"], MANIFEST, [WEATHER]) == []
    assert steps_for(["dbt build"], MANIFEST, []) == []


def test_a_selection_that_is_too_long_becomes_broader_never_less() -> None:
    names = [f"table_{i:05}_{'x' * 40}" for i in range(3_000)]
    ids = [f"source.shop.raw.{name}" for name in names]
    manifest = {
        **MANIFEST,
        "sources": {uid: source(name) for uid, name in zip(ids, names, strict=True)},
        "child_map": {uid: ["model.shop.stg"] for uid in ids},
    }
    assert steps_for(["dbt build"], manifest, ids) == ["dbt build --select source:raw+"]
    own = " ".join(f"tag:{i:04}" for i in range(8_000))
    (crossed,) = steps_for([f"dbt build --select {own}"], manifest, ids)
    # what does not fit in any way is left whole
    assert crossed == f"dbt build --select {own}"
    assert len(crossed) < MAX_LENGTH


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        (["dbt build"], ["dbt build"], True),
        (["dbt build"], ["dbt build --select source:raw.a+"], True),
        (["dbt build --select a b c"], ["dbt build --select c a"], True),
        (["dbt seed", "dbt build"], ["dbt build -s a"], True),
        (["dbt build --select a"], ["dbt build --select a b"], False),
        (["dbt build --select a"], ["dbt build"], False),
        (["dbt build --exclude x"], ["dbt build --select a"], False),
        (["dbt build --full-refresh"], ["dbt build"], False),
        (["dbt run"], ["dbt build"], False),
        (["dbt test", "dbt run"], ["dbt run", "dbt test"], False),
        (["dbt build", "make x"], ["make y"], False),
        ([], ["dbt build"], False),
    ],
)
def test_whether_one_run_builds_all_that_another_would(
    theirs: list[str], ours: list[str], expected: bool
) -> None:
    assert covers(theirs, ours) is expected
