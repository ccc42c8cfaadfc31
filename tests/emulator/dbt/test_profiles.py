"""dbt profiles with a run's overrides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dlt_dbtcloud.emulator.dbt.profiles import (
    ProfileError,
    database_files,
    derive,
    render,
    write_profile,
)
from dlt_dbtcloud.emulator.models import Plan


def _profiles(target: str = "dev") -> dict[str, Any]:
    dev = {"type": "duckdb", "path": "{{ env_var('DB') }}", "password": "{{ env_var('PW') }}"}
    prod = {"type": "duckdb", "path": "prod.duckdb", "schema": "main", "threads": 8}
    outputs = {"dev": dev, "prod": prod}
    return {"config": {"x": 1}, "shop": {"target": target, "outputs": outputs}}


def _plan(**overrides: Any) -> Plan:
    return Plan(steps=(), **overrides)


def test_schema_and_threads_are_set_in_every_output() -> None:
    outputs = derive(_profiles(), _plan(schema="pr_7", threads=3), {})["shop"]["outputs"]
    assert [(out["schema"], out["threads"]) for out in outputs.values()] == [("pr_7", 3)] * 2
    assert outputs["dev"]["password"] == "{{ env_var('PW') }}"


def test_an_unknown_target_is_a_copy_of_the_default_one() -> None:
    assert derive(_profiles(), _plan(target_name="prod"), {})["shop"]["target"] == "prod"
    shop = derive(_profiles(), _plan(target_name="ci"), {})["shop"]
    assert shop["target"] == "ci"
    assert shop["outputs"]["ci"] == shop["outputs"]["dev"]


def test_the_default_target_may_come_from_the_environment() -> None:
    profiles = _profiles("{{ env_var('WHERE', 'dev') }}")
    plan = _plan(target_name="ci")
    assert derive(profiles, plan, {})["shop"]["outputs"]["ci"]["path"].startswith("{{")
    ci = derive(profiles, plan, {"WHERE": "prod"})["shop"]["outputs"]["ci"]
    assert ci["path"] == "prod.duckdb"
    with pytest.raises(
        ProfileError, match=r"`\{\{ x \}\}` is not one of its outputs: `dev`, `prod`"
    ):
        derive(_profiles("{{ x }}"), plan, {})


def test_without_overrides_the_projects_own_profile_is_used(tmp_path: Path) -> None:
    (tmp_path / "profiles.yml").write_text("not: [closed")
    assert write_profile(tmp_path, tmp_path / "run", _plan(), {}) == tmp_path
    with pytest.raises(ProfileError, match=r"profiles\.yml` cannot be read"):
        write_profile(tmp_path, tmp_path / "run", _plan(schema="x"), {})


def test_a_file_without_profiles_is_refused(tmp_path: Path) -> None:
    (tmp_path / "profiles.yml").write_text("[1, 2]")
    with pytest.raises(ProfileError, match="does not contain profiles"):
        write_profile(tmp_path, tmp_path / "run", _plan(schema="x"), {})


def test_database_files_are_those_of_all_outputs(tiny: Path, tmp_path: Path) -> None:
    assert database_files(tiny, tiny, {}) == {tiny / "tiny.duckdb", tiny / "prod.duckdb"}
    assert database_files(tmp_path / "none", tiny, {}) == set()


def test_only_env_var_is_rendered() -> None:
    environ = {"A": "x"}
    assert (
        render("{{ env_var('A') }}/{{env_var(\"B\", 'y') | int}}/{{ z }}", environ) == "x/y/{{ z }}"
    )
