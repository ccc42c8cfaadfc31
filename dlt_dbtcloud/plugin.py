"""Plugin of dlt's command line: `dlt dbt-cloud`.

dlt imports it at the first access to a pipeline or the config, so it imports nothing else.
"""

from __future__ import annotations

import argparse

from dlt.common.configuration import plugins

__all__ = ["DBTCloudCommand", "plug_cli_dbt_cloud"]


class DBTCloudCommand(plugins.SupportsCliCommand):
    """The command `dlt dbt-cloud`."""

    command = "dbt-cloud"
    help_string = "Run dbt Cloud jobs on what dlt has loaded, and look at their runs"
    description = "Runs dbt Cloud jobs on what dlt has loaded, and looks at their runs."
    docs_url = None

    def configure_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the commands to dlt's parser."""
        from dlt_dbtcloud.cli.parser import add_commands

        add_commands(parser)

    def execute(self, args: argparse.Namespace) -> None:
        """Run a command and exit with its status.

        Raises:
            SystemExit: The command has ended; dlt would print a traceback or a note otherwise.
        """
        from dlt_dbtcloud.cli.main import execute

        raise SystemExit(execute(args))


@plugins.hookimpl(specname="plug_cli")
def plug_cli_dbt_cloud() -> type[plugins.SupportsCliCommand]:
    """Return the command; older versions of dlt pass no `host`."""
    return DBTCloudCommand
