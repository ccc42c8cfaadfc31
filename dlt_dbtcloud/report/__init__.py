"""A run as a self-contained HTML page: plain data in, HTML out.

The data of a page, its layout and its rendering read no API and no files, so that the embedded dbt
Cloud uses them as well. Only `runs`, `history` and `loads` read a run of dbt Cloud.
"""

from dlt_dbtcloud.report.executions import logged_executions, past_times
from dlt_dbtcloud.report.page import (
    Column,
    Execution,
    Freshness,
    Load,
    LoadedTable,
    Node,
    Overview,
    OverviewJob,
    OverviewRun,
    PastTime,
    RunHead,
    RunPage,
    Step,
    limits_text,
)
from dlt_dbtcloud.report.rendering.pages import render_overview, render_run
from dlt_dbtcloud.report.rendering.texts import redactor

__all__ = [
    "Column",
    "Execution",
    "Freshness",
    "Load",
    "LoadedTable",
    "Node",
    "Overview",
    "OverviewJob",
    "OverviewRun",
    "PastTime",
    "RunHead",
    "RunPage",
    "Step",
    "limits_text",
    "logged_executions",
    "past_times",
    "redactor",
    "render_overview",
    "render_run",
]
