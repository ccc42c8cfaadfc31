"""Arrow tables of rows, which dlt loads faster than the rows.

dlt writes Arrow tables as Parquet, or as CSV for Postgres, and does not look at their rows. It does
not add its own columns to them either, so they are added here.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.util import find_spec
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, ClassVar

import dlt
import msgspec
from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.container import Container
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.json import json
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.extract.items_transform import ItemTransform
from dlt.normalize.configuration import ItemsNormalizerConfiguration

from dlt_dbtcloud.source.destination import StoredTables, active_pipeline
from dlt_dbtcloud.source.schema import DLT_COLUMNS, TABLES

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ArrowStep", "arrow_table", "file_format"]


# the destinations that load the same values from another format than the preferred one
_REPLACED_FORMATS = {
    ("duckdb", "insert_values"): "parquet",
    ("filesystem", "jsonl"): "parquet",
    ("postgres", "insert_values"): "csv",
}
# what is loaded where Parquet needs an ADBC driver, which may be missing
_WITHOUT_DRIVER: Mapping[str, str | None] = {"mssql": None, "postgres": "csv"}
_TYPES: Mapping[str | None, set[type]] = {
    "bigint": {int},
    "bool": {bool},
    "double": {float, int},
    "json": {dict, list},
    "text": {str},
    "timestamp": {datetime},
}
# rows that are converted at a time, to save memory
_SLICE = 2000
# characters of a row's id, as of dlt's own ids
_ID_LENGTH = 14
_ENCODER = msgspec.json.Encoder()
# patterns of texts that CSV does not preserve
_LOST = r"\\\."
_LOST_OR_EMPTY = rf"\A\z|{_LOST}"


class _JsonHints(logging.Filter):
    """Drops dlt's warning that JSON columns are text in Arrow, as they always are there.

    It is added to dlt's logger because nothing else prevents the warning. dlt compares the type of
    each Arrow column with that of the resource, and reads only nested Arrow types as `json`. Those
    would be loaded as nested columns, and a resource without the type would create text columns.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        is_expected = "when merging arrow schema with dlt schema" in text
        return not (is_expected and any(f"resource: {table}," in text for table in TABLES))


_JSON_HINTS = _JsonHints()


class ArrowStep(ItemTransform[Any, dict[str, Any]]):
    """The last step of a table's resource, which makes its rows an Arrow table.

    Steps that a user adds come before it, so they get rows. Rows that do not fit the table's
    columns any more after such a step remain rows, like all later rows of the load, and so do all
    rows outside of a load.

    Args:
        table: The table.
    """

    placement_affinity: ClassVar[float] = 2

    def __init__(self, table: str) -> None:
        super().__init__(self._convert)
        self._table = table
        self._load: tuple[str, str | None] | None = None

    def __call__(self, item: Any, meta: Any = None) -> Any:  # noqa: ARG002, dlt passes it
        """Return the Arrow table of a list of rows, if it is faster than the list."""
        return self._convert(item)

    def _convert(self, item: Any) -> Any:
        load_id = _load_id() if isinstance(item, list) else None
        if load_id is None:
            return item
        if self._load is None or self._load[0] != load_id:
            self._load = load_id, file_format(self._table)
            logging.getLogger("dlt").addFilter(_JSON_HINTS)
        if self._load[1] is None:
            return item
        table = arrow_table(self._table, item, load_id)
        if table is None:
            # nor are later rows converted, as all files of a table are read in one format
            self._load = load_id, None
            return item
        return item if self._load[1] == "csv" and not _fits_csv(table) else table


def file_format(table: str) -> str | None:
    """Return the format in which dlt loads Arrow tables now, or None if it is to load rows.

    It is Parquet if that is requested or preferred, and on the destinations that are tested with
    Arrow tables. Others may store JSON columns from Parquet as text. Files keep their format.

    Args:
        table: The table.
    """
    known = Container()
    if not find_spec("pyarrow") or DestinationCapabilitiesContext not in known:
        return None
    stored = StoredTables()
    schema = stored.schema(table)
    columns = schema["columns"]
    if any(columns[name]["data_type"] != own["data_type"] for name, own in TABLES[table].items()):
        return None
    preferred = known[DestinationCapabilitiesContext].preferred_loader_file_format
    requested = schema.get("file_format")
    chosen = preferred if requested in (None, "preferred") else requested
    pipeline = active_pipeline()
    destination = pipeline.destination.destination_type if pipeline else ""
    kind = destination.rpartition(".")[2]
    if chosen == "parquet":
        return _WITHOUT_DRIVER.get(kind, "parquet")
    if requested or schema.get("table_format"):
        return None
    if kind == "filesystem" and not stored.file_formats(table) <= {"parquet"}:
        return None
    return _REPLACED_FORMATS.get((kind, str(preferred)))


