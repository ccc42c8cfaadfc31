"""Command lines of dbt, and the same commands on other nodes.

Settings outside the line are unknown here: environment variables such as
`DBT_INDIRECT_SELECTION`, and the `flags` of `dbt_project.yml`.
"""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from dlt_dbtcloud.dbt.artifacts import Entry
from dlt_dbtcloud.dbt.variables import VariablesError, merged_vars

__all__ = [
    "MAX_LENGTH",
    "CannotNarrowError",
    "CommandError",
    "DbtCommand",
    "fits",
    "node_selector",
    "pattern",
    "subcommand_of",
    "with_variables",
]


# Linux takes 128 KiB as one argument, as in `sh -c`; dbt Cloud documents no limit
MAX_LENGTH = 100_000

_GROUPS = frozenset({"docs", "source"})
# for dbt Core and dbt Fusion, the words after a group included
_WITH_VARS = frozenset(
    "build clean clone compile debug deps docs init ls parse retry run run-operation seed show "
    "snapshot source test".split()
)
_EXECUTING = frozenset("build clone compile run seed snapshot test".split())
# `docs generate` and `show` write run_results.json too, but only of compilations
_REPORTING = _EXECUTING | {"retry", "run-operation"}
# before dbt 1.8 no others had --indirect-selection, and others select no tests anyway
_WITH_TESTS = frozenset({"build", "compile", "test"})

_ALIASES = {"-s": "--select", "-m": "--select", "--models": "--select", "--model": "--select"}
# options that take every word up to the next option
_GREEDY = frozenset(
    "--exclude --exclude-resource-type --exclude-resource-types --output-keys --resource-type "
    "--resource-types --select".split()
)
_LIMITS = (
    *("--exclude", "--selector", "--resource-type", "--resource-types"),
    *("--exclude-resource-type", "--exclude-resource-types"),
)
# options that take one word, even if it looks like an option
_VALUED = frozenset(
    "--add-package --args --defer-state --event-time-end --event-time-start --host "
    "--indirect-selection --inline --inline-direct --limit --log-file-max-bytes --log-format "
    "--log-format-file --log-level --log-level-file --log-path --output "
    "--partial-parse-file-path --port --printer-width --profile --profiles-dir --project-dir "
    "--record-timing-info --sample --selector --source --sqlparse --state --target "
    "--target-path --threads --vars --warn-error-options -o -r -t".split()
)

# a backslash before a line break joins the lines, except in single quotes
_JOINED_LINES = re.compile(r"""(\\[^\r\n]|'[^']*'|"(?:[^"\\]|\\.)*")|\\\r?\n""", re.DOTALL)
_NOT_IN_DOUBLE_QUOTES = re.compile(r'["$`\\!]')


class CommandError(ValueError):
    """A job's step that is not a dbt command, or that cannot be rewritten as requested."""


class CannotNarrowError(CommandError):
    """A dbt command whose selection cannot be intersected; execute it whole."""


