"""A trigger says what the config says, and over it what the caller does."""

from __future__ import annotations

from typing import Any

import pytest
from dlt.common.configuration import resolve_configuration

from dlt_dbtcloud import DBTCloudConfiguration
from dlt_dbtcloud.overrides import trigger_data


def config(**fields: Any) -> DBTCloudConfiguration:
    return resolve_configuration(
        DBTCloudConfiguration(), explicit_value={"api_token": "t", **fields}
    )


def test_a_cause_is_always_sent_and_nothing_that_is_not_set() -> None:
    assert trigger_data(config()) == {"cause": "Triggered via API"}


def test_every_override_of_the_config_is_sent() -> None:
    overrides = {
        "cause": "nightly",
        "git_sha": "abc",
        "schema_override": "s",
        "dbt_version_override": "1.11",
        "target_name_override": "ci",
        "threads_override": 4,
        "timeout_seconds_override": 60,
        "generate_docs_override": False,
        "steps_override": ["dbt run"],
    }
    assert trigger_data(config(**overrides)) == overrides


def test_data_wins_over_the_config() -> None:
    body = trigger_data(config(cause="nightly", threads_override=4), {"threads_override": 8})
    assert body == {"cause": "nightly", "threads_override": 8}


def test_git_sha_comes_before_git_branch() -> None:
    assert "git_branch" not in trigger_data(config(git_sha="abc", git_branch="main"))
    assert trigger_data(config(git_branch="main"))["git_branch"] == "main"


def test_either_of_them_in_data_replaces_both_of_the_configs() -> None:
    body = trigger_data(config(git_sha="abc", git_branch="main"), {"git_branch": "fix"})
    assert body == {"cause": "Triggered via API", "git_branch": "fix"}


def test_none_in_data_leaves_out_what_the_config_says() -> None:
    assert "schema_override" not in trigger_data(
        config(schema_override="s"), {"schema_override": None}
    )
    assert trigger_data(config(cause="nightly"), {"cause": None})["cause"] == "nightly"


def test_every_documented_field_is_sent_as_it_is() -> None:
    data = {
        "azure_pull_request_id": 1,
        "github_pull_request_id": 2,
        "gitlab_merge_request_id": 3,
        "non_native_pull_request_id": 4,
    }
    assert trigger_data(config(), data) == {"cause": "Triggered via API", **data}


def test_data_is_not_changed() -> None:
    data = {"threads_override": 8}
    trigger_data(config(), data)
    assert data == {"threads_override": 8}


def test_data_that_is_no_dict_is_refused() -> None:
    data: Any = ["dbt run"]
    with pytest.raises(TypeError, match="`data` is a `list`"):
        trigger_data(config(), data)
