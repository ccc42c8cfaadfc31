"""Options of the commands: the arguments of the helpers, and some more.

An option that is not passed is None, so that the config or the helper's default applies.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ARGUMENTS", "EXTRAS", "Option", "count", "new_option", "parse_data", "parse_variable"]


# the largest count
_MOST = 999_999_999
# characters of a wrong value that a message shows
_SHOWN = 20


@dataclass(frozen=True)
class Option:
    """An option of the command line.

    Args:
        name: The argument of the helper, or the name of the value.
        help: The help text.
        flags: The words of the command line; by default the name with dashes. A name without
            dashes in front is positional.
        settings: Further arguments of `argparse.ArgumentParser.add_argument`.
    """

    name: str
    help: str
    flags: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def add_to(self, parser: argparse._ActionsContainer) -> None:
        """Add the option to a parser."""
        flags = self.flags or (f"--{self.name.replace('_', '-')}",)
        settings: dict[str, Any] = {"help": self.help, **self.settings}
        if flags[0].startswith("-"):
            settings["dest"] = self.name
        parser.add_argument(*flags, **settings)


def parse_data(text: str) -> dict[str, Any]:
    """Return the overrides of a run from JSON.

    Raises:
        argparse.ArgumentTypeError: It is not a JSON object.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        # the text may contain a secret
        raise argparse.ArgumentTypeError(
            """not a JSON object; pass one like '{"git_branch": "main"}'"""
        )
    return data


def parse_variable(text: str) -> tuple[str, Any]:
    """Return the name and value of `KEY=TEXT` or `KEY:=JSON`.

    Raises:
        argparse.ArgumentTypeError: It is neither.
    """
    name, sign, value = text.partition("=")
    is_json = name.endswith(":")
    name = name.removesuffix(":").strip()
    if not sign or not name:
        raise argparse.ArgumentTypeError("not a variable; pass KEY=VALUE, or KEY:=JSON")
    if not is_json:
        return name, value
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        raise argparse.ArgumentTypeError(
            f"the value of `{name}` is not JSON; pass a text as {name}=VALUE"
        ) from None


def new_option(name: str, help: str, *flags: str, **settings: Any) -> Option:  # noqa: A002
    """Return an option; see `Option`."""
    return Option(name, help, flags, settings)


def count(text: str) -> int:
    """Return a number from 1.

    Raises:
        argparse.ArgumentTypeError: It is not such a number.
    """
    digits = text.lstrip("0")
    if not digits.isdecimal() or len(digits) > len(str(_MOST)):
        raise argparse.ArgumentTypeError(f"{text[:_SHOWN]!r} is not a number from 1 to {_MOST}")
    return int(text)


def _flag(name: str, help: str) -> Option:  # noqa: A002
    return new_option(name, help, action=argparse.BooleanOptionalAction)


def _by_name(*options: Option) -> dict[str, Option]:
    return {option.name: option for option in options}


# the arguments of the helpers by name; `credentials` is the config's
ARGUMENTS: Mapping[str, Option] = _by_name(
    new_option("job_id", "the job; the argument JOB is the same", metavar="JOB"),
    new_option("run_id", "the run; the argument RUN is the same", metavar="RUN"),
    new_option(
        "data",
        "overrides of this run: the fields of the API's trigger",
        metavar="JSON",
        type=parse_data,
    ),
    _flag("wait_for_outcome", "wait for the end of the run; the default"),
    new_option(
        "wait_seconds", "longest pause between two status checks", metavar="SECONDS", type=float
    ),
    new_option("pipeline", "the pipeline whose last load the run is for", metavar="NAME"),
    _flag("only_loaded", "build only the descendants of the tables that the load changed"),
    _flag("reuse_queued_run", "return a queued run that builds everything the new one would"),
    new_option(
        "additional_vars",
        "a variable for dbt, repeatable: a text, which may contain {load_id}, {pipeline_name} or "
        "{tables}; with `:=` JSON",
        "--var",
        metavar="KEY=VALUE",
        type=parse_variable,
        action="append",
    ),
    new_option("retries", "how often to retry a failed run", metavar="N", type=int),
    new_option(
        "timeout", "longest wait for the end, retries included", metavar="SECONDS", type=float
    ),
    _flag("cancel_on_abandon", "cancel the run when the wait ends early"),
    _flag("raise_on_failure", "end with an error if the run fails, instead of logging it"),
    _flag("raise_on_warning", "end with an error if tests warn or sources are stale"),
    new_option(
        "progress",
        "how to show the progress; by default lines on standard error",
        choices=("log", "tqdm", "enlighten", "alive_progress"),
    ),
    new_option(
        "connection", "the connection: a section of the config below `dbt_cloud`", metavar="NAME"
    ),
)

# the options that only the command line has
EXTRAS: Mapping[str, Option] = _by_name(
    new_option("pipelines_dir", "the folder of the working folders of pipelines", metavar="FOLDER"),
    new_option(
        "json",
        "print JSON and nothing else on standard output",
        action="store_true",
        default=False,
    ),
    new_option("project_id", "only those of this project", metavar="PROJECT"),
    new_option("environment_id", "only those of this environment", metavar="ENVIRONMENT"),
    new_option("limit", "at most so many; 20 by default", metavar="N", type=count, default=20),
    new_option(
        "status",
        "only those with this status",
        choices=("queued", "starting", "running", "success", "error", "cancelled"),
    ),
    new_option("name", "only jobs whose name contains this text", metavar="TEXT"),
    new_option("step", "the index of a step, from 1", metavar="N", type=count),
)
