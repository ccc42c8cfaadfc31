"""The loads of a dlt pipeline: their packages and tables."""

from dlt_dbtcloud.loads.packages import (
    RESULT_TABLES,
    RESULTS_HINT,
    RESULTS_SCHEMA,
    LastLoad,
    last_load,
    note_failure,
)
from dlt_dbtcloud.loads.tables import loaded_relations, loaded_tables, tables_by_load

__all__ = [
    "RESULTS_HINT",
    "RESULTS_SCHEMA",
    "RESULT_TABLES",
    "LastLoad",
    "last_load",
    "loaded_relations",
    "loaded_tables",
    "note_failure",
    "tables_by_load",
]
