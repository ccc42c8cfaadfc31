"""Findings on the host, the token and the account."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from dlt_dbtcloud.check.findings import Settings, failed, passed
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.configuration import DBTCloudConfiguration
from dlt_dbtcloud.exceptions import (
    DBTCloudAPIError,
    DBTCloudAuthError,
    DBTCloudException,
    DBTCloudNotFoundError,
    DBTCloudRateLimitError,
)
from dlt_dbtcloud.redaction import listed
from dlt_dbtcloud.typing import Finding
from dlt_dbtcloud.values import as_dicts, as_integer, as_mapping, as_text

__all__ = ["Accounts", "check_account", "check_host", "permission_fix", "refusal"]


# the names of the accounts that a token can see, by id
Accounts = Mapping[int, str]

# the default host, and regions without the prefix of an account
_SHARED_HOST = re.compile(r"cloud\.getdbt\.com|[a-z]{2}\d+\.dbt\.com")
# the service's words for an unknown token; it rejects accounts without the API in other words
_UNKNOWN_TOKEN = "invalid token"  # noqa: S105, not a token
_LISTED = 10


def check_host(
    client: DBTCloudClientV2, config: DBTCloudConfiguration, settings: Settings
) -> Generator[Finding, None, Accounts | None]:
    """Yield whether the host is dbt Cloud and knows the token; return the token's accounts.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/List%20Accounts
    """
    host, url = urlsplit(config.base_api_url).netloc, settings.line("base_api_url")
    try:
        payload = client.get_endpoint("accounts/")
    except DBTCloudAPIError as error:
        is_about_caller = isinstance(error, DBTCloudAuthError | DBTCloudRateLimitError)
        if is_about_caller and not error.may_have_arrived:
            yield passed("host", f"`{host}` answers as dbt Cloud.")
            yield refusal(error, host, settings)
        elif error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            message = f"`{host}` has an outage, or is not dbt Cloud. {error}"
            yield failed("host", message, f"check again later, or set {url}")
        else:
            yield failed("host", f"`{host}` answers, but not as dbt Cloud. {error}", url)
        return None
    except DBTCloudException as error:
        yield failed("host", f"`{host}` cannot be reached. {error}", url)
        return None
    items = as_mapping(payload).get("data")
    if not isinstance(items, list):
        message = f"`{host}` answers, but not as dbt Cloud."
        yield failed("host", message, url)
        return None
    yield passed("host", f"`{host}` answers as dbt Cloud.")
    yield passed("token", f"`{host}` accepts the token.")
    ids = ((as_integer(item.get("id")), as_text(item.get("name"))) for item in as_dicts(items))
    return {number: client.redact(name or "") for number, name in ids if number is not None}


def check_account(
    client: DBTCloudClientV2,
    config: DBTCloudConfiguration,
    settings: Settings,
    accounts: Accounts,
) -> Generator[Finding, None, bool]:
    """Yield whether the token may read the account, and return it.

    API: https://docs.getdbt.com/dbt-cloud/api-v2#/operations/Retrieve%20Account
    """
    texts = [_named(number, name) for number, name in accounts.items()]
    seen = f"The token can see {listed(texts, _LISTED)}." if texts else "The token sees no account."
    only = next(iter(accounts), None)
    if not config.account_id:
        message = f"`account_id` is missing. {seen}"
        yield failed("account", message, settings.line("account_id", only))
        return False
    name = accounts.get(int(config.account_id))
    if name is None:
        try:
            name = as_text(client.get_account().get("name")) or ""
        except DBTCloudNotFoundError:
            message = f"Account {config.account_id} does not exist, or the token may not read it."
            fix = settings.line("account_id", only) if accounts else permission_fix("the account")
            yield failed("account", f"{message} {seen}", fix)
            return False
        except DBTCloudException as error:
            yield failed("account", str(error), "check again later")
            return False
    yield passed("account", f"The token may read {_named(int(config.account_id), name)}.")
    return True


def permission_fix(place: str) -> str:
    """Return how to let a token read and run jobs."""
    return (
        f"give the token permissions for {place}, such as the permission set Job Runner, under "
        "Account settings, API tokens"
    )


def refusal(error: DBTCloudAPIError, host: str, settings: Settings) -> Finding:
    """Return the finding for a token that dbt Cloud does not accept.

    Args:
        error: 401, 403 or 429.
        host: The host that answered.
        settings: The places of the settings.
    """
    if isinstance(error, DBTCloudRateLimitError):
        minutes = max(1, round((error.retry_after or 300) / 60))
        message = f"`{host}` refuses all requests for now: {error.user_message}"
        return failed("token", message, f"check again in {minutes} minutes")
    quoted = f"`{host}` refuses the token: {error.user_message.rstrip('.')}."
    if error.status_code == HTTPStatus.FORBIDDEN:
        message = f"{quoted} The token is known, but not allowed from this machine."
        return failed("token", message, "allow its IP address under Account settings, IP access")
    if _UNKNOWN_TOKEN not in error.user_message.lower():
        return failed("token", quoted, "use a token of an account whose plan includes the API")
    if _SHARED_HOST.fullmatch(host):
        message = (
            f"{quoted} This host knows no tokens of accounts that have an Access URL of their "
            "own, such as `https://ab123.us1.dbt.com`. Otherwise, the token is wrong or expired."
        )
        return failed("token", message, settings.line("base_api_url"))
    message = (
        f"{quoted} It is wrong or expired, or `{host}` is not the Access URL of its account: each "
        "host accepts the tokens of its own accounts only."
    )
    return failed("token", message, settings.line("api_token"))


def _named(number: int, name: str) -> str:
    return f"account {number} (`{name}`)" if name else f"account {number}"
