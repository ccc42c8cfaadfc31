"""Pages for people: the jobs and runs of the embedded dbt Cloud, without a token on loopback."""
