"""`logs` prints the logs of steps, and with `--follow` each line once."""

from __future__ import annotations

from functools import partial

import pytest

from dlt_dbtcloud.cli.actions.logs import new_parts
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.typing import RunStep
from tests.cli.conftest import Cli
from tests.support.past_runs import ended_run, started_run
from tests.support.processes.threads import interrupting
from tests.support.watching import is_waited_for


def step(index: int, logs: str | None, **more: str) -> RunStep:
    fields: RunStep = {"index": index, "name": f"Step {index}", "logs": logs}
    return {**fields, **more}  # type: ignore[typeddict-item]  # logs of the tests


def followed(*states: list[RunStep], is_debug: bool = False) -> list[tuple[str | None, str]]:
    """Return the titles and texts that are printed while a run passes through states."""
    printed: dict[int, int] = {}
    found = []
    for number, steps in enumerate(states, start=1):
        has_ended = number == len(states)
        for part in new_parts(steps, printed, is_debug=is_debug, has_ended=has_ended):
            found.append((part.title, part.text))
            printed[part.index] = part.printed
    return found


def test_each_line_is_printed_once_when_it_is_complete() -> None:
    assert followed(
        [step(1, "a\nb")],
        [step(1, "a\nb")],
        [step(1, "a\nbb\nc")],
        [step(1, "a\nbb\nccc"), step(2, None)],
        [step(1, "a\nbb\nccc"), step(2, "d\n")],
    ) == [
        ("Step 1", "a\n"),
        (None, "bb\n"),
        ("Step 2", ""),
        (None, "ccc"),
        (None, "d\n"),
    ]


def test_a_log_that_becomes_shorter_is_not_printed_again() -> None:
    assert followed([step(1, "a\nb\n")], [step(1, "a\n")], [step(1, "a\nb\nc\n")]) == [
        ("Step 1", "a\nb\n"),
        (None, "c\n"),
    ]


def test_debug_logs_replace_the_logs_if_there_are_any() -> None:
    steps = [step(1, "short\n", debug_logs="long\n"), step(2, "only\n")]
    assert followed(steps, is_debug=True) == [("Step 1", "long\n"), ("Step 2", "only\n")]


@pytest.mark.parametrize(
    "options", [(), ("--follow",), ("--debug-logs",), ("--follow", "--debug-logs")]
)
def test_logs_of_a_run_are_printed(
    cli: Cli, cloud: DBTCloudEmulator, options: tuple[str, ...]
) -> None:
    run = ended_run(cloud, cloud.create_job("Nightly"))
    done = cli("logs", run["id"], *options)
    assert done.status == 0
    assert done.out.count("Invoke dbt with `dbt build`") >= 2
    assert done.out.index("Clone git repository") < done.out.index("dbt deps")


def test_follow_ends_with_the_run(cli: Cli, cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Nightly", duration=0.1, outcome="error")
    run = started_run(cloud, job)
    done = cli("logs", run["id"], "--follow")
    assert done.status == 0
    assert done.out.count("as scripted") == 1
    assert f"Run {run['id']} has ended: Error." in done.err


def test_follow_ends_with_124_after_the_timeout(cli: Cli, cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Long", duration=None)
    run = started_run(cloud, job)
    done = cli("logs", run["id"], "--follow", "--timeout", "0.05")
    assert done.status == 124


def test_follow_survives_an_outage(cli: Cli, cloud: DBTCloudEmulator, short_pauses: None) -> None:
    job = cloud.create_job("Nightly", duration=0.1)
    run = started_run(cloud, job)
    cloud.fail("get_run", "status", status=503)
    assert cli("logs", run["id"], "--follow").status == 0


def test_a_step_is_chosen_by_its_index(cli: Cli, cloud: DBTCloudEmulator) -> None:
    run = ended_run(cloud, cloud.create_job("Nightly"))
    done = cli("logs", run["id"], "--step", "4", "--json")
    assert [each["index"] for each in done.json] == [4]
    missing = cli("logs", run["id"], "--step", "9")
    assert missing.status == 2
    assert "has no step 9: it has 4 steps" in missing.err


def test_ctrl_c_ends_with_130(cli: Cli, cloud: DBTCloudEmulator) -> None:
    job = cloud.create_job("Long", duration=None)
    run = started_run(cloud, job)
    with interrupting(KeyboardInterrupt, partial(is_waited_for, cloud)):
        done = cli("logs", run["id"], "--follow")
    assert done.status == 130
    assert "Traceback" not in done.err
