"""dbt runs of the embedded dbt Cloud."""
