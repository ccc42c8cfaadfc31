"""Nodes and lineage of a dbt project, from the artifacts of any version of dbt.

Artifacts: https://docs.getdbt.com/reference/artifacts/manifest-json
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from itertools import chain
from typing import Any, TypedDict

from dlt_dbtcloud.dbt.artifacts import (
    Catalog,
    CatalogColumn,
    CatalogTable,
    DocumentedColumn,
    Entry,
    ManifestFile,
    Owner,
)
from dlt_dbtcloud.dbt.decoder import Unread
from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.values import as_datetime, as_plain, as_text, as_texts

__all__ = ["TESTS", "Column", "Manifest", "Node", "is_fusion_version", "resource_type_in"]


# the resource types of tests
TESTS = frozenset({"test", "unit_test"})

# these have a relation to read from; ephemeral models are replaced by their parents
_READABLE = ("model", "seed", "snapshot", "source")
# https://schemas.getdbt.com/dbt/manifest/v12.json
_SCHEMA = re.compile(r".*/manifest/v(\d+)\.json")
_FIRST_YEAR = 2024
_NUMBER = re.compile(r"\d+")
_KNOWN_VERSIONS = frozenset({*range(1, 13), 20})
_NO_FILE = ManifestFile()
_NO_CATALOG = Catalog()
_UNKNOWN = Entry()
_UNDOCUMENTED = DocumentedColumn()


class Column(TypedDict):
    """A column: as built if there is a catalog, else as documented."""

    name: str
    type: str | None
    description: str | None


class Node(TypedDict):
    """A node, source, metric or the like; fields that the manifest lacks are None or empty."""

    unique_id: str
    name: str
    resource_type: str
    relation_name: str | None
    database: str | None
    schema: str | None
    identifier: str | None
    materialized: str | None
    version: str | float | None
    description: str | None
    owners: list[str]
    group: str | None
    tags: list[str]
    meta: dict[str, Any]
    columns: list[Column]
    path: str | None
    package_name: str | None


class Manifest:
    """The nodes of a manifest, with their columns from a catalog.

    Nodes that could not be decoded are `lost`. The graph is not repaired. A manifest without
    `nodes` is false.

    Args:
        file: A `manifest.json`.
        catalog: A `catalog.json`, which `dbt docs generate` writes.
    """

    def __init__(self, file: ManifestFile = _NO_FILE, catalog: Catalog = _NO_CATALOG) -> None:
        self._file = file
        self._entries = file.entries
        self._built = {**(catalog.sources or {}), **(catalog.nodes or {})}
        self._read: dict[str, Node] = {}

    def __bool__(self) -> bool:
        return self._file.nodes is not None

    def __contains__(self, unique_id: str) -> bool:
        return unique_id in self._entries

    def with_catalog(self, catalog: Catalog) -> Manifest:
        """Return the same manifest with the columns of a catalog."""
        return Manifest(self._file, catalog)

    @property
    def adapter_type(self) -> str | None:
        """The adapter of the dbt that wrote it, such as `duckdb`."""
        return self._file.metadata.adapter_type or None

    @property
    def dbt_version(self) -> str | None:
        """The version of the dbt that wrote it; a number even with `latest`."""
        return self._file.metadata.dbt_version or None

    @property
    def is_from_fusion(self) -> bool:
        """Whether dbt Fusion wrote it, which is dbt 2; release tracks begin with a year."""
        return is_fusion_version(self.dbt_version or "")

    @property
    def lists_exposures(self) -> bool:
        """Whether `dbt build` reports exposures, as dbt Core does since 1.10."""
        numbers = [int(each) for each in _NUMBER.findall(self.dbt_version or "")[:2]]
        return not self.is_from_fusion and numbers >= [1, 10]

    @property
    def generated_at(self) -> datetime | None:
        """When dbt wrote it, if known."""
        return as_datetime(self._file.metadata.generated_at)

    @property
    def has_default_selector(self) -> bool:
        """Whether `selectors.yml` replaces the selection of commands that have none."""
        return self._file.has_default_selector

    @property
    def unread(self) -> tuple[Unread, ...]:
        """The parts that could not be read."""
        return self._file.unread

    @property
    def lost(self) -> frozenset[str]:
        """The unique ids of the nodes that could not be read."""
        return frozenset(part.unique_id for part in self.unread) - self._entries.keys() - {""}

    @property
    def damage(self) -> str | None:
        """Why its graph may be incomplete, as a clause; None if it is complete.

        Sources need their names, and `child_map` needs all that the nodes depend on.
        """
        schema = self._file.metadata.dbt_schema_version or ""
        version = _SCHEMA.fullmatch(schema)
        if schema and (not version or int(version[1]) not in _KNOWN_VERSIONS):
            return f"`{schema}` is not a known version"
        return next(chain(self._missing_parts(), self._missing_edges()), None)

    @property
    def unique_ids(self) -> list[str]:
        """The ids of all nodes, sources, metrics, exposures and the like."""
        return list(self._entries)

    @property
    def sources(self) -> Mapping[str, Entry]:
        """The entries of the section `sources`, by unique id.

        Raises:
            DBTCloudException: It is not a manifest.
        """
        return _section("sources", self._file.sources)

    def is_catalogued(self, unique_id: str) -> bool:
        """Return whether the catalog has a node, so that its columns are as built."""
        return unique_id in self._built

    def is_ephemeral(self, unique_id: str) -> bool:
        """Return whether a node is a model that dbt does not build."""
        return self.entry(unique_id).config.materialized == "ephemeral"

    def entry(self, unique_id: str) -> Entry:
        """Return the entry of a node in the manifest; an empty entry if it has none."""
        return self._entries.get(unique_id, _UNKNOWN)

    def name(self, unique_id: str) -> str:
        """Return the name of a node, from its id if the manifest lacks it."""
        return self.entry(unique_id).name or _name_in(unique_id)

    def resource_type(self, unique_id: str) -> str:
        """Return the type of a node, from its id if the manifest lacks it."""
        return self.entry(unique_id).resource_type or resource_type_in(unique_id)

    def node(self, unique_id: str) -> Node:
        """Return a node, not to be changed; an unknown one has only its id's parts."""
        if unique_id not in self._read:
            self._read[unique_id] = self._node(unique_id)
        return self._read[unique_id]

    def documented_columns(self, unique_id: str) -> list[Column]:
        """Return the columns of a node as documented, without the catalog."""
        if unique_id not in self._built:
            return self.node(unique_id)["columns"]
        return _columns(self.entry(unique_id), None)

    def dependencies(self, unique_id: str) -> list[str]:
        """Return the ids that a node depends on, ephemeral models included."""
        return self.entry(unique_id).depends_on.nodes

    def parents(self, unique_id: str) -> list[str]:
        """Return the ids that a node reads, ephemeral models replaced by their parents."""
        found: dict[str, None] = {}
        seen = {unique_id}
        waiting = self.dependencies(unique_id)
        while waiting:
            parent, *waiting = waiting
            if parent in seen:
                continue
            seen.add(parent)
            if self.is_ephemeral(parent):
                waiting = self.dependencies(parent) + waiting
            elif resource_type_in(parent) in _READABLE:
                found[parent] = None
        return list(found)

    def ancestors(self, unique_id: str) -> set[str]:
        """Return the ids of all that a node is made of, down to the sources.

        Raises:
            DBTCloudException: It is not a manifest.
        """
        _section("nodes", self._file.nodes)
        return _reachable(self._parent_map, [unique_id])

    def descendants(self, unique_ids: Iterable[str]) -> set[str]:
        """Return the ids of all that is made of some nodes.

        Raises:
            DBTCloudException: It is not a manifest.
        """
        _section("nodes", self._file.nodes)
        return _reachable(self._child_map, unique_ids)

    def blocked_by(self, unique_id: str) -> set[str]:
        """Return the ids of the nodes that `dbt build` skips if a node fails.

        A test blocks the common descendants of all nodes that it depends on. A unit test also
        blocks the node that it tests.

        Raises:
            DBTCloudException: It is not a manifest.
        """
        blocked = self.descendants([unique_id])
        kind = resource_type_in(unique_id)
        if kind not in TESTS:
            return blocked
        attached = as_texts(self.entry(unique_id).attached_node)
        tested = self.dependencies(unique_id) or attached
        below = [self.descendants([node]) for node in tested]
        itself = {*tested} if kind == "unit_test" else set()
        return blocked.union(itself, set.intersection(*below) if below else ())

    @cached_property
    def _parent_map(self) -> Mapping[str, Iterable[str]]:
        entries = self._entries.items()
        return self._file.parent_map or {key: entry.depends_on.nodes for key, entry in entries}

    @cached_property
    def _child_map(self) -> Mapping[str, Iterable[str]]:
        return self._file.child_map or self._children()

    def _children(self) -> dict[str, list[str]]:
        children = defaultdict(list)
        for unique_id, entry in self._entries.items():
            for parent in entry.depends_on.nodes:
                children[parent].append(unique_id)
        return children

    def _missing_parts(self) -> Iterator[str]:
        for section in ("sources", "nodes", "child_map"):
            if getattr(self._file, section) is None:
                yield f"it has no `{section}`"
        for part in self.unread:
            yield f"{part} is of an unexpected type"
        for unique_id, source in self.sources.items():
            if not (source.name and source.source_name and source.package_name):
                yield f"its `{unique_id}` lacks one of name, source_name, package_name"

    def _missing_edges(self) -> Iterator[str]:
        child_map = self._file.child_map or {}
        children = {parent: frozenset(ids) for parent, ids in child_map.items()}
        for unique_id in self._file.built:
            for parent in self.dependencies(unique_id):
                if parent in self._entries and unique_id not in children.get(parent, ()):
                    yield f"its `child_map` lacks `{unique_id}` as a child of `{parent}`"

    def _node(self, unique_id: str) -> Node:
        entry = self.entry(unique_id)
        return Node(
            unique_id=unique_id,
            name=self.name(unique_id),
            resource_type=self.resource_type(unique_id),
            relation_name=entry.relation_name or None,
            database=entry.database or None,
            schema=entry.schema or None,
            identifier=entry.identifier or entry.alias or None,
            materialized=entry.config.materialized or None,
            version=entry.version,
            description=entry.description or None,
            owners=self._owners(entry),
            group=_group(entry),
            tags=as_texts(entry.tags or entry.config.tags),
            meta=as_plain(_meta(entry)),
            columns=_columns(entry, self._built.get(unique_id)),
            path=entry.original_file_path or entry.path or None,
            package_name=entry.package_name or None,
        )

    def _owners(self, entry: Entry) -> list[str]:
        """Return the owners in a node's meta, else its own, else those of its group."""
        owners, name = as_texts(_meta(entry).get("owner")) or _names(entry.owner), _group(entry)
        if owners or not name:
            return owners
        groups = [group for group in self._file.groups if group.name == name]
        # two packages may have a group of the same name
        groups.sort(key=lambda group: group.package_name != entry.package_name)
        return _names(groups[0].owner) if groups else []