@dataclass(frozen=True)
class DbtCommand:
    """A dbt command line of a job's `execute_steps` or a run's `steps_override`."""

    parts: tuple[_Part, ...]

    @classmethod
    def parse(cls, line: str) -> DbtCommand:
        """Parse a job's step.

        Args:
            line: The step, for example `dbt build --select tag:nightly`.

        Raises:
            CommandError: A quote is not closed, or it is not `dbt` with a subcommand.
        """
        try:
            words = shlex.split(_JOINED_LINES.sub(lambda match: match[1] or "", line))
        except ValueError as error:
            raise CommandError(f"`{line}` cannot be read: {error}.") from error
        if words[:1] != ["dbt"]:
            raise CommandError(f"`{line}` is not a dbt command: a step begins with `dbt`.")
        command = cls(tuple(_parts(words[1:])))
        if not command.subcommand:
            raise CommandError(f"`{line}` has no subcommand of dbt, such as `build`.")
        return command

    def __str__(self) -> str:
        """Return the line, which dbt Cloud and a shell split into the same words."""
        words = (word for part in self.parts for word in part.words)
        return " ".join(["dbt", *map(_quoted, words)])

    @property
    def subcommand(self) -> str:
        """The subcommand, such as `build` or `docs generate`; `list` is `ls`."""
        words = [part.words[0] for part in self.parts if not part.option]
        first = "ls" if words[:1] == ["list"] else "".join(words[:1])
        return " ".join(words[:2]) if first in _GROUPS else first

    @property
    def selects_nodes(self) -> bool:
        """Whether it executes the selected nodes and no others."""
        return self.subcommand in _EXECUTING and not self._has("--inline")

    @property
    def leaves_results(self) -> bool:
        """Whether dbt writes the result of each node to `run_results.json`."""
        return self.subcommand in _REPORTING and not self._has("--no-write-json")

    @property
    def select(self) -> tuple[str, ...]:
        """The criteria whose union is selected; each may be an intersection: `tag:a,b+`."""
        return _criteria(self._values("--select"))

    @property
    def exclude(self) -> tuple[str, ...]:
        """The criteria whose nodes are excluded."""
        return _criteria(self._values("--exclude"))

    @property
    def selector(self) -> str | None:
        """The selector of `selectors.yml` that replaces any other selection."""
        return next(reversed(self._values("--selector")), None)

    @property
    def limits_nodes(self) -> bool:
        """Whether it executes only a part of the nodes of its types."""
        return bool(self.select) or any(map(self._has, _LIMITS))

    def takes_type(self, resource_type: str) -> bool:
        """Return whether its options for resource types let it execute a type."""
        taken = {*self._values("--resource-type"), *self._values("--resource-types")}
        excluded = {
            *self._values("--exclude-resource-type"),
            *self._values("--exclude-resource-types"),
        }
        is_taken = not taken or bool(taken & {"all", "default", resource_type})
        return is_taken and resource_type not in excluded

    def selecting(self, selectors: Sequence[str]) -> DbtCommand:
        """Return the same command on exactly these nodes.

        Args:
            selectors: The criteria of the nodes, from `node_selector`. Tests of a model are
                executed only if they are named themselves. `dbt build` executes a unit test only
                together with its model, which it skips if that test fails.

        Raises:
            CommandError: The command selects no nodes, or no selectors are given.
        """
        if not self.selects_nodes or not selectors:
            raise CommandError(f"`{self}` cannot be made to select {list(selectors)}.")
        bare = self.without("--select", "--exclude", "--selector", "--indirect-selection")
        named = bare._with("--select", *selectors)
        if self.subcommand not in _WITH_TESTS:
            return named
        return named._with("--indirect-selection", "empty")

    def without(self, *options: str) -> DbtCommand:
        """Return the same command without some options, named in their long form."""
        return DbtCommand(tuple(part for part in self.parts if part.option not in options))

    def narrowed(
        self,
        criteria: Sequence[str],
        *,
        has_default_selector: bool = False,
    ) -> DbtCommand:
        """Return the same command on the nodes that the criteria select, too.

        These are exactly the nodes in both selections, tests included, provided that each criterion
        selects all descendants. If there are none, dbt executes nothing, warns, and succeeds.

        Args:
            criteria: The criteria whose union to intersect with: `source:raw.flights+`.
            has_default_selector: Whether the manifest has a default among its `selectors`. It
                applies to a command without a selection, and any `--select` would cancel it.

        Raises:
            CannotNarrowError: No command line builds these nodes and no others; execute it whole.
        """
        problem = (
            self._obstacle(has_default_selector) if criteria else "cannot be narrowed to nothing"
        )
        if problem:
            raise CannotNarrowError(f"`{self}` {problem}.")
        crossed = [f"{own},{criterion}" for own in self.select for criterion in criteria]
        return self.without("--select")._with("--select", *(crossed or criteria))

    def with_vars(self, variables: Mapping[str, Any]) -> DbtCommand:
        """Return the same command with more variables; unchanged if it takes none.

        Args:
            variables: The variables, as JSON. They replace those of the same name.

        Raises:
            CommandError: Its own variables cannot be read, or the command is too long.
        """
        if not variables or self.subcommand.partition(" ")[0] not in _WITH_VARS:
            return self
        own = next(reversed(self._values("--vars")), None)
        try:
            merged = merged_vars(own, variables)
        except VariablesError as error:
            raise CommandError(f"The `--vars` of a `dbt {self.subcommand}` {error}.") from error
        command = self.without("--vars")._with("--vars", merged)
        if not fits(command):
            raise CommandError(
                f"`dbt {self.subcommand}` is longer than {MAX_LENGTH} characters with these "
                "variables."
            )
        return command

    def _obstacle(self, has_default_selector: bool) -> str | None:
        """Return why the selection cannot be intersected, if so."""
        if not self.selects_nodes:
            return "selects no nodes"
        if self.selector:
            # dbt would ignore --select; only dbt 1.12 has the method `selector:`
            return "selects by a selector of `selectors.yml`"
        is_bare = not self.select and not self.exclude
        if is_bare and has_default_selector:
            return "selects by the default selector of `selectors.yml`"
        if self._has("--warn-error") or self._has("--warn-error-options"):
            return "may fail with a warning, such as that there is nothing to do"
        if len(self.select) > 1 and self._is_careful_with_tests:
            return "selects tests by parents that are in several of its criteria"
        return None

    @property
    def _is_careful_with_tests(self) -> bool:
        """Whether a test is selected only if all of its parents are."""
        mode = next(reversed(self._values("--indirect-selection")), "eager")
        return mode.lower() in ("cautious", "buildable")

    def _has(self, option: str) -> bool:
        return any(part.option == option for part in self.parts)

    def _values(self, option: str) -> list[str]:
        return [value for part in self.parts if part.option == option for value in part.values]

    def _with(self, option: str, *values: str) -> DbtCommand:
        return DbtCommand((*self.parts, _Part(option, (option, *values), values)))


