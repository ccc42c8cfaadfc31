"""Recordings of the logs and artifacts of dbt, and their replay by a stand-in for dbt.

`make record` records dbt again. A file changes only if dbt behaves differently, other than in its
times and ids. A test that replays a recording fails on any command that was not recorded.
"""

from __future__ import annotations

import json
import lzma
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from difflib import unified_diff
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.servers.emulator_api import Api

__all__ = [
    *("CORE", "FUSION", "Recorder", "Recording", "Replay", "changes", "is_recorded_core"),
    *("REPLAYED_AND_REAL", "load", "reduced", "replayed_job", "save"),
]


Recording = list[dict[str, Any]]

FOLDER = Path(__file__).parents[2] / "recordings"
CORE, FUSION = "core-1.11", "fusion-2.0"
RECORD = "make record"
# runs a test twice, with the fixture `recorded` on real dbt at the second time
REPLAYED_AND_REAL = pytest.mark.parametrize(
    "recorded", ["replayed", pytest.param("real", marks=pytest.mark.dbt)], indirect=True
)

_ARTIFACTS = ("run_results.json", "manifest.json", "catalog.json", "sources.json")
# with its folder, which is relative to the project's in the logs of dbt Fusion
_RUN_FOLDER = re.compile(r"[^\s\"',:=]*dbt-cloud-\w+/\d+/\d+/")
_EXIT = re.compile(r"dbt exited with code (\d+)")
# the parts of a manifest that the package reads
_SECTIONS = (
    *("metadata", "nodes", "sources", "exposures", "groups", "unit_tests", "selectors"),
    *("parent_map", "child_map"),
)
_FIELDS = frozenset(
    "alias attached_node column_name columns compiled_code config database depends_on description "
    "fqn group identifier meta name original_file_path owner package_name path relation_name "
    "resource_type schema source_name tags test_metadata unique_id version".split()
)
_CONFIG = frozenset("enabled error_if group materialized meta severity tags warn_if".split())
_COLUMN = frozenset("data_type description name".split())
_METADATA = frozenset(
    "adapter_type dbt_schema_version dbt_version generated_at invocation_id project_name".split()
)
_ARGUMENTS = frozenset({"defer", "which"})
# replays the next command of a recording, and refuses any other; in the shell, which starts faster
# than Python
_REPLAYING = """#!/bin/sh
here=${0%/*}
replayed=
is_retry=
[ -f "$here/replayed" ] && read -r replayed < "$here/replayed"
place=$here/${#replayed}
recorded= command=
[ -d "$place" ] && . "$place/words.sh"
words=dbt
for word in "$@"; do
    [ "$word" = retry ] && is_retry=1
    [ "$word" = --state ] && [ "$is_retry" ] && break
    words="$words
$word"
done
if [ "$words" != "$recorded" ]; then
    printf '`%s` was not recorded here, but `%s`: if that is right, run `make record`.\\n' \\
        "$(echo $words)" "${command:-nothing more}" >&2
    exit 1
fi
printf x >> "$here/replayed"
cp -R "$place/artifacts/." "$DBT_TARGET_PATH"
. "$place/end.sh"
"""
_BACKTRACE = re.compile(r"\s*\d+: |\s+at \S+:\d+")
# times, the numbers of nodes in the order of their end with the dots after them, and versions
_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z?|last updated .+ ago|\[ *[\d.]+(?:s|ms|us)\]"
    r"|^\d\d:\d\d:\d\d(?:  \d+ of)?| \.{2,} |(?<= in )[\d.]+s\b|(?<= in )\d+ hours .+"
    r"|(?<=Running with )dbt=\S+|(?<=adapter: )\w+=\S+|\d+ macros"
)
# how many queries `--fail-fast` cancels depends on when they end
_CANCELLED = "  CANCEL query "
# dbt Core counts the kinds of nodes in the order in which it reads their files
_COUNTS = re.compile(r"(?<=  Found )|(?<=  Finished running )|, (?=\d|\.\.\.)| in \.\.\.$")
# `env` contains the ids of the run
_UNSTABLE = frozenset(
    "dbt_version elapsed_time env execution_time invocation_id max_loaded_at_time_ago_in_s "
    "thread_id".split()
)


def is_recorded_core() -> bool:
    """Return whether the installed dbt Core has the version that was recorded."""
    return f"core-{version('dbt-core')}".startswith(f"{CORE}.")


class Replay:
    """Jobs that replay the commands of a recording, in order, over all their runs.

    Args:
        cloud: The emulator that gets the jobs.
        folder: A folder of the test.
        name: The name of the recording.
        engine: The dbt that was recorded.
    """

    is_real = False

    def __init__(
        self, cloud: DBTCloudEmulator, folder: Path, name: str, engine: str = CORE
    ) -> None:
        self._cloud = cloud
        self._recording = load(name, engine)
        place = folder / "replayed" / name
        place.mkdir(parents=True)
        for file in ("dbt_project.yml", "profiles.yml"):
            (place / file).write_text("{}\n")
        for number, each in enumerate(self._recording):
            _write_command(place / str(number), each)
        self._place = place
        self._program = place / "fake-dbt"
        self._program.write_text(_REPLAYING)
        self._program.chmod(0o755)

    def create_job(self, name: str, **options: Any) -> int:
        """Create a job with the options of a real one, and return its id."""
        options = {
            "execute_steps": [each["command"] for each in self._recording],
            **{key: value for key, value in options.items() if key not in ("environ", "threads")},
            "project_dir": self._place,
            "dbt_executable": str(self._program),
        }
        return self._cloud.create_job(name, **options)

    def end(self) -> None:
        """Check that all was replayed."""
        replayed = self._place / "replayed"
        count = len(replayed.read_text()) if replayed.exists() else 0
        assert count == len(self._recording), f"Of all commands, only {count} were replayed."


