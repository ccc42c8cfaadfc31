"""Parser of the command line, as dlt's own or under it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache
from typing import Any, NoReturn

from dlt_dbtcloud.cli.commands import COMMANDS, Command, Example
from dlt_dbtcloud.redaction import redact

__all__ = ["DESCRIPTION", "PROGRAM", "add_commands", "new_parser"]

PROGRAM = "dlt dbt-cloud"
DESCRIPTION = "Runs dbt Cloud jobs on what dlt has loaded, and looks at their runs."
_BAD_INPUT = 2
_GROUPS = {"artifacts": "List or download the artifacts of a run."}
_EXIT_STATUSES = (
    "Exit status: 0 success, 1 failure, 2 bad input, 124 timeout, 130 Ctrl-C, 143 SIGTERM."
)


@cache
def new_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m dlt_dbtcloud`, which looks like dlt's."""
    from rich_argparse import RichHelpFormatter

    parser = _Parser(
        prog="python -m dlt_dbtcloud",
        description=DESCRIPTION,
        formatter_class=RichHelpFormatter,
        allow_abbrev=False,
    )
    add_commands(parser, formatter_class=RichHelpFormatter)
    return parser


def add_commands(parser: argparse.ArgumentParser, **settings: Any) -> None:
    """Add the commands to a parser.

    Args:
        parser: The parser, dlt's or our own.
        settings: Further arguments of `argparse.ArgumentParser` for each command.
    """
    parser.epilog = _EXIT_STATUSES
    groups = {"": _add_group(parser)}
    for command in COMMANDS.values():
        group, _, name = command.name.rpartition(" ")
        if group not in groups:
            text = _GROUPS[group]
            added = groups[""].add_parser(group, help=_lower(text), description=text, **settings)
            groups[group] = _add_group(added)
        _add_command(groups[group], name, command, settings)


class _Examples:
    """Examples that keep their lines in the help."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = examples

    def __rich__(self) -> Any:
        """Return the examples as rich renders them."""
        from rich.text import Text

        text = Text("Examples:", style="argparse.groups")
        for example in self._examples:
            text.append(f"\n  # {example.purpose}", style="dim")
            text.append(f"\n  {PROGRAM} {example.words}", style="argparse.syntax")
        return text

    def __str__(self) -> str:
        lines = [f"  # {each.purpose}\n  {PROGRAM} {each.words}" for each in self._examples]
        return "\n".join(["Examples:", *lines])


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line without secrets."""

    def error(self, message: str) -> NoReturn:
        """Exit with an error that names the help."""
        text = f"{redact(message)} (see `{self.prog} --help`)"
        self.exit(_BAD_INPUT, f"error: {text}\n")


class _RefusedToken(argparse.Action):
    """An option for a token, which other users of the machine could read."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """End with an error that does not repeat the token."""
        parser.error(
            "a token does not belong on the command line, which other users can read; set "
            "`api_token` under `dbt_cloud` in .dlt/secrets.toml, or DBT_CLOUD__API_TOKEN"
        )


def _add_group(parser: argparse.ArgumentParser) -> Any:
    return parser.add_subparsers(
        title="Commands", metavar="COMMAND", required=True, parser_class=_Parser
    )


def _add_command(group: Any, name: str, command: Command, settings: Any) -> None:
    parser = group.add_parser(
        name,
        help=_lower(command.summary),
        description=command.summary,
        epilog=_Examples(command.examples),
        allow_abbrev=False,
        **settings,
    )
    for option in command.options:
        option.add_to(parser)
    parser.add_argument("--api-token", action=_RefusedToken, help=argparse.SUPPRESS)
    parser.set_defaults(dbt_cloud_command=command.name)


def _lower(sentence: str) -> str:
    """Return a sentence as a phrase."""
    return f"{sentence[0].lower()}{sentence[1:].rstrip('.')}"
