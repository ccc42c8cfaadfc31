"""Artifacts of dbt as structs, of all versions since dbt 1.5 and of dbt Fusion.

Each node and each result is decoded separately, so a field of an unexpected type costs only its
node or result. Fields that are not declared here are skipped.

Schemas: https://schemas.getdbt.com
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from dlt_dbtcloud.dbt.decoder import Decoder, Unread
from dlt_dbtcloud.values import as_number

__all__ = [
    "Catalog",
    "CatalogColumn",
    "CatalogTable",
    "DocumentedColumn",
    "Entry",
    "FreshnessResult",
    "GenericTest",
    "ManifestFile",
    "Metadata",
    "Owner",
    "Result",
    "Results",
    "code_of",
    "decode_catalog",
    "decode_manifest",
    "decode_run_results",
    "decode_sources",
]


_T = TypeVar("_T")
_Id = Annotated[str, msgspec.Meta(min_length=1)]
_Number = int | float | None
# dbt guesses the types of comments from all comments of a catalog
_Scalar = str | int | float | bool | None

# the sections of entries, in the order of their rows
_SECTIONS = (
    *("exposures", "saved_queries", "metrics", "semantic_models"),
    *("functions", "unit_tests", "sources", "nodes"),
)
# those of the nodes that dbt executes
_BUILT = ("nodes", "unit_tests", "functions")


class _Struct(msgspec.Struct, frozen=True, gc=False):
    """A part of an artifact; a field that an artifact lacks is None, or empty."""


class Metadata(_Struct, frozen=True):
    """The version and origin of a manifest."""

    adapter_type: str | None = None
    dbt_schema_version: str | None = None
    dbt_version: str | None = None
    generated_at: str | None = None


class Owner(_Struct, frozen=True):
    """The owner of an exposure or group."""

    email: str | list[str] | None = None
    name: str | None = None


class Config(_Struct, frozen=True):
    """The configuration of a node."""

    enabled: bool | None = None
    error_if: str | None = None
    external_location: Any = None
    group: str | None = None
    materialized: str | None = None
    meta: dict[str, Any] | None = None
    severity: str | None = None
    tags: str | list[str] | None = None
    warn_if: str | None = None


class DependsOn(_Struct, frozen=True):
    """The dependencies of a node."""

    nodes: list[str] = []


class DocumentedColumn(_Struct, frozen=True):
    """A column as documented."""

    name: str | None = None
    data_type: str | None = None
    description: str | None = None
    # of the project's own
    type: Any = None
    comment: Any = None


class DeferRelation(_Struct, frozen=True):
    """The relation of a node that was not built, in the state that a run deferred to."""

    relation_name: str | None = None
    database: str | None = None
    schema: str | None = None
    alias: str | None = None


class External(_Struct, frozen=True):
    """The files of an external source."""

    location: Any = None


class GenericTest(_Struct, frozen=True):
    """The name and arguments of a generic test."""

    name: str | None = None
    kwargs: dict[str, Any] = {}


class Entry(_Struct, frozen=True):
    """A node, source, metric or the like, as a manifest contains it."""

    name: str | None = None
    resource_type: str | None = None
    package_name: str | None = None
    path: str | None = None
    original_file_path: str | None = None
    fqn: list[str] | None = None
    database: str | None = None
    schema: str | None = None
    alias: str | None = None
    identifier: str | None = None
    relation_name: str | None = None
    version: str | int | float | None = None
    language: str | None = None
    description: str | None = None
    group: str | None = None
    owner: Owner | None = None
    tags: str | list[str] | None = None
    meta: dict[str, Any] | None = None
    config: Config = Config()
    columns: dict[str, DocumentedColumn] | None = None
    depends_on: DependsOn = DependsOn()
    defer_relation: DeferRelation | None = None
    # of tests
    attached_node: str | None = None
    column_name: str | None = None
    test_metadata: GenericTest | None = None
    # of sources
    source_name: str | None = None
    unrendered_schema: str | None = None
    external: External | None = None


class _EntryWithCode(Entry, frozen=True):
    compiled_code: str | None = None


class Group(_Struct, frozen=True):
    """A group of nodes."""

    name: str | None = None
    package_name: str | None = None
    owner: Owner | None = None


class _Selector(_Struct, frozen=True):
    default: bool | str | None = None


class _Arguments(_Struct, frozen=True):
    defer: bool | str | None = None


class CatalogColumn(_Struct, frozen=True):
    """A column as built."""

    name: _Scalar = None
    type: _Scalar = None
    index: _Number = None
    comment: _Scalar = None


class CatalogTable(_Struct, frozen=True):
    """A relation as built."""

    columns: dict[str, CatalogColumn] = {}


class Timing(_Struct, frozen=True):
    """A phase of an execution."""

    started_at: str | None = None
    completed_at: str | None = None


class Result(_Struct, frozen=True):
    """The result of a node."""

    unique_id: _Id
    status: str
    message: str | None = None
    failures: _Number = None
    execution_time: float | None = None
    thread_id: str | None = None
    relation_name: str | None = None
    timing: list[Timing] | None = None
    adapter_response: dict[str, Any] | None = None


class _ResultWithCode(Result, frozen=True):
    compiled_code: str | None = None


class FreshnessResult(_Struct, frozen=True):
    """The freshness of a source."""

    unique_id: _Id
    status: str
    error: str | int | None = None
    max_loaded_at: str | None = None
    snapshotted_at: str | None = None
    max_loaded_at_time_ago_in_s: float | None = None
    criteria: dict[str, Any] | None = None
    execution_time: float | None = None


class ManifestFile(msgspec.Struct, frozen=True):
    """A `manifest.json`; a section that it lacks is None.

    Args:
        metadata: Its version and origin.
        entries: The nodes, sources, metrics and the like, by unique id.
        nodes: The ids of the section `nodes`.
        sources: The entries of the section `sources`.
        built: The ids of the nodes that dbt executes.
        groups: The groups.
        parent_map: The ids that each entry depends on.
        child_map: The ids that depend on each entry.
        has_default_selector: Whether `selectors.yml` replaces the selection of bare commands.
        unread: The parts that could not be read.
    """

    metadata: Metadata = Metadata()
    entries: Mapping[str, Entry] = {}
    nodes: Mapping[str, Entry] | None = None
    sources: Mapping[str, Entry] | None = None
    built: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    parent_map: Mapping[str, list[str]] | None = None
    child_map: Mapping[str, list[str]] | None = None
    has_default_selector: bool = False
    unread: tuple[Unread, ...] = ()


class Catalog(msgspec.Struct, frozen=True):
    """A `catalog.json`; a section that it lacks is None.

    Args:
        nodes: The relations of nodes, by unique id.
        sources: The relations of sources, by unique id.
        unread: The parts that could not be read.
    """

    nodes: Mapping[str, CatalogTable] | None = None
    sources: Mapping[str, CatalogTable] | None = None
    unread: tuple[Unread, ...] = ()


class Results(msgspec.Struct, Generic[_T], frozen=True):
    """A `run_results.json` or `sources.json`.

    Args:
        results: The results, in dbt's order.
        defers: Whether dbt was to read nodes that it did not build from another state.
        unread: The parts that could not be read.
        elapsed: The time of all nodes together, in seconds, if known.
    """

    results: tuple[_T, ...] = ()
    defers: bool = False
    unread: tuple[Unread, ...] = ()
    elapsed: float | None = None


def decode_manifest(content: bytes, *, keeps_code: bool = False) -> ManifestFile:
    """Decode a `manifest.json`.

    Args:
        content: The content of the file.
        keeps_code: Whether to decode the compiled code of nodes, which is most of the file.

    Raises:
        NotAnObjectError: It is another JSON value.
        ValueError: It is not JSON.
    """
    decoder = Decoder(content)
    kind = _EntryWithCode if keeps_code else Entry
    sections = {name: decoder.entries(name, kind) for name in _SECTIONS}
    selectors = decoder.entries("selectors", _Selector) or {}
    return ManifestFile(
        decoder.part("metadata", Metadata) or Metadata(),
        {key: entry for section in sections.values() for key, entry in (section or {}).items()},
        sections["nodes"],
        sections["sources"],
        tuple(key for name in _BUILT for key in sections[name] or ()),
        tuple((decoder.entries("groups", Group) or {}).values()),
        decoder.entries("parent_map", list[str]),
        decoder.entries("child_map", list[str]),
        any(selector.default for selector in selectors.values()),
        tuple(decoder.unread),
    )


def decode_catalog(content: bytes) -> Catalog:
    """Decode a `catalog.json`.

    Args:
        content: The content of the file.

    Raises:
        NotAnObjectError: It is another JSON value.
        ValueError: It is not JSON.
    """
    decoder = Decoder(content)
    nodes, sources = (decoder.entries(name, CatalogTable) for name in ("nodes", "sources"))
    return Catalog(nodes, sources, tuple(decoder.unread))


def decode_run_results(content: bytes, *, keeps_code: bool = False) -> Results[Result]:
    """Decode a `run_results.json`.

    Args:
        content: The content of the file.
        keeps_code: Whether to decode the compiled code of nodes, which is most of the file.

    Raises:
        NotAnObjectError: It is another JSON value.
        ValueError: It is not JSON.
    """
    decoder = Decoder(content)
    results = decoder.results(_ResultWithCode if keeps_code else Result)
    arguments = decoder.part("args", _Arguments) or _Arguments()
    elapsed = as_number(decoder.part("elapsed_time", Any))
    return Results(results, arguments.defer is True, tuple(decoder.unread), elapsed)


def decode_sources(content: bytes) -> Results[FreshnessResult]:
    """Decode a `sources.json`.

    Args:
        content: The content of the file.

    Raises:
        NotAnObjectError: It is another JSON value.
        ValueError: It is not JSON.
    """
    decoder = Decoder(content)
    return Results(decoder.results(FreshnessResult), unread=tuple(decoder.unread))


def code_of(decoded: Entry | Result | None) -> str | None:
    """Return the compiled code of a node or result that was decoded with its code."""
    return decoded.compiled_code if isinstance(decoded, _EntryWithCode | _ResultWithCode) else None
