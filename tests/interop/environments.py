"""An environment for each client, with the packages of one day."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".interop"
UV = Path(sys.executable).with_name("uv")
# the packages are those of this day, so that every run installs the same ones
DAY = "2026-11-20"
MINORS = range(10, 14)


def find_python(supported: str) -> Path | None:
    """Return a Python that a client supports: this one, or another one of the machine."""
    specifier = SpecifierSet(supported)
    for python in _pythons():
        if (version := _version(python)) and version in specifier:
            return python
    return None


def install(name: str, python: Path, packages: Sequence[str]) -> Path:
    """Install packages in an environment, unless they are there, and return its programs.

    Raises:
        subprocess.CalledProcessError: The packages cannot be installed.
    """
    folder = ENVIRONMENTS / name
    marker = folder / "installed.json"
    wanted = json.dumps({"python": _version(python), "day": DAY, "packages": list(packages)})
    if not marker.exists() or marker.read_text() != wanted:
        print(f"Installing {' '.join(packages)} ...", flush=True)
        _uv("venv", "--clear", "--python", str(python), str(folder))
        target = ("--python", str(folder / "bin" / "python"))
        _uv("pip", "install", "--exclude-newer", DAY, *target, *packages)
        marker.write_text(wanted)
    return folder / "bin"


def _uv(*arguments: str) -> None:
    command = [str(UV), *arguments, "--quiet"]
    subprocess.run(command, cwd=ROOT, check=True)


def _pythons() -> Iterator[Path]:
    yield Path(sys.executable)
    for minor in MINORS:
        if found := shutil.which(f"python3.{minor}"):
            yield Path(found)
    # the programs of pyenv on the PATH start only the selected versions
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from sorted(versions.glob("3.*/bin/python"))


def _version(python: Path) -> str | None:
    code = "import platform; print(platform.python_version())"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
