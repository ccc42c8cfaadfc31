"""Tables of a load, matched with the sources of a dbt project."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dlt_dbtcloud.dbt.artifacts import Entry
from dlt_dbtcloud.dbt.manifest import Manifest, resource_type_in
from dlt_dbtcloud.values import Relation, as_texts

__all__ = ["Match", "Misplaced", "match_sources", "sources_by_relation"]


# dlt's `dev_mode` appends the time to the dataset
_DEV_MODE = re.compile(r"_\d{14}$")
_NOT_IN_NAMES = re.compile(r"[/\\.*?=]+")
_PUNCTUATION = re.compile(r"[\W_]+")
# candidates that a message names
_NAMED = 3


@dataclass(frozen=True)
class Misplaced:
    """A loaded table that sources declare by name, but all of them in other places.

    Args:
        name: The name of the table.
        sources: The unique ids of the sources, sorted.
        advice: Both places, and the line to change if they are the same table.
        change: The line to change.
    """

    name: str
    sources: tuple[str, ...]
    advice: str
    change: str = ""


@dataclass(frozen=True)
class Match:
    """The tables of a load, matched with the sources of a dbt project.

    Args:
        sources: The unique ids of the sources that declare a table of the load, sorted.
        undeclared: The names of the tables that no source declares anywhere, sorted.
        misplaced: The tables that are declared in other places only, sorted by name.
        namesakes: The names of the declared tables that sources in other places have as well.
    """

    sources: tuple[str, ...]
    undeclared: tuple[str, ...]
    misplaced: tuple[Misplaced, ...] = ()
    namesakes: tuple[str, ...] = ()


def match_sources(relations: Iterable[Relation], manifest: Manifest) -> Match:
    """Find the sources that declare the tables of a load.

    Schema and identifier must be the same by the destination's rules for case. The database must be
    the same if both sides know it. The names by which dbt refers to a source do not count.

    Args:
        relations: The tables.
        manifest: The manifest of the project.

    Raises:
        DBTCloudException: It is not a manifest.
    """
    project = _Sources(manifest)
    compared = {relation: project.compared(relation) for relation in relations}
    sources = {source for each in compared.values() for source in each if not each[source]}
    undeclared: set[str] = set()
    namesakes: set[str] = set()
    misplaced: list[Misplaced] = []
    for relation, differences in compared.items():
        # a source that is another table of the load is not this one
        others = {source: fields for source, fields in differences.items() if source not in sources}
        is_declared = not all(differences.values())
        if is_declared and others:
            namesakes.add(relation.name)
        elif others:
            misplaced.append(_misplaced(relation, others))
        elif not is_declared:
            undeclared.add(relation.name)
    return Match(
        tuple(sorted(source.unique_id for source in sources)),
        tuple(sorted(undeclared)),
        tuple(sorted(misplaced, key=lambda each: (each.name, each.advice))),
        tuple(sorted(namesakes)),
    )


def sources_by_relation(
    relations: Iterable[Relation], manifest: Manifest
) -> dict[Relation, list[str]]:
    """Return the unique ids of the sources that declare each table, by the same rules.

    Raises:
        DBTCloudException: It is not a manifest.
    """
    project = _Sources(manifest)
    return {
        relation: [source.unique_id for source, fields in compared.items() if not fields]
        for relation in relations
        for compared in [project.compared(relation)]
    }


@dataclass(frozen=True, eq=False)
class _Source:
    """A source of a project; texts that the manifest lacks are empty."""

    unique_id: str
    entry: Entry

    @property
    def name(self) -> str:
        return f"{self.entry.source_name or ''}.{self.entry.name or ''}"

    @property
    def database(self) -> str:
        return self.entry.database or ""

    @property
    def schema(self) -> str:
        return self.entry.schema or ""

    @property
    def identifier(self) -> str:
        return self.entry.identifier or self.entry.name or ""

    @property
    def file(self) -> str:
        path = self.entry.original_file_path or self.entry.path
        package = self.entry.package_name or ""
        return f"`{path}`" if path else f"the YAML files of package `{package}`"

    @property
    def is_enabled(self) -> bool:
        return self.entry.config.enabled is not False

    @property
    def words_of_locations(self) -> set[str]:
        """The folders and names in the paths of the files that an external source reads."""
        config, external = self.entry.config, self.entry.external
        metas = (config.meta or {}, self.entry.meta or {})
        locations = [config.external_location, *(meta.get("external_location") for meta in metas)]
        locations.append(external and external.location)
        paths = [path for location in locations for path in as_texts(location)]
        return {word for path in paths for word in _NOT_IN_NAMES.split(path.casefold()) if word}


class _Sources:
    """The enabled sources of a project, by the names of their tables.

    Raises:
        DBTCloudException: It is not a manifest.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._named: dict[str, list[_Source]] = defaultdict(list)
        self._reading: dict[str, list[_Source]] = defaultdict(list)
        self._sharded: list[_Source] = []
        for source in (_Source(*each) for each in manifest.sources.items()):
            if source.is_enabled:
                self._named[_letters(source.identifier)].append(source)
                for word in source.words_of_locations:
                    self._reading[word].append(source)
                if "*" in source.identifier:
                    self._sharded.append(source)
        nodes = [uid for uid in manifest.unique_ids if resource_type_in(uid) != "source"]
        databases = (manifest.entry(uid).database or "" for uid in nodes)
        self._built_into = {database.casefold() for database in databases} - {""}

    def compared(self, relation: Relation) -> dict[_Source, dict[str, str]]:
        """Return the sources of a table's name, each with its differences from the table."""
        return {
            source: self._differences(source, relation) for source in self._named_like(relation)
        }

    def _named_like(self, relation: Relation) -> list[_Source]:
        """Return the sources of a table's name, in any place and spelling."""
        table = relation.table or relation.name
        named = [*self._named.get(_letters(relation.name), ())]
        named += self._named.get(_letters(table), ())
        named += (each for each in self._sharded if _is_shard(relation.name, each.identifier))
        if relation.is_file:
            named += self._reading.get(table.casefold(), ())
        return sorted({source.unique_id: source for source in named}.values(), key=_unique_id)

    def _differences(self, source: _Source, relation: Relation) -> dict[str, str]:
        """Return the fields by which a source is another table, with the table's values.

        Files are in no schema, so a source that has their name reads them.
        """
        if relation.is_file:
            return {}
        wanted = {"schema": relation.dataset, "identifier": relation.name}
        fields = {name: value for name, value in wanted.items() if value}
        different = {
            name: value
            for name, value in fields.items()
            if not _is_same(getattr(source, name), value, relation)
        }
        if _is_shard(relation.name, source.identifier):
            different.pop("identifier", None)
        if self._is_in_another_database(source, relation):
            different["database"] = relation.database or relation.attached_as or ""
        return different

    def _is_in_another_database(self, source: _Source, relation: Relation) -> bool:
        declared = source.database.casefold()
        if relation.database:
            return bool(declared) and declared != relation.database.casefold()
        attached = (relation.attached_as or "").casefold()
        if not attached or not declared or declared == attached:
            return False
        # dbt may attach the file under any name, unless it builds into this file itself
        is_alias = self._built_into and not {attached, declared} & self._built_into
        return not is_alias


