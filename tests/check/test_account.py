"""A refused token is explained by the host that refuses it."""

from __future__ import annotations

from dlt_dbtcloud import DBTCloudAuthError, DBTCloudRateLimitError
from dlt_dbtcloud.check.account import refusal
from dlt_dbtcloud.check.findings import Settings

URL = "https://ab123.us1.dbt.com/api/v2/accounts/"


def test_a_host_without_accounts_of_its_own_is_to_be_changed() -> None:
    cases = [
        ("cloud.getdbt.com", "base_api_url"),
        ("us1.dbt.com", "base_api_url"),
        ("emea.dbt.com", "api_token"),
        ("ab123.us1.dbt.com", "api_token"),
        ("dbt.example.com", "api_token"),
    ]
    for host, key in cases:
        finding = refusal(DBTCloudAuthError("GET", URL, 401, "Invalid token."), host, Settings())
        assert finding["check"] == "token"
        assert f"`{host}` refuses the token: Invalid token." in finding["message"]
        assert str(finding["fix"]).startswith(f"`{key} = ")


def test_a_rate_limit_shows_when_to_check_again() -> None:
    error = DBTCloudRateLimitError("GET", URL, 429, "Slow down.", retry_after=125.0)
    finding = refusal(error, "ab123.us1.dbt.com", Settings())
    assert finding["fix"] == "check again in 2 minutes"