def is_fusion_version(version: str) -> bool:
    """Return whether a version is that of dbt Fusion, which is dbt 2, not a year or a track."""
    major = version.partition(".")[0]
    return major.isdecimal() and 1 < int(major) < _FIRST_YEAR


def resource_type_in(unique_id: str) -> str:
    """Return the resource type in an id: `model` in `model.flights.dim_planes.v2`."""
    return unique_id.partition(".")[0]


def _section(name: str, section: Mapping[str, Entry] | None) -> Mapping[str, Entry]:
    if section is None:
        raise DBTCloudException(f"This is not a dbt manifest: it has no `{name}`.")
    return section


def _meta(entry: Entry) -> dict[str, Any]:
    return entry.meta or entry.config.meta or {}


def _group(entry: Entry) -> str | None:
    return entry.group or entry.config.group or None


def _names(owner: Owner | None) -> list[str]:
    return as_texts(owner.email or owner.name) if owner else []


def _columns(entry: Entry, built: CatalogTable | None) -> list[Column]:
    """Return the columns of the catalog in its order, else those of the manifest."""
    documented = [(column.name or key, column) for key, column in (entry.columns or {}).items()]
    columns = built.columns if built else {}
    catalogued = [(as_text(column.name) or key, column) for key, column in columns.items()]
    catalogued.sort(key=lambda pair: pair[1].index or 0)
    by_name = {name.lower(): column for name, column in documented}
    return [
        _column(name, column, by_name.get(name.lower(), _UNDOCUMENTED))
        for name, column in catalogued or documented
    ]


def _column(
    name: str, built: CatalogColumn | DocumentedColumn, documented: DocumentedColumn
) -> Column:
    # a literal is faster than a call, and large projects have many columns
    return {
        "name": name,
        "type": as_text(built.type) or documented.data_type or None,
        "description": documented.description or as_text(built.comment) or None,
    }


def _reachable(edges: Mapping[str, Iterable[str]], starts: Iterable[str]) -> set[str]:
    """Return all that can be reached from some nodes, without these unless in a cycle."""
    reached: set[str] = set()
    waiting = list(starts)
    while waiting:
        new = set(edges.get(waiting.pop(), ())) - reached
        reached |= new
        waiting.extend(new)
    return reached


def _name_in(unique_id: str) -> str:
    """Return the name in an id: `dim_planes` in `model.flights.dim_planes.v2`."""
    kind, *names = unique_id.split(".")
    if kind == "source" or len(names) < 2:
        return unique_id.rpartition(".")[2]
    # a model's version or a test's hash follows
    return names[1] if kind in ("model", "test") else ".".join(names[1:])
