"""A stand-in for dbt that leaves given artifacts, one set per invocation."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlt_dbtcloud.emulator import DBTCloudEmulator

__all__ = ["Act", "executed_commands", "open_gate", "scripted_job"]


# in the shell, which starts ten times faster than Python; other programs would take as long again
_PROGRAM = """#!/bin/sh
here=${0%/*}
number=0
: >> "$here/commands"
while read -r _; do number=$((number + 1)); done < "$here/commands"
[ -f "$here/$number.sh" ] || number=LAST
# without the place of the results that `dbt retry` reads
words=
for word in "$@"; do
    [ "$word" = --state ] && break
    words="${words:+$words }$word"
done
printf '%s\\n' "$words" >> "$here/commands"
. "$here/$number.sh"
"""


@dataclass(frozen=True)
class Act:
    """The effects of an invocation of dbt.

    Args:
        statuses: The status of each node by unique id; None for no `run_results.json`. A status of
            another type than text is written as it is.
        exit_code: The exit code.
        manifest: The manifest, if any.
        message: The message of nodes that failed.
        execution_time: The time that each node took.
        gate: A file that the invocation waits for before it ends; see `open_gate`.
    """

    statuses: Mapping[str, Any] | None
    exit_code: int = 0
    manifest: Mapping[str, Any] | None = None
    message: str = "Database Error"
    execution_time: float = 0.1
    gate: Path | None = None

    @property
    def log(self) -> str:
        """The end of the log, which counts the nodes that warned."""
        if self.statuses is None:
            return "Encountered an error:"
        warned = [*self.statuses.values()].count("warn")
        total = len(self.statuses)
        return f"Done. PASS={total - warned} WARN={warned} ERROR=0 SKIP=0 TOTAL={total}"

    @property
    def results(self) -> list[dict[str, Any]] | None:
        """The results in `run_results.json`."""
        if self.statuses is None:
            return None
        return [
            {
                "unique_id": unique_id,
                "status": status,
                "message": self.message if status in ("error", "fail") else status,
                "execution_time": self.execution_time,
            }
            for unique_id, status in self.statuses.items()
        ]


def scripted_job(
    cloud: DBTCloudEmulator, folder: Path, steps: Sequence[str], acts: Sequence[Act]
) -> int:
    """Create a job whose commands perform acts, in all its runs together; the last one repeats."""
    place = folder / "scripted"
    place.mkdir(parents=True)
    for file in ("dbt_project.yml", "profiles.yml"):
        (place / file).write_text("{}\n")
    for number, act in enumerate(acts):
        _write_act(place / f"{number}.sh", act)
    program = place / "fake-dbt"
    program.write_text(_PROGRAM.replace("LAST", str(len(acts) - 1)))
    program.chmod(0o755)
    return cloud.create_job(
        "Nightly", project_dir=place, execute_steps=list(steps), dbt_executable=str(program)
    )


def executed_commands(folder: Path) -> list[str]:
    """Return the commands that were executed, without `dbt`."""
    return (folder / "scripted" / "commands").read_text().splitlines()


def open_gate(gate: Path) -> None:
    """Let all invocations with a gate end, those that start later included."""
    gate.touch()


def _write_act(file: Path, act: Act) -> None:
    artifacts = {
        "run_results.json": None if act.results is None else {"results": act.results},
        "manifest.json": act.manifest,
    }
    lines = [
        f'printf %s {shlex.quote(json.dumps(content))} > "$DBT_TARGET_PATH/{name}"'
        for name, content in artifacts.items()
        if content is not None
    ]
    if act.gate:
        # writing to a named pipe would block the test if no invocation reads it
        lines.append(f"until [ -e '{act.gate}' ]; do sleep 0.02; done")
    lines += [f"echo '{act.log}'", f"exit {act.exit_code}", ""]
    file.write_text("\n".join(lines))
