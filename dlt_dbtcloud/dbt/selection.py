"""Which commands build just what a load feeds, in place of those that build everything."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlt.common import logger

from dlt_dbtcloud.dbt.commands import MAX_LENGTH, CommandError, DbtCommand, fits
from dlt_dbtcloud.dbt.manifest import ManifestJSON, ancestors, descendants
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.values import Relation

__all__ = [
    "Fed",
    "covers",
    "fed_by",
    "fed_sources",
    "feeds_anything",
    "selectors",
    "steps_for",
]


# what dbt executes; exposures, metrics, semantic models and saved queries it only keeps
_EXECUTED = ("function", "model", "seed", "snapshot", "test", "unit_test")


@dataclass(frozen=True)
class Fed:
    """What a load is to a dbt project.

    Args:
        sources: The unique ids of the sources that declare a table of the load, sorted.
        undeclared: The names of the tables that no source declares, sorted.
    """

    sources: tuple[str, ...]
    undeclared: tuple[str, ...]


def fed_sources(relations: Iterable[Relation], manifest: ManifestJSON) -> Fed:
    """Find the sources that declare the tables of a load.

    Schema and identifier must be the same, by the destination's rules for case, and so must be the
    database where both sides know it. The names by which dbt refers to a source do not count.

    Args:
        relations: The tables.
        manifest: The parsed `manifest.json`.

    Raises:
        DBTCloudException: It is no manifest.
    """
    declared = {
        unique_id: source
        for unique_id, source in _entries(manifest, "sources").items()
        if source.get("config", {}).get("enabled", True)
    }
    sources: set[str] = set()
    undeclared: set[str] = set()
    for relation in relations:
        found = {uid for uid, source in declared.items() if _declares(source, relation)}
        sources |= found
        undeclared |= set() if found else {relation.name}
    return Fed(tuple(sorted(sources)), tuple(sorted(undeclared)))


def selectors(
    manifest: ManifestJSON, sources: Iterable[str], limit: int | None = None
) -> list[str]:
    """Return dbt's selectors of some sources and all that descends from them.

    Args:
        manifest: The parsed `manifest.json`.
        sources: Unique ids of sources.
        limit: How many characters the selection may have, joined by spaces. Where one selector a
            table is too long, it is one for each dbt source, or at last one for all: that selects
            more, and never less.

    Raises:
        DBTCloudException: It is no manifest.
    """
    declared = _entries(manifest, "sources")
    chosen = [declared[unique_id] for unique_id in sorted(sources)]
    ambiguous = _ambiguous(declared.values())
    by_table = _united(_selector(source, ambiguous, source["name"]) for source in chosen)
    by_source = _united(_selector(source, ambiguous) for source in chosen)
    for selection in (by_table, by_source):
        if limit is None or len(" ".join(selection)) <= limit:
            return selection
    return ["source:*+"]


def feeds_anything(manifest: ManifestJSON, sources: Iterable[str]) -> set[str]:
    """Return the unique ids of the nodes that descend from some sources and that dbt executes.

    Tests of the sources themselves are among them; ephemeral models are not.

    Args:
        manifest: The parsed `manifest.json`.
        sources: Unique ids of sources.

    Raises:
        DBTCloudException: It is no manifest.
    """
    nodes = _entries(manifest, "nodes")
    return {
        unique_id
        for unique_id in descendants(manifest, sources)
        if unique_id.partition(".")[0] in _EXECUTED and not _is_ephemeral(nodes.get(unique_id, {}))
    }


def fed_by(manifest: ManifestJSON, unique_id: str) -> list[str]:
    """Return the unique ids of the sources that a node descends from, sorted.

    Args:
        manifest: The parsed `manifest.json`.
        unique_id: The node.

    Raises:
        DBTCloudException: It is no manifest.
    """
    _entries(manifest, "nodes")
    return sorted(one for one in ancestors(manifest, unique_id) if one.startswith("source."))


def _entries(manifest: ManifestJSON, section: str) -> Mapping[str, Mapping[str, Any]]:
    """Return a section of a manifest, by unique id."""
    entries = manifest.get(section) if isinstance(manifest, Mapping) else None
    if not isinstance(entries, Mapping):
        raise DBTCloudException(
            f"This is no manifest of dbt: it has no `{section}`. "
            "Pass the parsed `manifest.json` of a run."
        )
    return entries


def _declares(source: Mapping[str, Any], relation: Relation) -> bool:
    database, dataset = source.get("database"), source.get("schema")
    if not _is_same(source.get("identifier") or source["name"], relation.name, relation):
        return False
    if relation.dataset and not _is_same(dataset, relation.dataset, relation):
        return False
    is_known = bool(database and relation.database)
    return not is_known or str(database).casefold() == str(relation.database).casefold()


def _is_same(name: object, other: str, relation: Relation) -> bool:
    if relation.is_case_sensitive:
        return name == other
    return str(name).casefold() == other.casefold()


def _selector(source: Mapping[str, Any], ambiguous: set[str], *table: str) -> str:
    package = [source["package_name"]] if source["source_name"] in ambiguous else []
    # dbt takes two parts for a source and a table, so a package needs a table beside it
    names = [*package, source["source_name"], *table]
    tail = [] if table or not package else ["*"]
    return f"source:{'.'.join([_pattern(name) for name in names] + tail)}+"


def _pattern(name: str) -> str:
    """Return a name as dbt's selectors take it: as a pattern of its own.

    What would end or split a selector, or a word of a command line, becomes any one character.
    """
    exact = re.sub(r"([*?[])", r"[\1]", name)
    return re.sub(r"[^\w\-*?\[\]]", "?", exact)


def _ambiguous(sources: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the names of sources that several packages use."""
    packages: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        packages[source["source_name"]].add(source["package_name"])
    return {name for name, using in packages.items() if len(using) > 1}


def _united(selection: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(selection))


def _is_ephemeral(node: Mapping[str, Any]) -> bool:
    return bool(node.get("config", {}).get("materialized") == "ephemeral")


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
