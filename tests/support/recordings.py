"""Recordings of dbt's output and artifacts, which a stand-in for dbt replays.

`python -m tests.support.recordings` records all of them again, with dbt Fusion.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.emulator_api import Api
from tests.support.fake_dbt import write_fake
from tests.support.fusion import PROGRAM, SCENARIOS, Scenario
from tests.support.orchard import write_orchard

__all__ = ["comparable", "load", "record", "replayed_job"]


Recording = list[dict[str, Any]]

FOLDER = Path(__file__).parents[1] / "recordings" / "fusion"
_ARTIFACTS = ("run_results.json", "manifest.json", "catalog.json", "sources.json")
# relative to the project's folder
_RUN_FOLDER = re.compile(r"[./]*dbt-cloud-\w+/\d+/\d+/")
_EXIT = re.compile(r"dbt exited with code (\d+)")
# what the package reads of a manifest
_SECTIONS = (
    *("metadata", "nodes", "sources", "exposures", "groups", "unit_tests", "selectors"),
    *("parent_map", "child_map"),
)
_FIELDS = frozenset(
    "alias attached_node column_name columns compiled_code config database depends_on description "
    "fqn group identifier meta name original_file_path owner package_name path relation_name "
    "resource_type schema source_name tags test_metadata unique_id version".split()
)
_CONFIG = frozenset("error_if group materialized meta severity tags warn_if".split())
_COLUMN = frozenset("data_type description name".split())
# replays the next command of a recording, and refuses any other
_REPLAYING = """
here = pathlib.Path(__file__).parent
recording = json.loads((here / "recording.json").read_text())
replayed = here / "replayed"
count = len(replayed.read_text()) if replayed.exists() else 0
expected = recording[count]["command"] if count < len(recording) else "nothing more"
command = " ".join(["dbt", *sys.argv[1:]])
if command != expected:
    sys.exit(f"{command} was not recorded here, but {expected}.")
replayed.write_text("x" * (count + 1))
for name, content in recording[count]["artifacts"].items():
    (target / name).write_text(json.dumps(content))
print(*recording[count]["log"], sep="\\n")
sys.exit(recording[count]["exit_code"])
"""
_BACKTRACE = re.compile(r"\s*\d+: |\s+at \S+:\d+")
_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z?|last updated .+ ago|\[ *[\d.]+(?:s|ms|us)\]"
)
# `env` contains the ids of the run
_UNSTABLE = frozenset(
    "elapsed_time env execution_time invocation_id max_loaded_at_time_ago_in_s thread_id".split()
)


def load(name: str) -> Recording:
    """Return a recording: the commands with their log, exit code and artifacts."""
    recording: Recording = json.loads((FOLDER / f"{name}.json").read_text())
    return recording


def replayed_job(cloud: DBTCloudEmulator, folder: Path, name: str) -> int:
    """Create a job that replays a recording once, and return its id."""
    recording = load(name)
    place = folder / "replayed" / name
    place.mkdir(parents=True)
    for file in ("dbt_project.yml", "profiles.yml"):
        (place / file).write_text("{}\n")
    (place / "recording.json").write_text(json.dumps(recording))
    return cloud.create_job(
        "Press",
        project_dir=place,
        execute_steps=[each["command"] for each in recording],
        dbt_executable=write_fake(place, _REPLAYING),
    )


def record(scenario: Scenario, folder: Path, program: str) -> Recording:
    """Run a scenario on the embedded dbt Cloud, and return what dbt left."""
    write_orchard(folder, scenario.files)
    with DBTCloudEmulator() as cloud:
        job = cloud.create_job(
            "Press", project_dir=folder, execute_steps=scenario.steps, dbt_executable=program
        )
        api = Api(cloud)
        with api.session:
            run = api.ended(api.trigger(job)["id"])
            # a step of the service itself has no command
            steps = [step for step in run["run_steps"] if step["index"] > 3]
            return [_recorded(api, run["id"], step, folder) for step in steps]


def comparable(recording: Recording) -> Recording:
    """Return a recording without what differs each time: times, ids, and the order of lines."""
    return [
        {
            **each,
            "log": sorted(_comparable_lines(each["log"])),
            "artifacts": {name: _stable(value) for name, value in each["artifacts"].items()},
        }
        for each in recording
    ]


def _recorded(api: Api, run_id: int, step: dict[str, Any], folder: Path) -> dict[str, Any]:
    *log, end = step["logs"].splitlines()
    exited = _EXIT.match(end)
    assert exited, end
    path = f"/runs/{run_id}/artifacts/"
    left = {*(api.data(path, step=step["index"]) or ())} & {*_ARTIFACTS}
    artifacts = {name: api.get(f"{path}{name}", step=step["index"]).json() for name in sorted(left)}
    recorded = {
        "command": step["name"].split("`")[1],
        "exit_code": int(exited[1]),
        "log": log,
        "artifacts": {name: _reduced(value) for name, value in artifacts.items()},
    }
    text = _RUN_FOLDER.sub("", json.dumps(recorded).replace(str(folder), "/orchard"))
    return {**json.loads(text)}


def _reduced(artifact: dict[str, Any]) -> dict[str, Any]:
    """Return an artifact without the sections and fields of a manifest that are not read."""
    if "parent_map" not in artifact:
        return artifact
    kept = {name: artifact[name] for name in _SECTIONS if name in artifact}
    for name in ("nodes", "sources", "exposures", "unit_tests"):
        kept[name] = {key: _entry(value) for key, value in (kept.get(name) or {}).items()}
    return kept


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in entry.items() if name in _FIELDS}
    for name, fields in (("config", _CONFIG), ("depends_on", frozenset({"nodes"}))):
        if isinstance(kept.get(name), dict):
            kept[name] = {key: value for key, value in kept[name].items() if key in fields}
    columns = kept.get("columns") or {}
    kept["columns"] = {
        name: {key: value for key, value in column.items() if key in _COLUMN}
        for name, column in columns.items()
    }
    return kept


def _comparable_lines(log: Sequence[str]) -> Iterator[str]:
    for line in log:
        if not _BACKTRACE.match(line):
            yield _TIME.sub("...", line)


def _stable(value: Any, name: str = "") -> Any:
    if name in _UNSTABLE:
        return "..."
    if isinstance(value, dict):
        return {key: _stable(part, key) for key, part in value.items()}
    if isinstance(value, list):
        parts = [_stable(part, name) for part in value]
        return sorted(parts, key=json.dumps)
    return _TIME.sub("...", value) if isinstance(value, str) else value


def main() -> None:
    """Record all scenarios."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, scenario in SCENARIOS.items():
        text = ""
        while not text or (scenario.ending and scenario.ending not in text):
            with TemporaryDirectory() as folder:
                recording = record(scenario, Path(folder).resolve(), str(PROGRAM))
            text = json.dumps(recording, indent=1, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(f"{text}\n")
        print(f"{name}: {len(text):,} characters", file=sys.stderr)


if __name__ == "__main__":
    main()
