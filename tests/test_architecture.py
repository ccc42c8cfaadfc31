"""Imports point down between packages, and importing the package loads nothing heavy."""

from __future__ import annotations

import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import dlt_dbtcloud
from tests.support.processes.forks import run_forked

ROOT = Path(dlt_dbtcloud.__file__).parent
FOOT = {"cause", "exceptions", "payloads", "redaction", "typing", "values"}
SYSTEMS = FOOT | {"client", "dbt", "loads"}
BELOW = {
    **dict.fromkeys(sorted(FOOT), FOOT),
    "client": FOOT,
    "dbt": FOOT,
    "loads": FOOT,
    "configuration": SYSTEMS,
    "artifacts": SYSTEMS,
    "declarations": SYSTEMS,
    "check": SYSTEMS | {"artifacts", "configuration", "runs"},
    "runs": SYSTEMS | {"artifacts", "configuration"},
    "source": SYSTEMS | {"artifacts", "configuration"},
    "lineage": SYSTEMS | {"artifacts", "configuration"},
    "report": SYSTEMS | {"artifacts"},
    "helpers": SYSTEMS | {"artifacts", "configuration", "report", "runs"},
    # the command line is above everything
    "cli": SYSTEMS
    | {
        "artifacts",
        "check",
        "configuration",
        "declarations",
        "emulator",
        "helpers",
        "report",
        "runs",
    },
    "plugin": {"cli"},
    "__main__": {"cli"},
    "emulator": {"report", "typing"},
    "pytest_plugin": {"emulator"},
}
# the modules of `report` that use plain data only
RENDERING = {
    *("report", "report.document", "report.executions", "report.page", "report.trend"),
}
# ruff refuses two statements on a line, and two modules in one
IMPORT = re.compile(r"^ *(?:from|import) dlt_dbtcloud\.([\w.]+)", re.MULTILINE)
RELATIVE = re.compile(r"^ *from \.", re.MULTILINE)


@cache
def imports(path: Path) -> list[str]:
    """Return the modules of this package that a file imports, without the package's name."""
    text = path.read_text()
    assert not RELATIVE.search(text), f"{path} imports relatively"
    return IMPORT.findall(text)


def module_name(path: Path) -> str:
    """Return the name of a file's module within the package; empty for the package itself."""
    return (
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").strip(".")
    )


def files(package: str) -> list[Path]:
    module = ROOT / f"{package}.py"
    return [module] if module.exists() else [*(ROOT / package).rglob("*.py")]


def test_every_package_has_its_floor() -> None:
    packages = {path.stem for path in ROOT.iterdir() if path.suffix in ("", ".py")}
    assert packages - {"__init__", "__pycache__"} == BELOW.keys()


@pytest.mark.parametrize("package", BELOW)
def test_imports_point_down(package: str) -> None:
    for path in files(package):
        for module in imports(path):
            used = module.partition(".")[0]
            assert used == package or used in BELOW[package], f"{path} imports {module}"


def is_rendering(module: str) -> bool:
    return module in RENDERING or module.startswith("report.rendering")


def test_rendering_imports_nothing_that_reads_a_run() -> None:
    modules = {path: module_name(path) for path in files("report")}
    rendering = [path for path, module in modules.items() if is_rendering(module)]
    assert len(rendering) > len(RENDERING)
    for path in rendering:
        assert all(is_rendering(each) or each == "redaction" for each in imports(path)), path


def test_the_emulator_only_renders_plain_data() -> None:
    for path in files("emulator"):
        used = [each for each in imports(path) if each.startswith("report")]
        assert all(map(is_rendering, used)), path


def test_no_modules_import_each_other() -> None:
    graph = {module_name(path): {*imports(path)} for path in ROOT.rglob("*.py")}
    TopologicalSorter(graph).prepare()


def test_importing_the_package_loads_neither_the_emulator_nor_its_libraries(forking: None) -> None:
    code = """
from tests.support.processes.fork_server import imported
print(*imported["dlt_dbtcloud.lineage"])
"""
    modules = run_forked(code).split()
    assert {"dlt_dbtcloud.helpers", "dlt_dbtcloud.lineage"} <= {*modules}
    assert not {"openlineage", "werkzeug", "dbt", "duckdb", "dlt_dbtcloud.emulator"} & set(modules)
