"""dbt projects on disk, and the dbt program."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from dlt_dbtcloud.emulator.models import DbtProject

MISSING_DBT = (
    "dbt Core was not found. Install the `local` extra of dlt-dbtcloud, "
    "`pip install '.[local]'` in a checkout, or pass the dbt program as `dbt_executable`."
)


class DbtMissingError(RuntimeError):
    """dbt is not installed."""


def find_project(
    project_dir: str | Path | None,
    profiles_dir: str | Path | None,
    environ: Mapping[str, str] | None,
    executable: str | None,
) -> DbtProject | None:
    """Return the dbt project in a folder, or None if no folder is given.

    Raises:
        FileNotFoundError: `dbt_project.yml` or `profiles.yml` does not exist.
        DbtMissingError: dbt is not installed.
    """
    if not project_dir:
        return None
    folder = Path(project_dir).resolve()
    if not (folder / "dbt_project.yml").is_file():
        problem = "does not contain dbt_project.yml" if folder.is_dir() else "is not a folder"
        raise FileNotFoundError(
            f"`{folder}` {problem}. Pass the folder of a dbt project as `project_dir`."
        )
    profiles = folder if profiles_dir is None else Path(profiles_dir).resolve()
    if not (profiles / "profiles.yml").is_file():
        raise FileNotFoundError(
            f"`{profiles}` does not contain profiles.yml. Add it, or pass its folder as "
            "`profiles_dir`."
        )
    find_dbt(executable)
    return DbtProject(folder, profiles, dict(environ or {}), executable)


def installed_version() -> str | None:
    """Return the version of dbt Core beside this Python, or None.

    `dbt --version` would ask PyPI for the latest one as well.
    """
    try:
        return importlib.metadata.version("dbt-core")
    except importlib.metadata.PackageNotFoundError:
        return None


def find_dbt(executable: str | None = None) -> str:
    """Find the dbt program by name or path, beside Python or on the `PATH`.

    Raises:
        DbtMissingError: dbt is not installed.
    """
    name = executable or "dbt"
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found:
        # dbt starts in the folder of the project
        return str(Path(found).absolute())
    raise DbtMissingError(f"`{executable}`: {MISSING_DBT}" if executable else MISSING_DBT)
