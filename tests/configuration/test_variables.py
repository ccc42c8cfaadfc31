"""Variables are plain JSON, and their placeholders are spelt correctly."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.exceptions import ConfigurationValueError

from dlt_dbtcloud import DBTCloudConfiguration
from dlt_dbtcloud.configuration.variables import (
    check_variables,
    filled_variables,
    placeholders_in,
)
from tests.fixtures import WriteConfig

VALUES = {"load_id": "1764223200.5", "pipeline_name": "flights", "tables": ["a", "b"]}
CIRCULAR: list[Any] = []
CIRCULAR.append(CIRCULAR)


def test_placeholders_are_filled_at_any_depth() -> None:
    variables = {"id": "{load_id}", "of": {"all": ["{tables}", ("{pipeline_name}", 1)]}}
    assert placeholders_in(variables) == ["load_id", "pipeline_name", "tables"]
    assert filled_variables(variables, VALUES) == {
        "id": "1764223200.5",
        "of": {"all": [["a", "b"], ["flights", 1]]},
    }


def test_any_other_text_is_kept() -> None:
    for text in ["load {load_id}", "{{load_id}}", "{region}", "{}", "{load_id} "]:
        check_variables({"x": text})
        assert placeholders_in({"x": text, "{load_id}": 1}) == []
        assert filled_variables({"x": text}, VALUES) == {"x": text}


def test_a_value_that_is_not_json_is_refused_by_its_name() -> None:
    cases: list[Any] = [
        *({1}, b"x", date(2026, 1, 1), Decimal(1), float("nan"), float("inf")),
        *(object, "\ud800", CIRCULAR, [{"a": {1}}], {1: "a"}, [({None: 1},)]),
    ]
    for value in cases:
        with pytest.raises(
            ConfigurationValueError, match=r"`v` in `additional_vars` cannot .*JSON\."
        ):
            check_variables({"ok": 1, "v": value})


def test_a_name_that_is_not_a_text_is_refused() -> None:
    variables: Any = {1: "a"}
    with pytest.raises(ConfigurationValueError, match="a key is not a text"):
        check_variables(variables)


def test_a_misspelt_placeholder_is_refused_with_what_was_meant() -> None:
    cases = [
        ("{loadid}", "load_id"),
        ("{table}", "tables"),
        ("{LOAD_ID}", "load_id"),
    ]
    for written, meant in cases:
        with pytest.raises(ConfigurationValueError, match=rf"Did you mean `{meant}`\?"):
            check_variables({"x": [written]})


@pytest.mark.parametrize("is_file", [True, False])
def test_the_config_may_contain_them(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch, is_file: bool
) -> None:
    monkeypatch.setenv("DBT_CLOUD__API_TOKEN", "dbtc_s3cr3t")
    if is_file:
        text = '[dbt_cloud.additional_vars]\nload_id = "{load_id}"\nnested = { a = [1, 2] }'
        write_config("config.toml", text)
    else:
        text = '{"load_id": "{load_id}", "nested": {"a": [1, 2]}}'
        monkeypatch.setenv("DBT_CLOUD__ADDITIONAL_VARS", text)
    config = resolve_configuration(DBTCloudConfiguration())
    assert config.additional_vars == {"load_id": "{load_id}", "nested": {"a": [1, 2]}}
    assert filled_variables(config.additional_vars or {}, {}) == config.additional_vars


def test_the_config_is_checked(write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_CLOUD__API_TOKEN", "dbtc_s3cr3t")
    write_config("config.toml", "[dbt_cloud.additional_vars]\nday = 2026-01-01")
    with pytest.raises(ConfigurationValueError, match="`day` in `additional_vars`"):
        resolve_configuration(DBTCloudConfiguration())
