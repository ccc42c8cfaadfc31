"""dbt's own formats: commands, manifests and selections."""

from dlt_dbtcloud.dbt.commands import (
    CommandError,
    DbtCommand,
    fits,
    node_selector,
    subcommand_of,
)
from dlt_dbtcloud.dbt.manifest import Column, Manifest, Node
from dlt_dbtcloud.dbt.selection import (
    Match,
    covers,
    match_sources,
    narrowed_commands,
    sources_of,
)

__all__ = [
    "Column",
    "CommandError",
    "DbtCommand",
    "Manifest",
    "Match",
    "Node",
    "covers",
    "fits",
    "match_sources",
    "narrowed_commands",
    "node_selector",
    "sources_of",
    "subcommand_of",
]
