"""The loads of a dlt pipeline: their packages, schemas and tables."""

from dlt_dbtcloud.loads.packages import (
    RESULT_TABLES,
    RESULTS_HINT,
    RESULTS_SCHEMA,
    LastLoad,
    check_type,
    last_load,
    note_failure,
)
from dlt_dbtcloud.loads.schemas import (
    Identifier,
    LoadedColumn,
    LoadedSchema,
    LoadedTable,
    loaded_schemas,
)
from dlt_dbtcloud.loads.tables import (
    loaded_relations,
    loaded_tables,
    tables_by_load,
    tables_of_load,
)

__all__ = [
    "RESULTS_HINT",
    "RESULTS_SCHEMA",
    "RESULT_TABLES",
    "Identifier",
    "LastLoad",
    "LoadedColumn",
    "LoadedSchema",
    "LoadedTable",
    "check_type",
    "last_load",
    "loaded_relations",
    "loaded_schemas",
    "loaded_tables",
    "note_failure",
    "tables_by_load",
    "tables_of_load",
]
