"""Precedence: arguments, credentials, environment, secrets.toml, config.toml, defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dlt
import pytest
from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.exceptions import (
    ConfigFieldMissingException,
    ConfigurationValueError,
    ConfigValueCannotBeCoercedException,
)
from dlt.common.configuration.providers.toml import TomlProviderReadException
from dlt.helpers.dbt_cloud.configuration import DBTCloudConfiguration as TheirConfiguration

from dlt_dbtcloud import DBTCloudConfiguration, InvalidCredentialsException
from dlt_dbtcloud.configuration import resolved_config, with_dbt_cloud_config
from tests.fixtures import WriteConfig

TOKEN = "dbtc_s3cr3t"


@with_dbt_cloud_config
def configured(
    credentials: DBTCloudConfiguration | Mapping[str, Any] = dlt.secrets.value,
    job_id: int | str | None = None,
    data: Mapping[str, Any] | None = None,
    wait_seconds: float = 10,
    *,
    timeout: float = 86400,
) -> DBTCloudConfiguration:
    """Return the config that a helper would receive."""
    config = resolved_config(credentials)
    assert job_id == config.job_id
    assert wait_seconds == config.wait_seconds
    return config


def loosely(*args: Any, **kwargs: Any) -> DBTCloudConfiguration:
    """Call `configured` with arguments that a type checker rejects."""
    return configured(*args, **kwargs)


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_CLOUD__API_TOKEN", TOKEN)


def test_each_source_wins_over_the_next(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert configured().cause == "Triggered via API"
    write_config("config.toml", '[dbt_cloud]\ncause = "config"')
    assert configured().cause == "config"
    write_config("secrets.toml", '[dbt_cloud]\ncause = "secrets"')
    assert configured().cause == "secrets"
    monkeypatch.setenv("DBT_CLOUD__CAUSE", "environment")
    assert configured().cause == "environment"
    assert configured(DBTCloudConfiguration(cause="instance")).cause == "instance"
    assert configured({"cause": "dict"}).cause == "dict"


def test_an_argument_wins_over_credentials_and_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DBT_CLOUD__JOB_ID", "1")
    monkeypatch.setenv("DBT_CLOUD__WAIT_SECONDS", "1")
    assert configured(job_id=3).job_id == "3"
    assert configured(DBTCloudConfiguration(job_id="2"), 3).job_id == "3"
    assert configured({"job_id": 2, "wait_seconds": 2}, wait_seconds=10).wait_seconds == 10
    assert configured({"job_id": 2}, None).job_id == "2"


def test_a_value_that_equals_its_default_wins_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DBT_CLOUD__WAIT_SECONDS", "1")
    monkeypatch.setenv("DBT_CLOUD__CAUSE", "environment")
    assert configured(DBTCloudConfiguration(wait_seconds=10.0)).wait_seconds == 10
    assert configured(DBTCloudConfiguration(cause="Triggered via API")).cause != "environment"
    assert configured(DBTCloudConfiguration("dbtc_other")).wait_seconds == 1


def test_an_instance_is_not_changed_and_can_be_reused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_CLOUD__ACCOUNT_ID", "70403")
    credentials = DBTCloudConfiguration(job_id=" 7 ")
    before = dict(credentials)
    assert configured(credentials).account_id == "70403"
    assert configured(credentials, 8).job_id == "8"
    assert configured(credentials).job_id == "7"
    assert dict(credentials) == before
    assert not credentials.is_resolved()


def test_a_dict_is_not_changed() -> None:
    credentials = {"job_id": 7}
    configured(credentials, 8)
    assert credentials == {"job_id": 7}


def test_a_resolved_instance_keeps_its_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolved = resolve_configuration(DBTCloudConfiguration(account_id="1"))
    monkeypatch.setenv("DBT_CLOUD__CAUSE", "environment")
    monkeypatch.setenv("DBT_CLOUD__JOB_ID", "9")
    assert configured(resolved).cause == "Triggered via API"
    assert configured(resolved).job_id == "9"
    assert configured(resolved, job_id=5).job_id == "5"
    assert resolved.job_id is None


def test_dlts_own_configuration_is_accepted_as_credentials() -> None:
    theirs = TheirConfiguration(account_id="1", job_id="2")
    assert configured(theirs).job_id == "2"
    assert configured(theirs).api_token == TOKEN


def test_variables_without_the_prefix_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DBTCloudConfiguration.get_resolvable_fields():
        monkeypatch.setenv(name.upper(), "991")
    config = configured()
    assert config.api_token == TOKEN
    assert (config.job_id, config.git_branch, config.run_id) == (None, None, None)
    assert config.timeout == 86400


def test_values_are_converted_to_the_types_of_the_fields(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config("config.toml", "[dbt_cloud]\naccount_id = 70403\nthreads_override = 4")
    monkeypatch.setenv("DBT_CLOUD__STEPS_OVERRIDE", '["dbt run", "dbt test"]')
    monkeypatch.setenv("DBT_CLOUD__GENERATE_DOCS_OVERRIDE", "yes")
    config = loosely({"timeout": "2.5", "timeout_seconds_override": "60"}, wait_seconds="3")
    assert config.account_id == "70403"
    assert config.threads_override == 4
    assert config.steps_override == ["dbt run", "dbt test"]
    assert config.generate_docs_override is True
    assert (config.timeout, config.timeout_seconds_override) == (2.5, 60)
    assert config.wait_seconds == 3


def test_empty_values_count_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOB_ID", "GIT_SHA", "BASE_API_URL", "CAUSE"):
        monkeypatch.setenv(f"DBT_CLOUD__{name}", "")
    config = configured()
    assert (config.job_id, config.git_sha) == (None, None)
    assert config.base_api_url == "https://cloud.getdbt.com/api"
    assert config.cause == "Triggered via API"


def test_a_missing_token_raises_dlts_own_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DBT_CLOUD__API_TOKEN")
    with pytest.raises(ConfigFieldMissingException, match="DBT_CLOUD__API_TOKEN"):
        configured()


def test_a_token_from_a_file_loses_its_newline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_CLOUD__API_TOKEN", f"{TOKEN}\n")
    assert configured().api_token == TOKEN


def test_an_error_names_the_bad_credentials() -> None:
    cases: list[tuple[object, str]] = [
        ({"api_token": "set me up!"}, "Still a placeholder: `api_token`"),
        ({"git_branch": "<configure me>"}, "Still a placeholder: `git_branch`"),
        ({"job_id": "../../1"}, r"`job_id='\.\./\.\./1'` is not a dbt Cloud id"),
        ({"account_id": True}, "`account_id='True'` is not a dbt Cloud id"),
        ({"base_api_url": "http://example.com"}, "unencrypted"),
        ({"job": 1}, "unknown keys: job"),
        ("dbtc_token", "`credentials` is a `str`"),
    ]
    for credentials, problem in cases:
        with pytest.raises(InvalidCredentialsException, match=problem):
            loosely(credentials)


@pytest.mark.parametrize("name", ["wait_seconds", "timeout"])
@pytest.mark.parametrize("value", [-1, "nan", "inf"])
def test_an_interval_must_be_a_positive_number(name: str, value: object) -> None:
    with pytest.raises(ConfigurationValueError, match=f"`{name}=.*above 0"):
        configured({name: value})


def test_the_pause_may_be_zero_and_the_timeout_may_not() -> None:
    assert configured({"wait_seconds": 0}).wait_seconds == 0
    with pytest.raises(ConfigurationValueError, match=r"`timeout=0\.0` must be .* above 0"):
        configured({"timeout": 0})


# as dlt's documentation ships it
DLTS_SECRETS = """
[dbt_cloud]
api_token = "dbtc_s3cr3t"
account_id = "70403"
job_id = "set me up!"
run_id = "set me up!"
"""


def test_placeholders_count_as_absent_where_they_are_not_used(write_config: WriteConfig) -> None:
    write_config("secrets.toml", DLTS_SECRETS)
    config = configured()
    assert (config.job_id, config.run_id) == (None, None)
    config = configured(job_id=5)
    assert resolved_config(config, "account_id", "job_id").job_id == "5"
    resolved = resolve_configuration(DBTCloudConfiguration())
    assert (resolved.job_id, resolved.cause) == (None, "Triggered via API")


def test_placeholders_are_refused_where_they_are_used(write_config: WriteConfig) -> None:
    write_config("secrets.toml", DLTS_SECRETS)
    with pytest.raises(InvalidCredentialsException, match=r"Still a placeholder: `run_id`\. Set"):
        resolved_config(configured(job_id=5), "account_id", "run_id")
    write_config("secrets.toml", DLTS_SECRETS.replace("70403", "<your account>"))
    with pytest.raises(InvalidCredentialsException, match="Still a placeholder: `account_id`"):
        configured()


def test_placeholders_of_a_trigger_count_only_if_it_is_made_of_them() -> None:
    unfinished = {"git_branch": "<branch>", "target_name_override": "set me up!"}
    with pytest.raises(InvalidCredentialsException, match="`git_branch` and `target_name_over"):
        configured(unfinished)
    assert configured(unfinished, data={"git_sha": "a", "target_name_override": "ci"})
    assert configured({"git_branch": "<branch>", "git_sha": "a"}).git_branch is None


def test_a_misspelt_option_names_what_was_meant() -> None:
    cases: list[tuple[Any, Any, str]] = [
        (lambda: loosely(wait_secs=1), TypeError, "Did you mean `wait_seconds`"),
        (lambda: loosely(job=1), TypeError, "`configured`: .*'job'. Did you mean `job_id`"),
        (lambda: loosely(anything=1), TypeError, "`configured`: .*'anything'.$"),
        (lambda: loosely(1, 2, 3, 4, 5), TypeError, "`configured`: too many positional"),
        (lambda: config_of(jobid=1), TypeError, "Did you mean `job_id`"),
        (lambda: config_of(token="x"), TypeError, "Did you mean `api_token`"),
        (lambda: config_of(nothing=1), TypeError, "'nothing'.$"),
        (
            lambda: loosely({"acount_id": 1}),
            InvalidCredentialsException,
            "acount_id. Did you mean `account_id`",
        ),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()


def config_of(**fields: Any) -> DBTCloudConfiguration:
    return DBTCloudConfiguration(**fields)


def test_misspelt_keys_of_the_section_are_named_once(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DBT_CLOUD__CAUES", "x")
    monkeypatch.setenv("DBT_CLOUD__PROD__API_TOKEN", "x")
    monkeypatch.setenv("DBT_CLOUD__UNRELATED", "x")
    write_config("config.toml", "[dbt_cloud]\nrun_idd = 1\nquite_else = 1\ncauses.x = 1")
    for _ in range(2):
        configured()
    warned = [record.getMessage() for record in caplog.records]
    assert warned == [
        "`DBT_CLOUD__CAUES` in the environment is not a known key. Did you mean `cause`?",
        "`run_idd` under `[dbt_cloud]` in `config.toml` is not a known key. Did you mean `run_id`?",
    ]


@pytest.mark.parametrize(
    "section", ["dbtcloud", "dbt-cloud", "DBT_CLOUD", "dbt.cloud", "dbt", "sources.dbt_cloud"]
)
def test_a_token_in_another_section_is_named(
    write_config: WriteConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    section: str,
) -> None:
    monkeypatch.delenv("DBT_CLOUD__API_TOKEN")
    write_config("secrets.toml", f'[{section}]\napi_token = "{TOKEN}"\n[dbt_package]\njob_id = 1')
    with pytest.raises(ConfigFieldMissingException):
        configured()
    warned = [record.getMessage() for record in caplog.records]
    assert warned == [f"`[{section}]` in `secrets.toml` is not read: name it `[dbt_cloud]`."]


def test_variables_with_one_underscore_are_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("DBT_CLOUD__API_TOKEN")
    monkeypatch.setenv("DBT_CLOUD_API_TOKEN", TOKEN)
    monkeypatch.setenv("DBTCLOUD_JOB_ID", "7")
    monkeypatch.setenv("JOB_ID", "7")
    with pytest.raises(ConfigFieldMissingException):
        configured()
    assert [record.getMessage() for record in caplog.records] == [
        "`DBTCLOUD_JOB_ID` in the environment is not read: name it `DBT_CLOUD__JOB_ID`.",
        "`DBT_CLOUD_API_TOKEN` in the environment is not read: name it `DBT_CLOUD__API_TOKEN`.",
    ]
    monkeypatch.setenv("DBT_CLOUD__API_TOKEN", TOKEN)
    # an id that is missing is named, others are not
    hint = "`DBTCLOUD_JOB_ID` in the environment is not read: name it `DBT_CLOUD__JOB_ID`."
    with pytest.raises(InvalidCredentialsException) as caught:
        resolved_config(configured(), "job_id")
    assert str(caught.value).endswith(f"in the environment. {hint}")
    with pytest.raises(InvalidCredentialsException) as caught:
        resolved_config(configured(), "account_id")
    assert str(caught.value).endswith("in the environment.")


def test_retries_must_not_be_negative() -> None:
    with pytest.raises(ConfigurationValueError, match="`retries=-1` must be 0 or more"):
        configured({"retries": -1})


def test_an_interval_must_be_a_number() -> None:
    with pytest.raises(ConfigValueCannotBeCoercedException, match="wait_seconds"):
        loosely(wait_seconds="soon")


def test_a_malformed_file_is_named(write_config: WriteConfig) -> None:
    with pytest.raises(TomlProviderReadException, match=r"secrets\.toml"):
        write_config("secrets.toml", '[dbt_cloud\napi_token = "hunter2"')


def test_an_error_names_missing_fields_and_how_to_set_them() -> None:
    config = configured(job_id=5)
    assert resolved_config(config, "job_id").job_id == "5"
    with pytest.raises(InvalidCredentialsException) as caught:
        resolved_config(config, "account_id", "job_id", "run_id")
    assert "`account_id` and `run_id` are missing" in str(caught.value)
    assert "DBT_CLOUD__ACCOUNT_ID" in str(caught.value)
    assert "Pass `run_id=…` and `credentials` to the call, or set" in str(caught.value)
    with pytest.raises(InvalidCredentialsException) as caught:
        resolved_config(configured(), "job_id")
    assert str(caught.value) == (
        "`job_id` is missing. Pass `job_id=…` to the call, or set `job_id` under `[dbt_cloud]` in "
        "`.dlt/secrets.toml`, or `DBT_CLOUD__JOB_ID` in the environment."
    )


def test_the_token_is_in_no_representation() -> None:
    config = configured()
    assert TOKEN not in repr(config)
    assert TOKEN not in str(config)


def test_the_decorator_keeps_name_docstring_and_signature() -> None:
    assert configured.__name__ == "configured"
    assert configured.__doc__ is not None
    with pytest.raises(TypeError, match="'job'"):
        loosely(job=5)
