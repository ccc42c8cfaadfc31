"""Plan of a run, and forecast of its seconds."""

from dlt_dbtcloud.runs.plan.plan import empty_plan, plan_run

__all__ = ["empty_plan", "plan_run"]
