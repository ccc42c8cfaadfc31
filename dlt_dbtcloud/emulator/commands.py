"""Which command lines a job may hold: dbt's own, and nothing that leaves the run's folders."""

from __future__ import annotations

import shlex

from dlt_dbtcloud.emulator.models import PlannedStep

SUBCOMMANDS = frozenset(
    {
        "build",
        "clone",
        "compile",
        "debug",
        "deps",
        "docs",
        "list",
        "ls",
        "parse",
        "retry",
        "run",
        "run-operation",
        "seed",
        "show",
        "snapshot",
        "source",
        "test",
    }
)
RETRYABLE = frozenset(
    {"build", "clone", "compile", "docs", "run", "run-operation", "seed", "snapshot", "test"}
)
# dbt's options before the subcommand whose value is a word of its own
VALUED_OPTIONS = frozenset(
    {
        "--defer-state",
        "--indirect-selection",
        "--log-file-max-bytes",
        "--log-format",
        "--log-format-file",
        "--log-level",
        "--log-level-file",
        "--partial-parse-file-path",
        "--printer-width",
        "--profile",
        "--state",
        "--target",
        "--warn-error-options",
        "-t",
    }
)
# a run writes to its own folder only, so the emulator sets these itself
REFUSED_OPTIONS = frozenset(
    {
        "--log-path",
        "--profiles-dir",
        "--project-dir",
        "--record-timing-info",
        "--target-path",
        "-r",
    }
)


class CommandError(ValueError):
    """A job's step that is no dbt command the emulator runs."""


def parse_command(line: str) -> tuple[str, ...]:
    """Split a job's step into the arguments of `dbt`, as a shell would, without a shell.

    Args:
        line: The step, for example `dbt build --select orders+`.

    Returns:
        The arguments that follow `dbt`.

    Raises:
        CommandError: The step does not start with `dbt` and a known subcommand, or has an option
            that the emulator sets itself.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise CommandError(f"`{line}` cannot be read: {error}.") from error
    if not words or words[0] != "dbt":
        raise CommandError(f"`{line}` is no dbt command: a step starts with `dbt`.")
    arguments = tuple(words[1:])
    for word in arguments:
        if word.split("=", 1)[0] in REFUSED_OPTIONS:
            raise CommandError(f"`{line}`: `{word}` is set by the service, remove it.")
    _check_subcommand(line, arguments)
    return arguments


def subcommand(arguments: tuple[str, ...]) -> str | None:
    """Find dbt's subcommand behind its global options and their values."""
    words = iter(arguments)
    for word in words:
        if word in VALUED_OPTIONS:
            next(words, None)
        elif not word.startswith("-"):
            return word if word in SUBCOMMANDS else None
    return None


def plan_command(line: str, *, may_fail: bool = False) -> PlannedStep:
    """Plan the step that executes one command line."""
    arguments = parse_command(line)
    return PlannedStep(f"Invoke dbt with `{line}`", arguments, line, may_fail)


def _check_subcommand(line: str, arguments: tuple[str, ...]) -> None:
    found = subcommand(arguments)
    if found is None:
        known = ", ".join(sorted(SUBCOMMANDS))
        raise CommandError(f"`{line}` has no dbt subcommand that a job runs: {known}.")
    if found == "docs" and "serve" in arguments:
        raise CommandError(f"`{line}` would never end: a job runs `dbt docs generate`.")
