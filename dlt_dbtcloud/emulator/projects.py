"""The dbt project folders and scripts that jobs are created with, checked at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlt_dbtcloud.emulator.artifacts import encode
from dlt_dbtcloud.emulator.models import STATUS_OF, DbtProject, Outcome, Script
from dlt_dbtcloud.emulator.process import find_dbt


def dbt_project(
    folder: str | Path,
    profiles_dir: str | Path | None,
    environ: Mapping[str, str] | None,
    executable: str | None,
) -> DbtProject:
    """Check the folder of a dbt project.

    Raises:
        FileNotFoundError: It is not there, holds no dbt project, or there is no profile.
        DbtMissingError: There is no dbt to run.
    """
    path = Path(folder).resolve()
    if not (path / "dbt_project.yml").is_file():
        what = "holds no dbt_project.yml" if path.is_dir() else "is no folder"
        raise FileNotFoundError(
            f"`{path}` {what}. Give the folder of a dbt project as `project_dir`."
        )
    profiles = path if profiles_dir is None else Path(profiles_dir).resolve()
    if not (profiles / "profiles.yml").is_file():
        raise FileNotFoundError(
            f"`{profiles}` holds no profiles.yml. Put one there, or give its folder as "
            "`profiles_dir`."
        )
    find_dbt(executable)
    return DbtProject(path, profiles, dict(environ or {}), executable)


def script(
    outcome: Outcome | Sequence[Outcome] | None,
    duration: float | None,
    artifacts: Mapping[str, Any] | None,
) -> Script:
    """Check how scripted runs shall end.

    Raises:
        ValueError: An outcome is unknown, or the duration is negative.
    """
    outcomes: tuple[Outcome, ...] = ("success",)
    if outcome is not None:
        # a text is a sequence too, of its letters
        outcomes = (outcome,) if isinstance(outcome, str) else tuple(outcome)
    unknown = [name for name in outcomes if name not in STATUS_OF]
    if unknown or not outcomes:
        raise ValueError(f"`outcome` is one of {', '.join(STATUS_OF)}, not {outcome!r}.")
    if duration is not None and duration < 0:
        raise ValueError(f"`duration` is a number of seconds from 0, not {duration}.")
    files = None if artifacts is None else encode(artifacts)
    return Script(outcomes, duration, files)
