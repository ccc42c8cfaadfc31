"""The package shows its public names and nothing else."""

from __future__ import annotations

import inspect
import pkgutil
import rlcompleter
from importlib import import_module
from importlib.metadata import version
from typing import Any

import pytest

import dlt_dbtcloud
from tests.support.processes.children import run_python

HELPERS = [name for name in dlt_dbtcloud.__all__ if name.islower() and not name.startswith("_")]


def test_dir_shows_the_public_names_after_every_import() -> None:
    for module in pkgutil.walk_packages(dlt_dbtcloud.__path__, "dlt_dbtcloud."):
        import_module(module.name)
    assert dir(dlt_dbtcloud) == sorted(dlt_dbtcloud.__all__)


def test_completion_finds_every_public_name() -> None:
    complete = rlcompleter.Completer({"package": dlt_dbtcloud}).complete
    found = {complete("package.", i) for i in range(len(dlt_dbtcloud.__all__))}
    names = {str(match).removeprefix("package.").rstrip("()") for match in found}
    assert names - {"None"} == {*dlt_dbtcloud.__all__} - {"__version__"}


def test_a_star_import_brings_the_public_names() -> None:
    namespace: dict[str, Any] = {}
    exec("from dlt_dbtcloud import *", namespace)
    assert namespace.keys() - {"__builtins__"} == {*dlt_dbtcloud.__all__}


def test_the_version_is_that_of_the_distribution() -> None:
    assert dlt_dbtcloud.__version__ == version("dlt-dbtcloud")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="`dlt_dbtcloud` has no attribute `run_dbt_job`"):
        dlt_dbtcloud.run_dbt_job  # noqa: B018, its access is the test


@pytest.mark.parametrize("name", HELPERS)
def test_a_helper_shows_its_docstring_and_its_signature(name: str) -> None:
    helper = getattr(dlt_dbtcloud, name)
    assert (helper.__name__, helper.__module__.partition(".")[0]) == (name, "dlt_dbtcloud")
    assert inspect.getdoc(helper)
    assert not {"args", "kwargs"} & inspect.signature(helper).parameters.keys()


def test_importing_the_package_imports_no_other() -> None:
    code = "import sys, dlt_dbtcloud; print(*sys.modules, sep='\\n')"
    modules = run_python(code).split()
    assert "dlt_dbtcloud" in modules
    assert "dlt" not in modules
