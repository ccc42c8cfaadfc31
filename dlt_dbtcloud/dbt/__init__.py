"""dbt's own formats: commands, manifests, selections and logs."""

from dlt_dbtcloud.dbt.artifacts import (
    Catalog,
    Entry,
    FreshnessResult,
    GenericTest,
    Result,
    Results,
    code_of,
    decode_catalog,
    decode_manifest,
    decode_run_results,
    decode_sources,
)
from dlt_dbtcloud.dbt.commands import (
    CommandError,
    DbtCommand,
    fits,
    node_selector,
    subcommand_of,
)
from dlt_dbtcloud.dbt.decoder import NotAnObjectError, Unread
from dlt_dbtcloud.dbt.logs import FusionLog, has_project_error
from dlt_dbtcloud.dbt.manifest import TESTS, Column, Manifest, Node, resource_type_in
from dlt_dbtcloud.dbt.matching import Match, match_sources, sources_by_relation
from dlt_dbtcloud.dbt.selection import (
    covers,
    executed_nodes,
    executes_all_tests,
    executes_tests,
    expected_nodes,
    fed_nodes,
    missing_nodes,
    narrowed_commands,
    reported_nodes,
    sources_of,
)

__all__ = [
    "TESTS",
    "Catalog",
    "Column",
    "CommandError",
    "DbtCommand",
    "Entry",
    "FreshnessResult",
    "FusionLog",
    "GenericTest",
    "Manifest",
    "Match",
    "Node",
    "NotAnObjectError",
    "Result",
    "Results",
    "Unread",
    "code_of",
    "covers",
    "decode_catalog",
    "decode_manifest",
    "decode_run_results",
    "decode_sources",
    "executed_nodes",
    "executes_all_tests",
    "executes_tests",
    "expected_nodes",
    "fed_nodes",
    "fits",
    "has_project_error",
    "match_sources",
    "missing_nodes",
    "narrowed_commands",
    "node_selector",
    "reported_nodes",
    "resource_type_in",
    "sources_by_relation",
    "sources_of",
    "subcommand_of",
]
