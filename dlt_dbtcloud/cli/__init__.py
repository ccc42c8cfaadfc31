"""The command line: `dlt dbt-cloud …` and `python -m dlt_dbtcloud …`."""
