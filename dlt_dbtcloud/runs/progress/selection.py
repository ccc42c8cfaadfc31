"""Choice of a display: the caller's, the pipeline's, or lines."""

from __future__ import annotations

import os
import sys
from copy import copy

import dlt
from dlt.common.runtime.collector import (
    AliveCollector,
    DictCollector,
    EnlightenCollector,
    LogCollector,
    NullCollector,
    TqdmCollector,
)

from dlt_dbtcloud.configuration import Collector
from dlt_dbtcloud.runs.progress.displays import (
    CollectorDisplay,
    Display,
    LineDisplay,
    TerminalDisplay,
)

__all__ = ["new_display"]

# within `pipeline.run` a collector is in use and cannot be started again, but a copy of these can
_COLLECTORS = (
    AliveCollector,
    DictCollector,
    EnlightenCollector,
    LogCollector,
    TqdmCollector,
)


def new_display(
    progress: str | Collector | None, pipeline: dlt.Pipeline | None = None
) -> Display | None:
    """Return the display of a call; None if nothing is displayed.

    Args:
        progress: A collector, or the name of one of dlt's; None for that of the pipeline, if it
            has one, otherwise lines on standard error.
        pipeline: The pipeline.

    Raises:
        MissingDependencyException: The library of the collector is not installed; it is dlt's own
            error.
    """
    if sys.stderr is None:
        return None
    own = pipeline.collector if pipeline is not None else None
    if isinstance(progress, str):
        collector: Collector | None = _named(progress)
    elif progress is not None:
        collector = copy(progress) if isinstance(progress, _COLLECTORS) else progress
    elif own is not None and not isinstance(own, NullCollector):
        collector = copy(own)
    else:
        collector = None
    if isinstance(collector, NullCollector):
        return None
    if collector is not None:
        return CollectorDisplay(collector, sys.stderr)
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return TerminalDisplay(sys.stderr) if is_terminal else LineDisplay(sys.stderr)


def _named(name: str) -> Collector:
    """Return a new collector of dlt, whose log is on standard error."""
    if name == "log":
        return LogCollector(logger=sys.stderr, dump_system_stats=False)
    collector: Collector = getattr(dlt.progress, name)()
    return collector
