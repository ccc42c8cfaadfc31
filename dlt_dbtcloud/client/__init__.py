"""The client of the dbt Cloud Administrative API v2."""

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.credentials import BASE_URL

__all__ = ["BASE_URL", "DBTCloudClientV2"]
