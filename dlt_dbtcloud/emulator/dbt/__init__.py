"""Real dbt Core in the embedded dbt Cloud."""
