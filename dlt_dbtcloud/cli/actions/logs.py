"""Command `logs`: the logs of the steps of a run, also while it is running."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.text import Text

from dlt_dbtcloud.cli.console import Console
from dlt_dbtcloud.cli.inputs import connected, required_run
from dlt_dbtcloud.cli.statuses import ExitStatus, InputError
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.configuration import DBTCloudConfiguration
from dlt_dbtcloud.exceptions import DBTCloudRunTimeout
from dlt_dbtcloud.payloads import has_finished, log_of, steps_of
from dlt_dbtcloud.redaction import redact
from dlt_dbtcloud.typing import Run, RunStep

__all__ = ["LogPart", "logs", "new_parts"]

# seconds for which an outage is waited out
_OUTAGE = 120.0
# shortest and longest seconds between two requests
_SHORTEST = 1.0
_LONGEST = 5.0


@dataclass(frozen=True)
class LogPart:
    """A part of the log of a step that was not printed before.

    Args:
        index: The index of the step, from 1.
        title: The name of the step, if this is its first part.
        text: The new lines.
        printed: How much of the log is printed with it, in characters.
    """

    index: int
    title: str | None
    text: str
    printed: int


def logs(options: argparse.Namespace, console: Console) -> ExitStatus:
    """Show the logs of the steps of a run."""
    with connected(options) as (client, config):
        run_id = required_run(config)
        # the API returns the debug logs only with the steps
        related = ["run_steps", *(["debug_logs"] if options.debug_logs else [])]
        if options.follow:
            return _follow(client, run_id, related, options, console, config)
        run = console.without_tokens(client.get_run_status(run_id, related))
    steps = _steps(run, options.step)
    if options.step and not steps:
        count = len(steps_of(run))
        raise InputError(f"Run {run_id} has no step {options.step}: it has {count} steps.")
    if console.is_json:
        console.json(steps)
    elif not steps:
        console.note("The run has no steps yet.")
    else:
        for part in new_parts(steps, {}, is_debug=options.debug_logs, has_ended=True):
            _print(console, part)
    return ExitStatus.SUCCESS


def new_parts(
    steps: list[RunStep], printed: Mapping[int, int], *, is_debug: bool, has_ended: bool
) -> Iterator[LogPart]:
    """Yield the parts of logs that were not printed yet, in whole lines.

    Args:
        steps: The steps of the run, as last seen.
        printed: How much of each log was printed before, in characters by index.
        is_debug: Whether to print the debug logs.
        has_ended: Whether the run has ended, so that a last line without an end is complete.
    """
    for step in steps:
        index = step.get("index") or 0
        log = _log(step, is_debug=is_debug)
        before = printed.get(index, 0)
        end = len(log) if has_ended else log.rfind("\n") + 1
        if index in printed and end <= before:
            continue
        title = None if index in printed else step.get("name") or "Step"
        yield LogPart(index, title, log[before:end], max(before, end))


def _follow(
    client: DBTCloudClientV2,
    run_id: str,
    related: list[str],
    options: argparse.Namespace,
    console: Console,
    config: DBTCloudConfiguration,
) -> ExitStatus:
    """Print the logs until the run has finished."""
    patient = client.patient(_OUTAGE)
    clock = client.clock
    ends = clock.monotonic() + config.timeout
    pause = min(max(config.wait_seconds, 0.0) or _SHORTEST, _LONGEST)
    printed: dict[int, int] = {}
    while True:
        run = console.without_tokens(patient.get_run_status(run_id, related))
        has_ended = has_finished(run)
        steps = _steps(run, options.step)
        if not console.is_json:
            for part in new_parts(steps, printed, is_debug=options.debug_logs, has_ended=has_ended):
                _print(console, part)
                printed[part.index] = part.printed
            console.flush()
        if has_ended:
            break
        if clock.monotonic() >= ends:
            raise DBTCloudRunTimeout(run, config.timeout)
        clock.sleep(pause)
    if console.is_json:
        console.json(steps)
    else:
        console.note(f"Run {run_id} has ended: {run.get('status_humanized')}.")
    return ExitStatus.SUCCESS


def _steps(run: Run, index: int | None) -> list[RunStep]:
    return [step for step in steps_of(run) if index in (None, step.get("index"))]


def _log(step: RunStep, *, is_debug: bool) -> str:
    if is_debug:
        return step.get("debug_logs") or step.get("truncated_debug_logs") or log_of(step)
    return log_of(step)


def _print(console: Console, part: LogPart) -> None:
    if part.title is not None:
        dashes = "──" if console.has_blocks else "--"
        console.show(Text(f"{dashes} {part.index}  {redact(part.title)}", "bold"))
    if text := redact(part.text):
        console.write(text)
