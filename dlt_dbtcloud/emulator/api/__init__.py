"""The routes of the embedded dbt Cloud."""