def arrow_table(table: str, rows: Sequence[Any], load_id: str) -> pa.Table | None:
    """Return rows as an Arrow table with the columns that dlt adds to rows.

    Args:
        table: The table.
        rows: Its rows, or the items that a user's step made of them.
        load_id: The id of the load.

    Returns:
        None if a row has other columns, or values of other types.
    """
    import pyarrow as pa

    names = TABLES[table].keys()
    if not all(isinstance(row, dict) and row.keys() <= names for row in rows):
        return None
    # of tables that are written already; it may be 50 MB
    pa.default_memory_pool().release_unused()
    schema = _schema(table)
    slices = (rows[i : i + _SLICE] for i in range(0, len(rows), _SLICE))
    try:
        batches = [_batch(table, part, load_id, schema) for part in slices]
    except (ArithmeticError, TypeError, ValueError):
        return None
    found = pa.Table.from_batches(batches, schema)
    return found.drop_columns(["_dlt_id"]) if _adds_ids() else found


def _batch(
    table: str, rows: Sequence[dict[str, Any]], load_id: str, schema: pa.Schema
) -> pa.RecordBatch:
    """Return rows as a batch.

    pyarrow reads them as JSON, because it imports pandas to read Python's lists.

    Raises:
        ValueError: A value is not of its column's type.
    """
    import pyarrow as pa
    from pyarrow import json as pa_json

    lines = _ENCODER.encode_lines(_with_ids(table, rows, load_id))
    read = pa_json.read_json(
        pa.py_buffer(lines),
        pa_json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
    )
    return read.select(schema.names).cast(schema).combine_chunks().to_batches()[0]


def _with_ids(table: str, rows: Sequence[dict[str, Any]], load_id: str) -> Iterator[dict[str, Any]]:
    """Yield rows with the ids of their load and their own, and JSON as text.

    Raises:
        TypeError: pyarrow would read a value as another.
    """
    types = [(name, column["data_type"]) for name, column in TABLES[table].items()]
    ids = token_urlsafe(_ID_LENGTH * len(rows))
    for name, data_type in types:
        _check(name, data_type, [row.get(name) for row in rows])
    texts = [name for name, data_type in types if data_type == "json"]
    for start, row in zip(range(0, len(ids), _ID_LENGTH), rows, strict=False):
        jsons = {name: json.dumps(row[name]) for name in texts if row.get(name) is not None}
        own = {"_dlt_load_id": load_id, "_dlt_id": ids[start : start + _ID_LENGTH]}
        yield {**row, **jsons, **own}


def _load_id() -> str | None:
    """Return the id of the load that is extracted, or None outside of a load."""
    try:
        return dlt.current.load_package_state()["load_id"]
    except CurrentLoadPackageStateNotAvailable:
        return None


def _fits_csv(table: pa.Table) -> bool:
    r"""Return whether dlt's CSV preserves all texts.

    dlt loads empty texts as null into nullable columns, and a line `\.` ends the data in older
    versions of PostgreSQL.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for field in table.schema:
        if pa.types.is_string(field.type):
            lost = _LOST_OR_EMPTY if field.nullable else _LOST
            if pc.any(pc.match_substring_regex(table[field.name], lost)).as_py():
                return False
    return True


def _adds_ids() -> bool:
    """Return whether dlt is configured to add row ids to Arrow tables."""
    sections = ("normalize", "parquet_normalizer")
    return resolve_configuration(ItemsNormalizerConfiguration(), sections=sections).add_dlt_id


def _schema(table: str) -> pa.Schema:
    import pyarrow as pa

    types: Mapping[str | None, pa.DataType] = {
        "bigint": pa.int64(),
        "bool": pa.bool_(),
        "double": pa.float64(),
        "json": pa.string(),
        "text": pa.string(),
        "timestamp": pa.timestamp("us", "UTC"),
    }
    return pa.schema(
        pa.field(name, types[column["data_type"]], nullable=column["nullable"])
        for name, column in {**TABLES[table], **DLT_COLUMNS}.items()
    )


def _check(name: str, data_type: str | None, values: Sequence[Any]) -> None:
    """Check that a column has only values of its type, which pyarrow might convert.

    Raises:
        TypeError: It has others, or numbers that JSON does not have.
    """
    types = {*map(type, values)}
    if not types <= _TYPES[data_type] | {type(None)}:
        raise TypeError(f"`{name}` has other values than `{data_type}`.")
    if float in types and not all(map(math.isfinite, filter(None, values))):
        raise TypeError(f"`{name}` has infinite values.")