def _misplaced(relation: Relation, candidates: Mapping[_Source, Mapping[str, str]]) -> Misplaced:
    """Return a table whose name several sources have, with their differences from it."""
    nearest = sorted(candidates, key=lambda source: len(candidates[source]))
    places = [_place(source, relation) for source in nearest[:_NAMED]]
    change = _change(nearest[0], relation, candidates[nearest[0]])
    more = f", and {len(nearest) - _NAMED} more" if len(nearest) > _NAMED else ""
    return Misplaced(
        relation.name,
        tuple(source.unique_id for source in candidates),
        f"{_loaded(relation)} was loaded, but the project has {', '.join(places)}{more}. "
        f"If it is the same table, {change}.",
        change,
    )


def _loaded(relation: Relation) -> str:
    database = relation.database or relation.attached_as
    return f"`{'.'.join(filter(None, (database, relation.dataset, relation.name)))}`"


def _place(source: _Source, relation: Relation) -> str:
    """Return a source with as much of its place as is known of the table's."""
    database = source.database if relation.database or relation.attached_as else ""
    schema = (source.schema or "(no schema)") if relation.dataset else ""
    place = ".".join(filter(None, (database, schema, source.identifier)))
    template = source.entry.unrendered_schema or ""
    written = f" (`schema: {template}`)" if "{" in template else ""
    return f"source `{source.name}` as `{place}`{written}"


def _change(source: _Source, relation: Relation, different: Mapping[str, str]) -> str:
    """Return the lines to change so that a source is the table."""
    lines = " and ".join(f"`{field}: {value}`" for field, value in different.items())
    change = f"set {lines} of source `{source.name}` in {source.file}"
    if "identifier" in different:
        return change
    loads = []
    dataset = relation.dataset or ""
    if "schema" in different and _DEV_MODE.sub("", dataset) == source.schema:
        loads.append("switch off `dev_mode` of the pipeline, which adds a timestamp")
    elif "schema" in different and source.schema and _letters(source.schema) != _letters(dataset):
        loads.append(f'pass `dataset_name="{source.schema}"` to the pipeline')
    if "database" in different:
        loads.append(f"load into database `{source.database}`")
    return ", or ".join([change, *([" and ".join(loads)] if loads else [])])


def _unique_id(source: _Source) -> str:
    return source.unique_id


def _is_shard(name: str, identifier: str) -> bool:
    """Return whether a table is one of those that a source with a wildcard reads."""
    return "*" in identifier and fnmatchcase(name.casefold(), identifier.casefold())


def _is_same(name: str, other: str, relation: Relation) -> bool:
    if relation.is_case_sensitive:
        return name == other
    return name.casefold() == other.casefold()


def _letters(name: str) -> str:
    """Return a name without the case, quotes and underscores in which names often differ."""
    folded = name.casefold()
    return _PUNCTUATION.sub("", folded) or folded
