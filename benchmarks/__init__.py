"""Measurements side by side with `dlt.helpers.dbt_cloud`, in one run, as ratios."""
