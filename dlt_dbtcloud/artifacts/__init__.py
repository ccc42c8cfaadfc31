"""The artifacts of dbt Cloud runs: downloads, reading and node results."""
