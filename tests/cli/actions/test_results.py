"""`results` shows failures first, times as bars, and folds tests that do not fail."""

from __future__ import annotations

from dlt_dbtcloud.cli.actions.results import results_view
from dlt_dbtcloud.cli.console import render
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.typing import NodeResult
from tests.cli.conftest import Cli
from tests.support.dbt.nodes import result
from tests.support.past_runs import ended_run

RESULTS = [
    result("model.shop.stg_orders", execution_time=1.0),
    result("test.shop.not_null_orders_id", "pass", execution_time=0.25),
    result("test.shop.unique_orders_id", "pass", execution_time=0.25),
    result("model.shop.orders", execution_time=4.0),
    result(
        "model.shop.broken",
        "error",
        path="models/broken.sql",
        message="Database Error\n  no such column",
        execution_time=0.5,
    ),
    result("model.shop.mart", "skipped", execution_time=0.0),
    result("test.shop.not_null_mart_id", "skipped", execution_time=0.0),
    result("test.shop.positive", "fail", message="Got 3 results", execution_time=0.1),
    result("test.shop.recent", "warn", message="Got 1 result", execution_time=0.1),
]


def view(results: list[NodeResult], width: int = 80, *, has_blocks: bool = True) -> list[str]:
    return render(results_view(results, width, has_blocks=has_blocks), width)


def test_failures_come_first_with_file_and_message_then_the_rest_and_a_sum() -> None:
    assert view(RESULTS) == [
        "error  model broken (models/broken.sql)  0.50 s",
        "    Database Error",
        "      no such column",
        "fail  test positive  0.10 s",
        "    Got 3 results",
        "warn  test recent  0.10 s",
        "    Got 1 result",
        "skipped  model mart        0.00 s",
        "success  model stg_orders  1.00 s  ━━━━━",
        "success  model orders      4.00 s  ━━━━━━━━━━━━━━━━━━━━",
        "skipped  1 test            0.00 s",
        "pass     2 tests           0.50 s",
        "9 nodes: 1 error, 1 fail, 1 warn, 2 skipped, 2 success, 2 pass; 6.20 s",
    ]


def test_the_table_fits_each_width() -> None:
    for width in [20, 40, 60, 80, 200]:
        long = result("model.shop." + "very_long_" * 20)
        table = view([long, *RESULTS], width)
        rows = [line for line in table if line.startswith(("success", "warn", "pass"))]
        assert rows
        assert all(len(row) <= width for row in rows)
        assert any("…" in row for row in rows)


def test_bars_use_the_characters_that_the_output_has() -> None:
    assert any("====" in line for line in view(RESULTS, has_blocks=False))
    assert not any("━" in line for line in view(RESULTS, has_blocks=False))
    assert not any("━" in line for line in view(RESULTS, 40))


def test_messages_have_no_secrets_and_no_control_characters() -> None:
    message = "password='hunter2hunter2' \x1b[31mred\x07"
    text = "\n".join(view([result("model.shop.a", "error", message=message)]))
    assert "hunter2" not in text
    assert text.isprintable() or not {"\x1b", "\x07"} & set(text)


def test_results_that_took_no_time_have_no_bars() -> None:
    assert view([result("model.shop.a", execution_time=0.0)])[0] == "success  model a  0.00 s"


def test_json_is_the_list_of_the_helper(cli: Cli, cloud: DBTCloudEmulator) -> None:
    files = {"run_results.json": {"results": [result("model.shop.a")]}}
    job = cloud.create_job("Nightly", artifacts=files)
    run = ended_run(cloud, job)
    done = cli("results", run["id"], "--json")
    assert [each["unique_id"] for each in done.json] == ["model.shop.a"]
    assert done.err == ""


def test_a_run_without_results_is_empty(cli: Cli, cloud: DBTCloudEmulator) -> None:
    run = ended_run(cloud, cloud.create_job("Nightly"))
    done = cli("results", run["id"])
    assert (done.status, done.out) == (0, "")
    assert "no results" in done.err
    assert cli("results", run["id"], "--json").json == []
