"""Benchmarks beside `dlt.helpers.dbt_cloud`, orjson and dlt, and long tests."""
