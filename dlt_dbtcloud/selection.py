"""Which commands build just what a load feeds, in place of those that build everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dlt.common import logger

from dlt_dbtcloud.commands import MAX_LENGTH, CommandError, DbtCommand, fits
from dlt_dbtcloud.graph import ManifestJSON
from dlt_dbtcloud.sources import feeds_anything, selectors

__all__ = ["covers", "steps_for"]

# what each command executes; another one executes all of them
_KINDS = {"seed": ("seed",), "snapshot": ("snapshot",), "test": ("test", "unit_test")}


def steps_for(commands: Sequence[str], manifest: ManifestJSON, sources: Sequence[str]) -> list[str]:
    """Return a job's commands on just those nodes that descend from some sources.

    Commands that select no nodes stay as they are. One whose selection cannot be intersected stays
    whole, with a warning, and one that could not find anything to execute is left out.

    Args:
        commands: The job's commands.
        manifest: The project's `manifest.json`.
        sources: The unique ids of the sources that a load has filled.

    Returns:
        The commands; none where the sources feed nothing that these commands would execute.

    Raises:
        DBTCloudException: It is no manifest.
    """
    fed = feeds_anything(manifest, sources)
    kinds = {unique_id.partition(".")[0] for unique_id in fed}
    steps = [_step(line, kinds, manifest, sources) for line in commands]
    if not any(step.executes for step in steps):
        return []
    return [step.line for step in steps if step.line is not None]


def covers(theirs: Sequence[str], ours: Sequence[str]) -> bool:
    """Tell whether a run of some commands builds all that a run of others would.

    Args:
        theirs: Its commands.
        ours: The others; in their order, each must be one of these, or select less of the same.
    """
    candidates = iter(theirs)
    return all(any(_selects_as_much(line, our) for line in candidates) for our in ours)


@dataclass(frozen=True)
class _Step:
    """What becomes of one command: its line, if it stays, and whether it executes a fed node."""

    line: str | None
    executes: bool = False


def _step(line: str, kinds: set[str], manifest: ManifestJSON, sources: Sequence[str]) -> _Step:
    try:
        command = DbtCommand.parse(line)
        if not command.selects_nodes:
            return _Step(line)
        if not kinds & set(_KINDS.get(command.subcommand, kinds)):
            return _Step(None)
        narrowed = next(filter(fits, _narrowings(command, manifest, sources)), command)
    except CommandError as error:
        logger.warning(f"A step is executed whole, not only on what was loaded: {error}")
        return _Step(line, executes=True)
    return _Step(str(narrowed), executes=True)


def _narrowings(
    command: DbtCommand, manifest: ManifestJSON, sources: Sequence[str]
) -> Iterator[DbtCommand]:
    """Yield a command on what the sources feed, by ever fewer and broader criteria."""
    own = sum(len(criterion) + 1 for criterion in command.select)
    count = max(1, len(command.select))
    room = (MAX_LENGTH - len(str(command)) - own) // count
    for limit in (room, room // 4, 0):
        yield command.narrowed(
            selectors(manifest, sources, max(limit, 0)), manifest.get("selectors") or {}
        )


def _selects_as_much(theirs: str, ours: str) -> bool:
    if theirs == ours:
        return True
    try:
        their, our = DbtCommand.parse(theirs), DbtCommand.parse(ours)
    except CommandError:
        return False
    is_wider = not their.select or (our.select and set(our.select) <= set(their.select))
    return bool(is_wider) and their.unselected() == our.unselected()
