"""dbt profiles with a run's overrides."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

from dlt_dbtcloud.emulator.models import JSON, Plan

FILE = "profiles.yml"
ENV_VAR = re.compile(
    r"""\{\{\s*env_var\(\s*(['"])(?P<name>\w+)\1\s*"""
    r"""(?:,\s*(['"])(?P<default>.*?)\3\s*)?\)\s*(?:\|\s*\w+\s*)*\}\}"""
)


class ProfileError(ValueError):
    """A profile cannot be read, or the overrides do not apply to it."""


def write_profile(source: Path, folder: Path, plan: Plan, environ: Mapping[str, str]) -> Path:
    """Write a profile with a run's overrides, if there are any.

    Args:
        source: The folder of the project's `profiles.yml`.
        folder: The folder of the new file.
        plan: The plan with the overrides.
        environ: dbt's environment, for a target that uses `env_var`.

    Returns:
        The folder of the profile to use.

    Raises:
        ProfileError: `profiles.yml` is invalid, or its default target is unknown.
    """
    file = source / FILE
    overridden = plan.schema or plan.target_name or plan.threads
    if not overridden or not file.is_file():
        # without overrides, dbt reads the project's profile and reports its errors
        return source
    derived = derive(_load(file), plan, environ)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(_yaml().safe_dump(derived, sort_keys=False), encoding="utf-8")
    return folder


def derive(profiles: JSON, plan: Plan, environ: Mapping[str, str]) -> JSON:
    """Apply a run's overrides to all profiles of a file; dbt uses one of them."""
    derived = deepcopy(profiles)
    for profile in _profiles(derived):
        outputs: JSON = profile["outputs"]
        if plan.target_name:
            if plan.target_name not in outputs:
                outputs[plan.target_name] = deepcopy(_default_output(profile, environ))
            profile["target"] = plan.target_name
        for output in outputs.values():
            if plan.schema:
                output["schema"] = plan.schema
            if plan.threads:
                output["threads"] = plan.threads
    return derived


def database_files(source: Path, project: Path, environ: Mapping[str, str]) -> set[Path]:
    """Return the DuckDB files of a profile, which only one process can open."""
    try:
        profiles = _load(source / FILE)
    except (OSError, ProfileError):
        return set()
    paths = (
        render(output["path"], environ)
        for profile in _profiles(profiles)
        for output in profile["outputs"].values()
        if isinstance(output.get("path"), str)
    )
    # relative paths start at dbt's working directory, the project's folder
    return {(project / path).resolve() for path in paths if not _is_remote(path)}


def render(text: str, environ: Mapping[str, str]) -> str:
    """Replace only `{{ env_var('NAME', 'default') }}` by its value."""

    def value(match: re.Match[str]) -> str:
        return environ.get(match["name"], match["default"] or "")

    return ENV_VAR.sub(value, text)


def _yaml() -> ModuleType:
    # PyYAML is a dependency of dlt without types; only real runs need it
    return importlib.import_module("yaml")


def _is_remote(path: str) -> bool:
    return path.startswith((":memory:", "md:", "motherduck:", "ducklake:")) or "://" in path


def _load(file: Path) -> JSON:
    yaml = _yaml()
    try:
        loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ProfileError(f"`{file}` cannot be read: {error}") from error
    if not isinstance(loaded, dict):
        raise ProfileError(f"`{file}` does not contain profiles.")
    return loaded


def _profiles(profiles: JSON) -> Iterator[dict[str, Any]]:
    for profile in profiles.values():
        outputs = profile.get("outputs") if isinstance(profile, dict) else None
        if isinstance(outputs, dict) and all(isinstance(out, dict) for out in outputs.values()):
            yield profile


def _default_output(profile: JSON, environ: Mapping[str, str]) -> JSON:
    outputs: Mapping[str, JSON] = profile["outputs"]
    target = render(str(profile.get("target", "default")), environ)
    if target in outputs:
        return outputs[target]
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    known = ", ".join(f"`{name}`" for name in outputs)
    raise ProfileError(f"The profile's target `{target}` is not one of its outputs: {known}.")
