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
from typing import Any, TypedDict, TypeGuard

from dlt_dbtcloud.exceptions import DBTCloudException
from dlt_dbtcloud.values import as_datetime, as_mapping, as_text, as_texts

__all__ = ["TESTS", "Column", "Manifest", "Node", "resource_type_in"]


# the resource types of tests
TESTS = frozenset({"test", "unit_test"})

# these have a relation to read from; ephemeral models are replaced by their parents
_READABLE = ("model", "seed", "snapshot", "source")
# the sections of the nodes that dbt executes
_BUILT = ("nodes", "unit_tests", "functions")
# the fields of a source that a selector consists of
_NAMES = ("name", "source_name", "package_name")
# https://schemas.getdbt.com/dbt/manifest/v12.json
_SCHEMA = re.compile(r".*/manifest/v(\d+)\.json")
_FIRST_YEAR = 2024
_KNOWN_VERSIONS = frozenset({*range(1, 13), 20})
_SECTIONS = (
    *("exposures", "saved_queries", "metrics", "semantic_models"),
    *("functions", "unit_tests", "sources", "nodes"),
)


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

    Descriptive fields that are missing or of another type than dbt's are read as None or empty.
    The graph is not repaired: if it is malformed, walking it is an error. A manifest without any
    content is false.

    Args:
        manifest: A parsed `manifest.json`.
        catalog: A parsed `catalog.json`, which `dbt docs generate` writes.
    """

    def __init__(self, manifest: object, catalog: object = None) -> None:
        self._content, built = as_mapping(manifest), as_mapping(catalog)
        self._entries: dict[str, Any] = {}
        for section in _SECTIONS:
            self._entries |= as_mapping(self._content.get(section))
        self._built = {**as_mapping(built.get("sources")), **as_mapping(built.get("nodes"))}
        groups = as_mapping(self._content.get("groups"))
        self._groups = [as_mapping(group) for group in groups.values()]
        self._metadata = as_mapping(self._content.get("metadata"))
        self._read: dict[str, Node] = {}

    def __bool__(self) -> bool:
        return bool(self._content)

    def with_catalog(self, catalog: object) -> Manifest:
        """Return the same manifest with the columns of a catalog."""
        return Manifest(self._content, catalog)

    @property
    def adapter_type(self) -> str | None:
        """The adapter of the dbt that wrote it, such as `duckdb`."""
        return _text(self._metadata.get("adapter_type"))

    @property
    def dbt_version(self) -> str | None:
        """The version of the dbt that wrote it; a number even with `latest`."""
        return _text(self._metadata.get("dbt_version"))

    @property
    def is_from_fusion(self) -> bool:
        """Whether dbt Fusion wrote it, which is dbt 2; release tracks begin with a year."""
        major = (self.dbt_version or "").partition(".")[0]
        return major.isdecimal() and 1 < int(major) < _FIRST_YEAR

    @property
    def generated_at(self) -> datetime | None:
        """When dbt wrote it, if known."""
        return as_datetime(self._metadata.get("generated_at"))

    @property
    def damage(self) -> str | None:
        """Why its graph may be incomplete, as a clause; None if it is complete.

        Sources need their names, and `child_map` needs all that the nodes depend on.
        """
        schema = _text(self._metadata.get("dbt_schema_version")) or ""
        version = _SCHEMA.fullmatch(schema)
        if schema and (not version or int(version[1]) not in _KNOWN_VERSIONS):
            return f"`{schema}` is not a known version"
        for section in ("sources", "nodes", "child_map"):
            if not isinstance(self._content.get(section), dict):
                return f"it has no `{section}`"
        return next(chain(self._damaged_entries(), self._damaged_edges()), None)

    @property
    def unique_ids(self) -> list[str]:
        """The ids of all nodes, sources, metrics, exposures and the like."""
        return list(self._entries)

    @property
    def nodes(self) -> dict[str, Any]:
        """The entries of the section `nodes`, by unique id.

        Raises:
            DBTCloudException: It is not a manifest.
        """
        return self._section("nodes")

    @property
    def sources(self) -> dict[str, Any]:
        """The entries of the section `sources`, by unique id.

        Raises:
            DBTCloudException: It is not a manifest.
        """
        return self._section("sources")

    @property
    def selectors(self) -> Mapping[str, Mapping[str, Any]]:
        """The definitions of `selectors.yml`, by name."""
        return self._content.get("selectors") or {}

    def is_catalogued(self, unique_id: str) -> bool:
        """Return whether the catalog has a node, so that its columns are as built."""
        return unique_id in self._built

    def is_ephemeral(self, unique_id: str) -> bool:
        """Return whether a node is a model that dbt does not build."""
        return self.node_config(unique_id).get("materialized") == "ephemeral"

    def node_config(self, unique_id: str) -> dict[str, Any]:
        """Return the configuration of a node, or an empty dict."""
        return as_mapping(self.entry(unique_id).get("config"))

    def entry(self, unique_id: str) -> dict[str, Any]:
        """Return a node as the manifest has it, or an empty dict."""
        return as_mapping(self._entries.get(unique_id))

    def name(self, unique_id: str) -> str:
        """Return the name of a node, from its id if the manifest lacks it."""
        return _text(self.entry(unique_id).get("name")) or _name_in(unique_id)

    def resource_type(self, unique_id: str) -> str:
        """Return the type of a node, from its id if the manifest lacks it."""
        return _text(self.entry(unique_id).get("resource_type")) or resource_type_in(unique_id)

    def node(self, unique_id: str) -> Node:
        """Return a node, not to be changed; an unknown one has only its id's parts."""
        if unique_id not in self._read:
            self._read[unique_id] = self._node(unique_id)
        return self._read[unique_id]

    def documented_columns(self, unique_id: str) -> list[Column]:
        """Return the columns of a node as documented, without the catalog."""
        return _columns(self.entry(unique_id), {})

    def dependencies(self, unique_id: str) -> list[str]:
        """Return the ids that a node depends on, ephemeral models included."""
        return as_texts(as_mapping(self.entry(unique_id).get("depends_on")).get("nodes"))

    def parents(self, unique_id: str) -> list[str]:
        """Return the ids that a node reads, ephemeral models replaced by their parents."""
        found: dict[str, None] = {}
        seen = {unique_id}
        waiting = self.dependencies(unique_id)
        while waiting:
            parent = waiting.pop(0)
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
        self._section("nodes")
        return _reachable(self._parent_map, [unique_id])

    def descendants(self, unique_ids: Iterable[str]) -> set[str]:
        """Return the ids of all that is made of some nodes.

        Raises:
            DBTCloudException: It is not a manifest.
        """
        self._section("nodes")
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
        attached = as_texts(self.entry(unique_id).get("attached_node"))
        tested = self.dependencies(unique_id) or attached
        below = [self.descendants([node]) for node in tested]
        itself = {*tested} if kind == "unit_test" else set()
        return blocked.union(itself, set.intersection(*below) if below else ())

    @cached_property
    def _parent_map(self) -> Mapping[str, Iterable[str]]:
        return self._content.get("parent_map") or dict(self._edges())

    @cached_property
    def _child_map(self) -> Mapping[str, Iterable[str]]:
        return self._content.get("child_map") or self._children()

    def _children(self) -> dict[str, list[str]]:
        children = defaultdict(list)
        for unique_id, parents in self._edges():
            for parent in parents:
                children[parent].append(unique_id)
        return children

    def _edges(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each node with the ids that it depends on."""
        for unique_id, node in self._entries.items():
            if isinstance(node, dict):
                yield unique_id, (node.get("depends_on") or {}).get("nodes") or []

    def _damaged_entries(self) -> Iterator[str]:
        for section in (*_SECTIONS, "selectors"):
            entries = self._content.get(section) or {}
            if not isinstance(entries, dict):
                yield f"its `{section}` is not a mapping"
                return
            for unique_id, entry in entries.items():
                if not isinstance(entry, dict):
                    yield f"its `{unique_id}` is not a mapping"
                elif section == "sources" and not all(_text(entry.get(key)) for key in _NAMES):
                    yield f"its `{unique_id}` lacks one of {', '.join(_NAMES)}"

    def _damaged_edges(self) -> Iterator[str]:
        edges: set[tuple[str, str]] = set()
        for parent, children in self._content["child_map"].items():
            if not _are_texts(children):
                yield f"its `child_map` has no list for `{parent}`"
            else:
                edges.update((parent, child) for child in children)
        for unique_id in chain(*(self._content.get(section) or () for section in _BUILT)):
            depends_on = self._entries[unique_id].get("depends_on", {})
            parents = depends_on.get("nodes", []) if isinstance(depends_on, dict) else None
            if not _are_texts(parents):
                yield f"`depends_on` of `{unique_id}` is not valid"
                continue
            for parent in parents:
                if parent in self._entries and (parent, unique_id) not in edges:
                    yield f"its `child_map` lacks `{unique_id}` as a child of `{parent}`"

    def _section(self, name: str) -> dict[str, Any]:
        section = self._content.get(name)
        if not isinstance(section, dict):
            raise DBTCloudException(
                f"This is not a dbt manifest: it has no `{name}`. "
                "Pass the parsed `manifest.json` of a run."
            )
        return section

    def _node(self, unique_id: str) -> Node:
        entry, config = self.entry(unique_id), self.node_config(unique_id)
        return Node(
            unique_id=unique_id,
            name=self.name(unique_id),
            resource_type=self.resource_type(unique_id),
            relation_name=_text(entry.get("relation_name")),
            database=_text(entry.get("database")),
            schema=_text(entry.get("schema")),
            identifier=_text(entry.get("identifier")) or _text(entry.get("alias")),
            materialized=_text(config.get("materialized")),
            version=_version(entry.get("version")),
            description=_text(entry.get("description")),
            owners=self._owners(unique_id),
            group=self._group(unique_id),
            tags=as_texts(entry.get("tags") or config.get("tags")),
            meta=self._meta(unique_id),
            columns=_columns(entry, as_mapping(self._built.get(unique_id))),
            path=_text(entry.get("original_file_path")) or _text(entry.get("path")),
            package_name=_text(entry.get("package_name")),
        )

    def _meta(self, unique_id: str) -> dict[str, Any]:
        meta = self.entry(unique_id).get("meta") or self.node_config(unique_id).get("meta")
        return as_mapping(meta)

    def _group(self, unique_id: str) -> str | None:
        group = self.entry(unique_id).get("group") or self.node_config(unique_id).get("group")
        return _text(group)

    def _owners(self, unique_id: str) -> list[str]:
        """Return the owners in a node's meta, else its own, else those of its group."""
        entry = self.entry(unique_id)
        owners = as_texts(self._meta(unique_id).get("owner")) or _owner(entry.get("owner"))
        name = self._group(unique_id)
        if owners or not name:
            return owners
        groups = [group for group in self._groups if group.get("name") == name]
        # two packages may have a group of the same name
        groups.sort(key=lambda group: group.get("package_name") != entry.get("package_name"))
        return _owner(groups[0].get("owner")) if groups else []


def resource_type_in(unique_id: str) -> str:
    """Return the resource type in an id: `model` in `model.flights.dim_planes.v2`."""
    return unique_id.partition(".")[0]


def _owner(owner: object) -> list[str]:
    owner = as_mapping(owner)
    return as_texts(owner.get("email") or owner.get("name"))


def _columns(entry: dict[str, Any], built: dict[str, Any]) -> list[Column]:
    """Return the columns of the catalog in its order, else those of the manifest."""
    documented = _named(entry.get("columns"))
    catalogued = sorted(_named(built.get("columns")), key=lambda pair: _position(pair[1]))
    descriptions = {name.lower(): column for name, column in documented}
    return [
        _column(name, column, descriptions.get(name.lower(), {}))
        for name, column in catalogued or documented
    ]


def _column(name: str, built: dict[str, Any], documented: dict[str, Any]) -> Column:
    return Column(
        name=name,
        type=_text(built.get("type")) or _text(documented.get("data_type")),
        description=_text(documented.get("description")) or _text(built.get("comment")),
    )


def _named(columns: object) -> list[tuple[str, dict[str, Any]]]:
    entries = [(name, as_mapping(column)) for name, column in as_mapping(columns).items()]
    return [(_text(column.get("name")) or str(name), column) for name, column in entries]


def _position(column: dict[str, Any]) -> float:
    index = column.get("index")
    return index if isinstance(index, (int, float)) else 0


def _reachable(edges: Mapping[str, Iterable[str]], starts: Iterable[str]) -> set[str]:
    """Return all that can be reached from some nodes, without these unless in a cycle."""
    reached: set[str] = set()
    waiting = list(starts)
    while waiting:
        new = set(edges.get(waiting.pop()) or ()) - reached
        reached |= new
        waiting.extend(new)
    return reached


def _are_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _name_in(unique_id: str) -> str:
    """Return the name in an id: `dim_planes` in `model.flights.dim_planes.v2`."""
    kind, *names = unique_id.split(".")
    if kind == "source" or len(names) < 2:
        return unique_id.rpartition(".")[2]
    # a model's version or a test's hash follows
    return names[1] if kind in ("model", "test") else ".".join(names[1:])


def _version(value: object) -> str | float | None:
    return value if isinstance(value, (str, int, float)) else None


def _text(value: object) -> str | None:
    return as_text(value) or None
