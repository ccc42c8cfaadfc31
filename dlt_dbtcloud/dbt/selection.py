"""Selection of the nodes that descend from loaded tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from dlt.common import logger

from dlt_dbtcloud.dbt.artifacts import Entry
from dlt_dbtcloud.dbt.commands import (
    MAX_LENGTH,
    CommandError,
    DbtCommand,
    fits,
    pattern,
    subcommand_of,
)
from dlt_dbtcloud.dbt.manifest import TESTS, Manifest, resource_type_in

__all__ = [
    "NarrowedStep",
    "covers",
    "executed_nodes",
    "executes_all_tests",
    "executes_tests",
    "expected_nodes",
    "fed_nodes",
    "has_own_selection",
    "missing_nodes",
    "narrowed_commands",
    "narrowed_steps",
    "nodes_of_command",
    "reported_nodes",
    "selectors",
    "sources_of",
]


# the types that dbt executes, unlike exposures, metrics, semantic models and saved queries
_EXECUTED = ("function", "model", "seed", "snapshot", *TESTS)
# the types that a command executes; all if it is not listed
_EXECUTED_BY = {"seed": ("seed",), "snapshot": ("snapshot",), "test": TESTS}
# the types that a command builds or tests
_BUILT_BY = {"build": _EXECUTED, "run": ("model",), **_EXECUTED_BY}
_WHOLE_STEP = "Running a whole step instead of only what was loaded"
# the types whose nodes are surely in the results of a command
_REPORTED_BY = {
    "build": ("model", "seed", "snapshot", *TESTS),
    "run": ("model",),
    "seed": ("seed",),
    "snapshot": ("snapshot",),
    "test": TESTS,
}


def selectors(manifest: Manifest, sources: Iterable[str], limit: int | None = None) -> list[str]:
    """Return dbt's selectors of some sources and all their descendants.

    Args:
        manifest: The manifest of the project.
        sources: Unique ids of sources.
        limit: The number of characters that the selection may have, joined by spaces. If one
            selector per table is too long, there is one per dbt source, or finally one for all of
            them: these select more, and never less.

    Raises:
        DBTCloudException: It is not a manifest.
    """
    declared = manifest.sources
    chosen = [declared[unique_id] for unique_id in sorted(sources)]
    ambiguous = _ambiguous(declared.values())
    by_table = dict.fromkeys(_selector(each, ambiguous, each.name or "") for each in chosen)
    by_source = dict.fromkeys(_selector(source, ambiguous) for source in chosen)
    for selection in (by_table, by_source):
        if limit is None or len(" ".join(selection)) <= limit:
            return list(selection)
    return ["source:*+"]


def fed_nodes(manifest: Manifest, sources: Iterable[str]) -> set[str]:
    """Return the unique ids of the descendants of some sources that dbt executes.

    Tests of the sources themselves are among them; ephemeral models are not.

    Args:
        manifest: The manifest of the project.
        sources: Unique ids of sources.

    Raises:
        DBTCloudException: It is not a manifest.
    """
    return executed_nodes(manifest, manifest.descendants(sources))


def executed_nodes(manifest: Manifest, unique_ids: Iterable[str]) -> set[str]:
    """Return the nodes that dbt executes; it does not execute ephemeral models."""
    return {
        unique_id
        for unique_id in unique_ids
        if resource_type_in(unique_id) in _EXECUTED and not manifest.is_ephemeral(unique_id)
    }


def sources_of(manifest: Manifest, unique_id: str) -> list[str]:
    """Return the unique ids of the sources that a node descends from, sorted.

    Args:
        manifest: The manifest of the project.
        unique_id: The node.

    Raises:
        DBTCloudException: It is not a manifest.
    """
    ancestors = manifest.ancestors(unique_id)
    return sorted(ancestor for ancestor in ancestors if resource_type_in(ancestor) == "source")


def narrowed_commands(
    commands: Sequence[str], manifest: Manifest, sources: Sequence[str]
) -> list[str]:
    """Narrow a job's commands to the nodes that descend from some sources.

    Commands that select no nodes are unchanged. A command whose selection cannot be intersected
    stays whole, with a warning. A command with nothing left to execute is omitted.

    Args:
        commands: The job's commands.
        manifest: The manifest of the project.
        sources: The unique ids of the sources that a load has filled.

    Returns:
        The commands; none if they would execute no descendant of the sources.

    Raises:
        DBTCloudException: It is not a manifest.
    """
    steps = narrowed_steps(commands, manifest, sources)
    for step in steps:
        if step.problem:
            logger.warning(f"{_WHOLE_STEP}: {step.problem}")
    return [step.line for step in steps]


def narrowed_steps(
    commands: Sequence[str], manifest: Manifest, sources: Sequence[str]
) -> list[NarrowedStep]:
    """Return the commands that `narrowed_commands` returns, and how each was narrowed.

    Args:
        commands: The job's commands.
        manifest: The manifest of the project.
        sources: The unique ids of the sources that a load has filled.

    Raises:
        DBTCloudException: It is not a manifest.
    """
    types = set(map(resource_type_in, fed_nodes(manifest, sources)))
    steps = [step for line in commands if (step := _step(line, types, manifest, sources))]
    return steps if any(step.executes for step in steps) else []


def nodes_of_command(line: str, manifest: Manifest, scope: Iterable[str]) -> set[str]:
    """Return the nodes among some that a command reports, by the types that it executes.

    The selection of the command itself is not evaluated.

    Args:
        line: The command.
        manifest: The manifest of the project.
        scope: The unique ids of the nodes.
    """
    try:
        command = DbtCommand.parse(line)
    except CommandError:
        return set()
    kinds = {*_BUILT_BY.get(command.subcommand, ())}
    if command.subcommand == "build" and manifest.lists_exposures:
        kinds |= {"exposure", "saved_query"}
    kinds = set(filter(command.takes_type, kinds))
    return {
        unique_id
        for unique_id in scope
        if resource_type_in(unique_id) in kinds and not manifest.is_ephemeral(unique_id)
    }


def has_own_selection(line: str, manifest: Manifest) -> bool:
    """Return whether a command selects nodes by more than their types."""
    try:
        command = DbtCommand.parse(line)
    except CommandError:
        return False
    is_limited = bool(command.select or command.exclude or command.selector)
    return is_limited or manifest.has_default_selector


def reported_nodes(
    line: str, manifest: Manifest, scope: Set[str] | None = None
) -> frozenset[str] | None:
    """Return the nodes that have a result after a command; None if unknown.

    Args:
        line: The command; a selection of its own makes them unknown.
        manifest: The manifest of the project.
        scope: The unique ids of the nodes to which the command is narrowed, with the sources that
            they descend from; by default it is all of the project.

    Raises:
        DBTCloudException: It is not a manifest.
    """
    try:
        command = DbtCommand.parse(line)
    except CommandError:
        return None
    types = _REPORTED_BY.get(command.subcommand, ())
    if not types or command.limits_nodes or not command.leaves_results:
        return None
    if manifest.has_default_selector:
        return None
    return frozenset(
        unique_id
        for unique_id in (manifest.unique_ids if scope is None else scope)
        if resource_type_in(unique_id) in types
        and unique_id in manifest
        and not manifest.is_ephemeral(unique_id)
        and _is_surely_selected(unique_id, manifest, scope)
    )


def expected_nodes(
    commands: Sequence[str], manifest: Manifest, sources: Sequence[str]
) -> frozenset[str]:
    """Return the descendants of some sources that surely have a result after some commands.

    Args:
        commands: The commands before they are narrowed to these descendants.
        manifest: The manifest of the project.
        sources: The unique ids of the sources.

    Raises:
        DBTCloudException: It is not a manifest.
    """
    scope = {*sources, *manifest.descendants(sources)}
    reported = (reported_nodes(line, manifest, scope) for line in commands)
    return frozenset().union(*(nodes for nodes in reported if nodes))


def missing_nodes(
    expected: Iterable[str], results: Set[str], *, are_all_read: bool = True
) -> frozenset[str]:
    """Return the expected nodes that have no result.

    If no test is among the results, the environment may exclude tests. The same applies to unit
    tests.

    Args:
        expected: The unique ids of the expected nodes.
        results: The unique ids of the nodes with a result.
        are_all_read: Whether no result was lost; a lost one may be that of a test.
    """
    found = set(map(resource_type_in, results))
    excluded = {kind for kind in TESTS if results and are_all_read and kind not in found}
    return frozenset(
        unique_id
        for unique_id in expected
        if unique_id not in results and resource_type_in(unique_id) not in excluded
    )


def executes_all_tests(line: str, manifest: Manifest) -> bool:
    """Return whether a command surely executes all tests of the nodes that it executes."""
    return executes_tests(line) and reported_nodes(line, manifest) is not None


def executes_tests(line: str) -> bool:
    """Return whether a command may execute tests; `run`, `seed` and `snapshot` do not."""
    return bool({*TESTS} & {*_REPORTED_BY.get(subcommand_of(line) or "", TESTS)})


def covers(theirs: Sequence[str], ours: Sequence[str], *, with_vars: bool = True) -> bool:
    """Return whether a run of some commands builds everything that a run of others would.

    Args:
        theirs: The commands of the first run.
        ours: The commands of the second; in this order, each must be among the first, or select
            less of the same.
        with_vars: Whether they must have the same variables.
    """
    candidates = iter(theirs)
    ignored = ("--select",) if with_vars else ("--select", "--vars")
    return all(any(_selects_as_much(line, our, ignored) for line in candidates) for our in ours)


@dataclass(frozen=True)
class NarrowedStep:
    """A command of a job, narrowed to the descendants of some sources.

    Args:
        line: The command line.
        original: The command of the job.
        executes: Whether it executes a descendant of the sources.
        is_whole: Whether it selects nodes and was not narrowed.
        problem: Why it was not narrowed.
    """

    line: str
    original: str
    executes: bool = False
    is_whole: bool = False
    problem: str | None = None


def _step(
    line: str, types: set[str], manifest: Manifest, sources: Sequence[str]
) -> NarrowedStep | None:
    """Return a narrowed command, or None if it has nothing left to execute."""
    try:
        command = DbtCommand.parse(line)
        if not command.selects_nodes:
            return NarrowedStep(line, line)
        if not types & set(_EXECUTED_BY.get(command.subcommand, types)):
            return None
        narrowed = next(filter(fits, _narrowings(command, manifest, sources)), None)
    except CommandError as error:
        return NarrowedStep(line, line, executes=True, is_whole=True, problem=str(error))
    if narrowed is None:
        return NarrowedStep(str(command), line, executes=True, is_whole=True)
    return NarrowedStep(str(narrowed), line, executes=True)


def _narrowings(
    command: DbtCommand, manifest: Manifest, sources: Sequence[str]
) -> Iterator[DbtCommand]:
    """Yield a narrowed command with fewer and broader criteria each time."""
    own = sum(len(criterion) + 1 for criterion in command.select)
    count = max(1, len(command.select))
    room = (MAX_LENGTH - len(str(command)) - own) // count
    for limit in (room, room // 4, 0):
        criteria = selectors(manifest, sources, max(limit, 0))
        yield command.narrowed(criteria, has_default_selector=manifest.has_default_selector)


def _selects_as_much(theirs: str, ours: str, ignored: Sequence[str]) -> bool:
    if theirs == ours:
        return True
    try:
        their, our = DbtCommand.parse(theirs), DbtCommand.parse(ours)
    except CommandError:
        return False
    is_wider = not their.select or (our.select and set(our.select) <= set(their.select))
    return bool(is_wider) and their.without(*ignored) == our.without(*ignored)


def _is_surely_selected(unique_id: str, manifest: Manifest, scope: Set[str] | None) -> bool:
    """Return whether a node of the scope is selected with any `--indirect-selection`."""
    if scope is None or resource_type_in(unique_id) not in TESTS:
        return True
    return scope >= {*manifest.dependencies(unique_id)}


def _selector(source: Entry, ambiguous: set[str], *table: str) -> str:
    name = source.source_name or ""
    package = [source.package_name or ""] if name in ambiguous else []
    # dbt reads two parts as a source and a table, so a package needs a table, too
    names = [*package, name, *table]
    parts = [pattern(name).replace(".", "?") for name in names]
    tail = [] if table or not package else ["*"]
    return f"source:{'.'.join(parts + tail)}+"


def _ambiguous(sources: Iterable[Entry]) -> set[str]:
    """Return the source names that several packages use."""
    packages: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        packages[source.source_name or ""].add(source.package_name or "")
    return {name for name, using in packages.items() if len(using) > 1}
