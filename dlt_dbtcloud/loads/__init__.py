"""The loads of a dlt pipeline: their packages and tables."""

from dlt_dbtcloud.loads.tables import loaded_tables

__all__ = ["loaded_tables"]
