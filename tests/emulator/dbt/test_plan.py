"""Commands of a job."""

from __future__ import annotations

import pytest

from dlt_dbtcloud.emulator.dbt.plan import CommandError, parse_command, subcommand


def test_words_are_split_without_a_shell() -> None:
    for line, arguments in [
        ("dbt build", ("build",)),
        ("dbt  run --select 'a b' +c", ("run", "--select", "a b", "+c")),
        ("dbt run --vars '{\"x\": 1}'", ("run", "--vars", '{"x": 1}')),
        ("dbt --warn-error --log-level debug run", ("--warn-error", "--log-level", "debug", "run")),
        ("dbt source freshness", ("source", "freshness")),
        ("dbt run --select a; touch x", ("run", "--select", "a;", "touch", "x")),
        ("dbt run && $(touch x) | `y` > z", ("run", "&&", "$(touch", "x)", "|", "`y`", ">", "z")),
    ]:
        assert parse_command(line) == arguments


def test_unsupported_commands_are_refused() -> None:
    for line, reason in [
        ("", "is not a dbt command"),
        ("rm -rf /", "is not a dbt command"),
        ("/usr/bin/dbt build", "is not a dbt command"),
        ("dbt", "has no dbt subcommand"),
        ("dbt init", "has no dbt subcommand"),
        ("dbt clean", "has no dbt subcommand"),
        ("dbt --version", "has no dbt subcommand"),
        ("dbt; ls", "is not a dbt command"),
        ("dbt run;ls", "has no dbt subcommand"),
        ("dbt docs serve", "would never finish"),
        ("dbt run --select 'a", "cannot be parsed"),
        ("dbt run --project-dir /", "`--project-dir` is set by the service"),
        ("dbt run --profiles-dir=/", "`--profiles-dir=/` is set by the service"),
        ("dbt --target-path x run", "`--target-path` is set by the service"),
        ("dbt run --log-path x", "`--log-path` is set by the service"),
    ]:
        with pytest.raises(CommandError, match=reason):
            parse_command(line)


def test_the_subcommand_is_found_after_global_options() -> None:
    assert subcommand(("--log-level", "debug", "--no-partial-parse", "docs", "generate")) == "docs"
    assert subcommand(()) is None
