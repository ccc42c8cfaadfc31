"""What a manifest and a catalog tell about dbt's nodes, whatever version of dbt wrote them.

Artifacts: https://docs.getdbt.com/reference/artifacts/manifest-json
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypedDict

from dlt_dbtcloud.values import as_mapping, as_text, as_texts

__all__ = ["Column", "Manifest", "ManifestJSON", "Node", "ancestors", "descendants", "find_node"]


ManifestJSON = Mapping[str, Any]


def find_node(manifest: ManifestJSON, unique_id: str) -> Mapping[str, Any]:
    """Return what a manifest says of a node, or nothing where it does not know it."""
    for section in _sections(manifest):
        node = section.get(unique_id)
        if isinstance(node, Mapping):
            return node
    return {}


def ancestors(manifest: ManifestJSON, unique_id: str) -> set[str]:
    """Return the unique ids of all that a node is made of, down to the sources."""
    return _reached(manifest.get("parent_map") or _parents(manifest), [unique_id])


def descendants(manifest: ManifestJSON, unique_ids: Iterable[str]) -> set[str]:
    """Return the unique ids of all that is made of some nodes."""
    return _reached(manifest.get("child_map") or _children(manifest), unique_ids)


def _reached(edges: Mapping[str, Iterable[str]], starts: Iterable[str]) -> set[str]:
    """Return all that can be reached from some nodes, without them."""
    reached: set[str] = set()
    waiting = list(starts)
    while waiting:
        new = set(edges.get(waiting.pop()) or ()) - reached
        reached |= new
        waiting.extend(new)
    return reached


def _parents(manifest: ManifestJSON) -> dict[str, list[str]]:
    """Return what each node depends on, from the nodes themselves."""
    return {
        unique_id: list((node.get("depends_on") or {}).get("nodes") or ())
        for section in _sections(manifest)
        for unique_id, node in section.items()
        if isinstance(node, Mapping)
    }


def _children(manifest: ManifestJSON) -> dict[str, list[str]]:
    children: dict[str, list[str]] = defaultdict(list)
    for unique_id, parents in _parents(manifest).items():
        for parent in parents:
            children[parent].append(unique_id)
    return children


def _sections(manifest: ManifestJSON) -> Iterator[Mapping[str, Any]]:
    """Yield the parts of a manifest that hold nodes by their unique ids."""
    others = ("metadata", "parent_map", "child_map", "group_map", "disabled", "docs", "macros")
    for name, section in manifest.items():
        if name not in others and isinstance(section, Mapping):
            yield section


# what has a relation to read from; ephemeral models are looked through
_READABLE = ("model", "seed", "snapshot", "source")
_SECTIONS = (
    *("exposures", "saved_queries", "metrics", "semantic_models"),
    *("functions", "unit_tests", "sources", "nodes"),
)


class Column(TypedDict):
    """A column: with a catalog as it was built, else as it is documented."""

    name: str
    type: str | None
    description: str | None


class Node(TypedDict):
    """A node, source, metric or the like; what the manifest does not tell is None or empty."""

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

    Whatever is missing, or is of another shape than dbt's, counts as not told.

    Args:
        manifest: A parsed `manifest.json`.
        catalog: A parsed `catalog.json`, which `dbt docs generate` writes.
    """

    def __init__(self, manifest: object, catalog: object = None) -> None:
        told, built = as_mapping(manifest), as_mapping(catalog)
        self._entries: dict[str, Any] = {}
        for section in _SECTIONS:
            self._entries |= as_mapping(told.get(section))
        self._built = {**as_mapping(built.get("sources")), **as_mapping(built.get("nodes"))}
        self._groups = [as_mapping(group) for group in as_mapping(told.get("groups")).values()]
        self._metadata = as_mapping(told.get("metadata"))
        self._known: dict[str, Node] = {}

    @property
    def adapter_type(self) -> str | None:
        """Return which adapter of dbt wrote it, such as `duckdb`."""
        return _text(self._metadata.get("adapter_type"))

    @property
    def dbt_version(self) -> str | None:
        """Return the version of dbt that wrote it, a number also where the job says `latest`."""
        return _text(self._metadata.get("dbt_version"))

    @property
    def unique_ids(self) -> list[str]:
        """Return the ids of all that it tells: nodes, sources, metrics, exposures ..."""
        return list(self._entries)

    def is_catalogued(self, unique_id: str) -> bool:
        """Tell whether the catalog has a node, so that its columns are as they were built."""
        return unique_id in self._built

    def entry(self, unique_id: str) -> dict[str, Any]:
        """Return a node as it stands in the manifest, or nothing."""
        return as_mapping(self._entries.get(unique_id))

    def node(self, unique_id: str) -> Node:
        """Return a node, of which at least the id tells something; it is not to be changed."""
        if unique_id not in self._known:
            self._known[unique_id] = self._read(unique_id)
        return self._known[unique_id]

    def documented_columns(self, unique_id: str) -> list[Column]:
        """Return the columns of a node as they are documented, whatever a catalog tells."""
        return _columns(self.entry(unique_id), {})

    def dependencies(self, unique_id: str) -> list[str]:
        """Return what a node depends on, ephemeral models included."""
        return as_texts(as_mapping(self.entry(unique_id).get("depends_on")).get("nodes"))

    def parents(self, unique_id: str) -> list[str]:
        """Return what a node reads, with ephemeral models replaced by what they read."""
        found: dict[str, None] = {}
        seen = {unique_id}
        waiting = self.dependencies(unique_id)
        while waiting:
            parent = waiting.pop(0)
            if parent in seen:
                continue
            seen.add(parent)
            if self._config(parent).get("materialized") == "ephemeral":
                waiting = self.dependencies(parent) + waiting
            elif _kind_in(parent) in _READABLE:
                found[parent] = None
        return list(found)

    def _read(self, unique_id: str) -> Node:
        entry, config = self.entry(unique_id), self._config(unique_id)
        return Node(
            unique_id=unique_id,
            name=_text(entry.get("name")) or _name_in(unique_id),
            resource_type=_text(entry.get("resource_type")) or _kind_in(unique_id),
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

    def _config(self, unique_id: str) -> dict[str, Any]:
        return as_mapping(self.entry(unique_id).get("config"))

    def _meta(self, unique_id: str) -> dict[str, Any]:
        meta = self.entry(unique_id).get("meta") or self._config(unique_id).get("meta")
        return as_mapping(meta)

    def _group(self, unique_id: str) -> str | None:
        group = self.entry(unique_id).get("group") or self._config(unique_id).get("group")
        return _text(group)

    def _owners(self, unique_id: str) -> list[str]:
        """Return whom the node's meta names, else its own owner, else who owns its group."""
        told = as_mapping(self.entry(unique_id).get("owner"))
        named = as_texts(self._meta(unique_id).get("owner")) or _owner(told)
        if named:
            return named
        name, package = self._group(unique_id), self.entry(unique_id).get("package_name")
        groups = [group for group in self._groups if name and group.get("name") == name]
        # two packages may have a group of the same name
        groups.sort(key=lambda group: group.get("package_name") != package)
        return _owner(as_mapping(groups[0].get("owner"))) if groups else []


def _owner(owner: dict[str, Any]) -> list[str]:
    return as_texts(owner.get("email") or owner.get("name"))


def _columns(entry: dict[str, Any], built: dict[str, Any]) -> list[Column]:
    """Return the columns of the catalog in their order, or else those of the manifest."""
    documented = {str(name).lower(): column for name, column in _named(entry.get("columns"))}
    catalogued = sorted(_named(built.get("columns")), key=lambda pair: _position(pair[1]))
    return [
        Column(
            name=name,
            type=_text(column.get("type")) or _text(documents.get("data_type")),
            description=_text(documents.get("description")) or _text(column.get("comment")),
        )
        for name, column in catalogued or _named(entry.get("columns"))
        for documents in [documented.get(name.lower(), {})]
    ]


def _named(columns: object) -> list[tuple[str, dict[str, Any]]]:
    entries = [(name, as_mapping(column)) for name, column in as_mapping(columns).items()]
    return [(_text(column.get("name")) or str(name), column) for name, column in entries]


def _position(column: dict[str, Any]) -> float:
    index = column.get("index")
    return index if isinstance(index, (int, float)) else 0


def _kind_in(unique_id: str) -> str:
    return unique_id.split(".")[0]


def _name_in(unique_id: str) -> str:
    """Return the name in `model.flights.dim_planes.v2`, or the table's in a source's id."""
    parts = unique_id.split(".")
    return parts[-1] if parts[0] == "source" or len(parts) < 3 else parts[2]


def _version(value: object) -> str | float | None:
    return value if isinstance(value, (str, int, float)) else None


def _text(value: object) -> str | None:
    return as_text(value) or None
