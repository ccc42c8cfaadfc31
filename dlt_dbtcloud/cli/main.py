"""Entry point: the parsed command is executed, and its outcome becomes an exit status."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType

from dlt_dbtcloud.cli.commands import COMMANDS
from dlt_dbtcloud.cli.parser import new_parser
from dlt_dbtcloud.cli.streams import drained, open_missing

__all__ = ["execute", "main"]

# as in `ExitStatus`, which imports dlt
_FAILURE = 1
_BAD_INPUT = 2
_INTERRUPTED = 130
_CLOSED_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Execute a command line and return its exit status.

    Args:
        argv: The words after the program; by default those of the process.
    """
    open_missing()
    try:
        arguments = new_parser().parse_args(argv)
    except SystemExit as end:
        # argparse has printed the help or an error
        return drained(end.code if isinstance(end.code, int) else _BAD_INPUT)
    except OSError:
        # the help was not printed
        return drained(_FAILURE)
    return execute(arguments)


def execute(arguments: argparse.Namespace) -> int:
    """Execute a parsed command and return its exit status.

    Args:
        arguments: The namespace of `dlt_dbtcloud.cli.parser`.
    """
    try:
        return drained(_execute(arguments))
    except KeyboardInterrupt:
        # also while the libraries are imported
        return drained(_INTERRUPTED)
    except BrokenPipeError:
        return drained(_CLOSED_PIPE)


def _execute(arguments: argparse.Namespace) -> int:
    # not needed for the help
    from dlt.common.exceptions import DltException

    from dlt_dbtcloud.cli.console import Console, shown_logs
    from dlt_dbtcloud.cli.inputs import token_cutter
    from dlt_dbtcloud.cli.statuses import ExitStatus, message_of, status_of_error

    command = COMMANDS[arguments.dbt_cloud_command]
    module, _, name = command.action.partition(":")
    console = Console(is_json=arguments.json, cut=token_cutter(arguments))
    try:
        with _terminable(ExitStatus.TERMINATED), shown_logs(console):
            action = getattr(import_module(f"dlt_dbtcloud.cli.actions.{module}"), name)
            status = int(action(arguments, console))
            console.flush()
    except BrokenPipeError:
        raise
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitStatus.FAILURE
    except (DltException, OSError, TypeError, ValueError) as error:
        console.error(message_of(error))
        return status_of_error(error)
    return status


@contextmanager
def _terminable(status: int) -> Iterator[None]:
    """Let a SIGTERM unwind the command, so that nothing is left running."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(status)

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
