"""Pinned versions in constraints.txt."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomlkit
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomlkit.parse((ROOT / "pyproject.toml").read_text()).unwrap()
PINS = [
    line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
]


def direct_dependencies() -> list[Requirement]:
    project = PROJECT["project"]
    lists = [
        PROJECT["build-system"]["requires"],
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *PROJECT["dependency-groups"].values(),
    ]
    found = [Requirement(each) for names in lists for each in names]
    return [each for each in found if each.name != project["name"]]


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_every_direct_dependency_is_pinned_as_pyproject_allows(python: str) -> None:
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    pinned = {}
    for pin in map(Requirement, PINS):
        if pin.marker is None or pin.marker.evaluate(environment):
            assert pin.name not in pinned
            pinned[pin.name] = str(pin.specifier).removeprefix("==")
    for dependency in direct_dependencies():
        assert dependency.specifier.contains(pinned[dependency.name]), dependency


def test_pins_are_versions_and_markers_only() -> None:
    for pin in PINS:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; [^@/]+)?", pin), pin