class Recorder:
    """Jobs that run dbt, and whose runs are recorded or compared with their recording.

    Args:
        cloud: The emulator that gets the jobs.
        folder: The folder of the project and its database.
        name: The name of the recording.
        writes: Whether the recording is written, and not compared.
        engine: The dbt that runs.
    """

    is_real = True

    def __init__(
        self,
        cloud: DBTCloudEmulator,
        folder: Path,
        name: str,
        *,
        writes: bool,
        engine: str = CORE,
    ) -> None:
        self._cloud = cloud
        self._folder = folder
        self._name = name
        self._writes = writes
        self._engine = engine

    def create_job(self, name: str, **options: Any) -> int:
        """Create a job that executes nodes in the same order each time."""
        return self._cloud.create_job(name, **{"threads": 1, **options})

    def end(self) -> None:
        """Record the runs, or compare them with their recording."""
        recording = self.recording()
        if self._writes:
            save(recording, self._name, self._engine)
        else:
            found = changes(load(self._name, self._engine), recording)
            assert not found, f"dbt changed; if that is right, run `{RECORD}`:\n{found}"

    def recording(self) -> Recording:
        """Return all commands of all runs."""
        api = Api(self._cloud)
        with api.session:
            return [
                _recorded(api, run["id"], step, self._folder)
                for run in [api.ended(run["id"] or 0) for run in self._cloud.runs]
                for step in run["run_steps"]
                # a step of the service itself has no command
                if step["index"] > 3 and step["status"] in (10, 20)
            ]


def _write_command(folder: Path, recorded: Mapping[str, Any]) -> None:
    """Write what a command leaves and ends with."""
    (folder / "artifacts").mkdir(parents=True)
    for name, content in recorded["artifacts"].items():
        (folder / "artifacts" / name).write_text(json.dumps(content))
    command, log = recorded["command"], "".join(f"{line}\n" for line in recorded["log"])
    words = shlex.quote("\n".join(shlex.split(command)))
    (folder / "words.sh").write_text(f"recorded={words}\ncommand={shlex.quote(command)}\n")
    (folder / "end.sh").write_text(f"printf %s {shlex.quote(log)}\nexit {recorded['exit_code']}\n")


def replayed_job(cloud: DBTCloudEmulator, folder: Path, name: str) -> int:
    """Create a job that replays a recording of dbt Fusion once, and return its id."""
    return Replay(cloud, folder, name, FUSION).create_job("Press")


def load(name: str, engine: str = FUSION) -> Recording:
    """Return a recording: the commands with their log, exit code and artifacts."""
    path = _path(name, engine)
    assert path.exists(), f"There is no recording `{name}` of {engine}: run `{RECORD}`."
    recording: Recording = json.loads(lzma.decompress(path.read_bytes()))
    return recording


def save(recording: Recording, name: str, engine: str) -> None:
    """Write a recording unless one is there that differs only in times and ids."""
    path = _path(name, engine)
    if path.exists() and not changes(load(name, engine), recording):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # steps have almost the same manifest, which gzip would not notice
    path.write_bytes(lzma.compress(json.dumps(recording, separators=(",", ":")).encode()))


def _comparable(recording: Recording) -> Recording:
    """Return a recording without its times, ids and order of lines, which differ each time."""
    return [
        {
            **each,
            "log": sorted(_comparable_lines(each["log"])),
            "artifacts": {name: _stable(value) for name, value in each["artifacts"].items()},
        }
        for each in recording
    ]


def changes(before: Recording, after: Recording) -> str:
    """Return the differences of two recordings as lines, without what differs each time."""
    recorded, now = (
        json.dumps(_comparable(recording), indent=1, sort_keys=True).splitlines()
        for recording in (before, after)
    )
    return "\n".join(unified_diff(recorded, now, "recorded", "now", lineterm=""))


def reduced(artifact: dict[str, Any]) -> dict[str, Any]:
    """Return an artifact with only the fields that tests read."""
    kept = {**artifact}
    for name, fields in (("metadata", _METADATA), ("args", _ARGUMENTS)):
        if name in artifact:
            kept[name] = {key: value for key, value in artifact[name].items() if key in fields}
    if "parent_map" not in artifact:
        return kept
    for name in ("nodes", "sources", "exposures", "unit_tests"):
        kept[name] = {key: _entry(value) for key, value in (kept.get(name) or {}).items()}
    return {name: value for name, value in kept.items() if name in _SECTIONS}


def _path(name: str, engine: str) -> Path:
    return FOLDER / engine / f"{name}.json.xz"


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
        "artifacts": {name: reduced(value) for name, value in artifacts.items()},
    }
    text = json.dumps(recorded).replace(str(folder), "/recorded")
    return {**json.loads(_RUN_FOLDER.sub("", text))}


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
        if not _BACKTRACE.match(line) and _CANCELLED not in line:
            head, *counts = _COUNTS.split(_TIME.sub("...", line))
            yield " ".join([head, *sorted(counts)])


def _stable(value: Any, name: str = "") -> Any:
    if name in _UNSTABLE:
        return "..."
    if isinstance(value, dict):
        return {key: _stable(part, key) for key, part in value.items()}
    if isinstance(value, list):
        parts = [_stable(part, name) for part in value]
        return sorted(parts, key=json.dumps)
    return _TIME.sub("...", value) if isinstance(value, str) else value
