"""What a call would run, and about how long that takes."""

from dlt_dbtcloud.runs.plan.plan import empty_plan, plan_run

__all__ = ["empty_plan", "plan_run"]
