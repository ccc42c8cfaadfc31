"""The Administrative API of the embedded dbt Cloud."""
