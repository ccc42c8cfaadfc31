"""Stand-ins for dbt that record their environment, fail or ignore signals."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import indent

# modules that a stand-in imports if it names them, as most of them take longer than Python's start
MODULES = ("json", "os", "pathlib", "signal", "subprocess", "sys", "threading", "time")
TARGET = 'import os, pathlib\ntarget = pathlib.Path(os.environ["DBT_TARGET_PATH"])\n'
RECORDING = """
print("Running with dbt=1.11.7")
seen = {"arguments": sys.argv[1:], "folder": os.getcwd(), "environ": dict(os.environ)}
with open(os.environ["DBT_TARGET_PATH"] + "/seen.json", "w") as file:
    json.dump(seen, file)
"""
# ignores SIGINT, with a child that keeps the output open
STUBBORN = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("started", os.getpid(), child.pid, flush=True)
time.sleep(600)
"""
# a module in place of `dbt.cli.main`; `is_forked` is whether it was imported for many commands
MODULE = """
import sys
{modules}
# the template imports it as well, and the installed one takes long
sys.modules["daff"] = sys
{imported}
def cli():
    is_forked = sys.orig_argv[1].endswith("template.py")
{body}
"""
FAILING = """
with open(os.environ["DBT_TARGET_PATH"] + "/run_results.json", "w") as file:
    json.dump({"arguments": sys.argv[1:]}, file)
sys.exit(0 if "retry" in sys.argv or "docs" in sys.argv else 1)
"""


def write_fake(folder: Path, body: str) -> str:
    """Write an executable with a body in Python and return its path."""
    program = folder / "fake-dbt"
    # without installed packages, which starts faster
    head = f"#!{sys.executable} -IS\n{_imports(body)}\n"
    program.write_text(head + (TARGET if "target" in body else "") + body)
    program.chmod(0o755)
    return str(program)


def write_module(folder: Path, body: str, imported: str = "") -> dict[str, str]:
    """Write a package `dbt` in Python, and return the variables that make Python import it.

    Args:
        folder: A new folder for the package.
        body: What its commands do.
        imported: What its import does.
    """
    module = folder / "dbt" / "cli" / "main.py"
    module.parent.mkdir(parents=True)
    for package in (module.parent, module.parents[1]):
        (package / "__init__.py").touch()
    modules = _imports(imported + body)
    module.write_text(MODULE.format(modules=modules, imported=imported, body=indent(body, "    ")))
    return {"PYTHONPATH": str(folder)}


def _imports(code: str) -> str:
    return "\n".join(f"import {module}" for module in MODULES if f"{module}." in code)
