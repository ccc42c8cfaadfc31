"""The nodes that have finished are read from the logs of dbt Core and dbt Fusion."""

from __future__ import annotations

import pytest

from dlt_dbtcloud.dbt.progress import NodeProgress, node_progress
from tests.support.dbt.recordings import CORE, FUSION, load


def log_of(name: str, engine: str = CORE, command: int = 0) -> list[str]:
    lines: list[str] = load(name, engine)[command]["log"]
    return lines


def test_the_finished_nodes_of_dbt_core_are_counted() -> None:
    lines = log_of("failed_test")
    begun = next(number for number, line in enumerate(lines) if "3 of 82 START" in line)
    assert node_progress("\n".join(lines[:5])) is None
    assert node_progress("\n".join(lines[: begun + 1])) == NodeProgress(2, 82)
    assert node_progress("\n".join(lines[: begun + 2])) == NodeProgress(3, 82)
    failure = "FAIL 1 assert_delay_agrees_with_the_clock"
    assert node_progress("\n".join(lines)) == NodeProgress(82, 82, (failure,))


def test_a_failed_model_of_dbt_core_is_a_failure() -> None:
    found = node_progress("\n".join(log_of("failed_model")))
    failure = "ERROR creating sql table model analytics.fct_flights"
    assert found == NodeProgress(82, 82, (failure,))


def test_a_log_without_its_beginning_counts_the_nodes_before() -> None:
    lines = log_of("failed_test")
    end = next(number for number, line in enumerate(lines) if "41 of 82 START" in line)
    assert node_progress("\n".join(lines[end - 10 : end + 1])) == NodeProgress(40, 82)


def test_the_debug_log_of_dbt_core_counts_too() -> None:
    lines = [
        "\x1b[0m22:09:38.218 [info ] [Thread-1 (]: 1 of 82 START sql view model a.x ..... [RUN]",
        "\x1b[0m22:09:38.499 [debug] [Thread-1 (]: SQL status: OK in 0.001 seconds",
        "\x1b[0m22:09:38.511 [info ] [Thread-1 (]: 1 of 82 \x1b[32mOK\x1b[0m created sql x . [OK]",
    ]
    assert node_progress("\n".join(lines)) == NodeProgress(1, 82)


def test_hooks_and_batches_are_not_nodes() -> None:
    lines = [
        "09:00:00  1 of 2 START hook: shop.on-run-start.0 ...... [RUN]",
        "09:00:00  1 of 2 OK hook: shop.on-run-start.0 ......... [OK in 0.1s]",
        "09:00:01  1 of 9 START sql microbatch model a.x ....... [RUN]",
        "09:00:02  Batch 3 of 5 START batch 2026-01-03 of a.x .. [RUN]",
        "09:00:03  3 of 5 OK created batch 2026-01-03 of a.x ... [OK in 0.1s]",
    ]
    assert node_progress("\n".join(lines[:4])) == NodeProgress(0, 9)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("built", NodeProgress(7)),
        (
            "fail_fast",
            NodeProgress(3, None, ("Failed test accepted_values_sorts_colour__green",)),
        ),
        ("broken_yaml", None),
    ],
)
def test_the_finished_nodes_of_dbt_fusion_are_counted(
    name: str, expected: NodeProgress | None
) -> None:
    assert node_progress("\n".join(log_of(name, FUSION))) == expected


def test_other_logs_contain_no_nodes() -> None:
    assert node_progress("") is None
    assert node_progress("Cloning into '/tmp/x'...\n1 of 3 files") is None


@pytest.mark.parametrize(
    "log",
    ["09:09:09 " + "[] " * 100_000, "x" + "\n" * 300_000 + "y", "1 of " * 60_000, " " * 300_000],
    ids=["brackets", "empty lines", "counts", "spaces"],
)
def test_a_log_of_any_form_is_read_in_a_moment(log: str) -> None:
    """Otherwise a check takes minutes, which the limit of a test ends."""
    assert node_progress(log) is None
