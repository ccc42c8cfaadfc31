"""dbt Cloud as the last step of a dlt pipeline."""
