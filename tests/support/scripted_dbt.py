"""A stand-in for dbt that leaves given artifacts, one set per invocation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.fake_dbt import write_fake

__all__ = ["Act", "executed_commands", "scripted_job"]


_BODY = """
here = pathlib.Path(__file__).parent
acts = json.loads((here / "acts.json").read_text())
log = here / "commands"
count = len(log.read_text().splitlines()) if log.exists() else 0
# without the place of the results that `dbt retry` reads
words = sys.argv[1:]
words = words[: words.index("--state")] if "--state" in words else words
with log.open("a") as file:
    print(" ".join(words), file=file)
act = acts[min(count, len(acts) - 1)]
names = {"results": "run_results.json", "manifest": "manifest.json"}
for name in names:
    content = act[name]
    if content is not None:
        content = {"results": content} if name == "results" else content
        (target / names[name]).write_text(json.dumps(content))
if act["results"] is None:
    print("Encountered an error:")
sys.exit(act["exit_code"])
"""


@dataclass(frozen=True)
class Act:
    """What an invocation of dbt leaves.

    Args:
        statuses: The status of each node by unique id; None for no `run_results.json`.
        exit_code: The exit code.
        manifest: The manifest, if any.
        message: The message of nodes that failed.
        execution_time: The time that each node took.
    """

    statuses: Mapping[str, str] | None
    exit_code: int = 0
    manifest: Mapping[str, Any] | None = None
    message: str = "Database Error"
    execution_time: float = 0.1

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
    performed = [{**asdict(act), "results": act.results} for act in acts]
    (place / "acts.json").write_text(json.dumps(performed))
    return cloud.create_job(
        "Nightly",
        project_dir=place,
        execute_steps=list(steps),
        dbt_executable=write_fake(place, _BODY),
    )


def executed_commands(folder: Path) -> list[str]:
    """Return the commands that were executed, without `dbt`."""
    return (folder / "scripted" / "commands").read_text().splitlines()
