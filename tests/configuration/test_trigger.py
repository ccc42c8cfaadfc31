"""The body of a trigger, from the config and `data`."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from dlt.common.configuration import resolve_configuration

from dlt_dbtcloud import DBTCloudConfiguration
from dlt_dbtcloud.configuration import trigger_data
from dlt_dbtcloud.typing import TriggerData


def config(**fields: Any) -> DBTCloudConfiguration:
    return resolve_configuration(
        DBTCloudConfiguration(), explicit_value={"api_token": "t", **fields}
    )


def test_a_cause_is_always_sent_and_unset_fields_never() -> None:
    assert trigger_data(config()) == {"cause": "Triggered via API"}


def test_the_config_has_the_overrides_of_a_trigger() -> None:
    fields = DBTCloudConfiguration.get_resolvable_fields()
    overrides = {name for name in TriggerData.__annotations__ if name.endswith("_override")}
    assert {name for name in fields if name.endswith("_override")} == overrides


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


def test_git_sha_wins_over_git_branch() -> None:
    assert "git_branch" not in trigger_data(config(git_sha="abc", git_branch="main"))
    assert trigger_data(config(git_branch="main"))["git_branch"] == "main"


def test_git_fields_in_data_replace_both_of_the_config() -> None:
    body = trigger_data(config(git_sha="abc", git_branch="main"), {"git_branch": "fix"})
    assert body == {"cause": "Triggered via API", "git_branch": "fix"}


def test_none_in_data_drops_the_value_of_the_config() -> None:
    assert "schema_override" not in trigger_data(
        config(schema_override="s"), {"schema_override": None}
    )
    assert trigger_data(config(cause="nightly"), {"cause": None})["cause"] == "nightly"


def test_every_documented_field_is_sent_unchanged() -> None:
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


def test_a_misspelt_field_of_data_is_an_error() -> None:
    cases = [
        ("step_override", "steps_override"),
        ("stepsOverride", "steps_override"),
        ("steps", "steps_override"),
        ("threads", "threads_override"),
        ("branch", "git_branch"),
        ("github_pull_request", "github_pull_request_id"),
        ("Cause", "cause"),
    ]
    for name, meant in cases:
        data: dict[str, Any] = {name: 1}
        with pytest.raises(
            ValueError, match=f"`data` has no field `{name}`. Did you mean `{meant}`"
        ):
            trigger_data(config(), data)


def test_a_field_of_data_that_resembles_no_other_is_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert dict(trigger_data(config(), {"x_new": 1}))["x_new"] == 1
    assert "Unknown fields in `data` are sent unchanged: x_new." in caplog.text


def test_steps_must_be_a_list_of_commands() -> None:
    for steps in ["dbt run", [["dbt", "run"]], {"dbt run"}, [], [""], 5]:
        with pytest.raises(TypeError, match="`steps_override` is not a list of commands"):
            trigger_data(config(), {"steps_override": steps})


def test_values_that_no_request_can_have_are_rejected() -> None:
    for value in [date(2026, 1, 1), float("nan"), object(), {1, 2}, "\ud800"]:
        with pytest.raises(TypeError, match="`git_sha` in `data` cannot be sent as JSON: "):
            trigger_data(config(), {"git_sha": value})


def test_data_that_is_not_a_mapping_is_rejected() -> None:
    data: Any = ["dbt run"]
    with pytest.raises(TypeError, match="`data` is a `list`"):
        trigger_data(config(), data)