@lru_cache(maxsize=256)
def subcommand_of(line: str | None) -> str | None:
    """Return the subcommand of a line, such as `build`, or None if it has none."""
    try:
        return DbtCommand.parse(line or "").subcommand
    except CommandError:
        return None


def with_variables(commands: Sequence[str], variables: Mapping[str, Any]) -> list[str]:
    """Return commands with more variables; lines that are not of dbt are unchanged.

    Args:
        commands: The commands.
        variables: The variables, as JSON. They replace those of the same name.

    Raises:
        CommandError: The variables of a command cannot be read, or the command is too long.
    """
    return [_with_variables(line, variables) for line in commands]


def fits(command: DbtCommand) -> bool:
    """Return whether a command line is short enough to be executed."""
    return len(str(command).encode()) <= MAX_LENGTH


def node_selector(node: Entry) -> str:
    """Return the criterion that selects exactly one node of a project and its packages.

    It is the same for dbt Core and dbt Fusion, which find a generic test by other files. dbt
    cannot distinguish generic tests of one folder that have the same `name`, nor names that
    differ only in characters that a criterion cannot contain.

    Args:
        node: A node, unit test or the like of a `manifest.json`.

    Raises:
        CommandError: The manifest lacks its file or its names.
    """
    kind, path = node.resource_type, node.original_file_path
    if not (kind and path and node.package_name and node.fqn):
        raise CommandError(f"`{node.name}` lacks its file or its names in the manifest.")
    file = PurePosixPath(path.replace("\\", "/"))
    has_own_file = file.suffix in (".sql", ".py", ".csv")
    criteria = [f"package:{node.package_name}", f"resource_type:{kind}"]
    if kind == "test":
        # both may have the same name, and for dbt Fusion even the same file
        criteria.append(f"test_type:{'singular' if has_own_file else 'generic'}")
    if kind != "test" or has_own_file:
        criteria.append(f"file:{pattern(file.name)}")
    if not has_own_file or kind == "snapshot":
        # a wildcard makes dbt compare the whole name; else a folder of that name would match, too
        fqn = pattern(".".join(node.fqn))
        criteria.append(f"fqn:[{fqn[0]}]{fqn[1:]}")
    return ",".join(criteria)


def pattern(name: str) -> str:
    """Return a pattern for a name that dbt and a command line keep whole.

    Characters that would split it match any character.
    """
    exact = re.sub(r"([*?[])", r"[\1]", name)
    return re.sub(r"[^\w.\-*?\[\]]", "?", exact)


@dataclass(frozen=True)
class _Part:
    """An option with its values, or a word that belongs to no option."""

    option: str
    words: tuple[str, ...]
    values: tuple[str, ...] = ()


def _parts(words: Sequence[str]) -> Iterator[_Part]:
    """Split the words after `dbt` into options with their values."""
    rest = deque(words)
    while rest:
        word = rest.popleft()
        option, value = _option(word)
        if word == "--":
            yield from (_Part("", (each,)) for each in (word, *rest))
            return
        if value and option not in _GREEDY | _VALUED and not word.startswith("--"):
            # flags in one word: `-xs a` is `-x -s a`
            rest.appendleft(f"-{value}")
            word, value = option, None
        taken = _taken(option, value, rest)
        values = taken if value is None else (value, *taken)
        yield _Part(option, (word, *taken), values)


def _option(word: str) -> tuple[str, str | None]:
    """Return the option in a word, and its value if the word contains it."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return _ALIASES.get(name, name), value if equals else None
    if len(word) > 1 and word.startswith("-"):
        return _ALIASES.get(word[:2], word[:2]), word[2:] or None
    return "", None


def _taken(option: str, value: str | None, rest: deque[str]) -> tuple[str, ...]:
    """Take the words that belong to an option from those that follow it."""
    taken = []
    if value is None and rest and option in _GREEDY | _VALUED:
        taken.append(rest.popleft())
    while option in _GREEDY and rest and not rest[0].startswith("-"):
        taken.append(rest.popleft())
    return tuple(taken)


def _criteria(values: Sequence[str]) -> tuple[str, ...]:
    criteria = [criterion for value in values for criterion in value.split(" ")]
    # an empty criterion selects nothing, which only matters without any other
    return tuple(filter(None, criteria)) or tuple(criteria[:1])


def _with_variables(line: str, variables: Mapping[str, Any]) -> str:
    try:
        command = DbtCommand.parse(line)
    except CommandError:
        return line
    changed = command.with_vars(variables)
    return line if changed is command else str(changed)


def _quoted(word: str) -> str:
    if "'" in word and not _NOT_IN_DOUBLE_QUOTES.search(word):
        return f'"{word}"'
    return shlex.quote(word)
