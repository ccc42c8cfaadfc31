"""Progress of watched runs: their states and usual durations, and their display."""

from dlt_dbtcloud.runs.progress.displays import Display
from dlt_dbtcloud.runs.progress.durations import Pace
from dlt_dbtcloud.runs.progress.progress import Progress
from dlt_dbtcloud.runs.progress.selection import new_display

__all__ = ["Display", "Pace", "Progress", "new_display"]
