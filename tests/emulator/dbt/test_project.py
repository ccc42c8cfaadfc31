"""A dbt project and the dbt program are found, or the error names the next step."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.dbt.project import DbtMissingError, find_project
from tests.support.dbt.fake_dbt import RECORDING, write_fake
from tests.support.servers.emulator_api import Api


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the folder of a dbt project without profiles."""
    (tmp_path / "dbt_project.yml").touch()
    return tmp_path


def test_a_job_without_a_folder_has_no_project() -> None:
    assert find_project(None, None, None, None) is None


def test_profiles_are_in_the_folder_of_the_project_or_in_the_given_one(project: Path) -> None:
    dbt = write_fake(project, RECORDING)
    with pytest.raises(FileNotFoundError, match=r"profiles\.yml\. Add it, or pass its folder"):
        find_project(project, None, None, dbt)
    profiles = project / "profiles"
    profiles.mkdir()
    (profiles / "profiles.yml").touch()
    found = find_project(project, profiles, {"A": "b"}, dbt)
    assert found is not None
    assert (found.folder, found.profiles_dir) == (project.resolve(), profiles.resolve())
    assert found.environ == {"A": "b"}


def test_a_missing_dbt_program_is_named_with_the_next_step(project: Path) -> None:
    (project / "profiles.yml").touch()
    with pytest.raises(DbtMissingError, match=r"`no-dbt`: dbt Core was not found\. Install"):
        find_project(project, None, None, "no-dbt")


def test_a_relative_path_of_a_dbt_program_begins_where_python_runs(
    cloud: DBTCloudEmulator, project: Path, isolated: Path
) -> None:
    (project / "profiles.yml").write_text("{}")
    write_fake(isolated, RECORDING)
    job = cloud.create_job("x", project_dir=project, dbt_executable="./fake-dbt")
    api = Api(cloud)
    with api.session:
        assert api.ended(api.trigger(job)["id"])["is_success"]
