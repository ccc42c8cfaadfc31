"""Recorded answers of dbt: the nodes, options and files of commands.

`make record` runs the tests that ask, and records the answers of dbt Core to them. A question
without a recorded answer is an error.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from tests.support.clock import DBT_PATIENCE
from tests.support.dbt.recordings import CORE, FOLDER, RECORD, load, reduced, save
from tests.support.processes.children import run
from tests.support.projects.flights import EXAMPLES
from tests.support.projects.landing import write_landing
from tests.support.projects.shop import write_shop

__all__ = ["PROJECTS", "Answers", "Question", "ask", "recorded_questions"]


Kind = Literal["manifest", "nodes", "options", "takes", "writes_results"]


def _write_flights(folder: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / "flights_dbt", folder))


def _write_nothing(folder: Path) -> Path:
    folder.mkdir()
    return folder


PROJECTS: Mapping[str, Callable[[Path], Path]] = {
    "flights": _write_flights,
    "landing": write_landing,
    # the parser of dbt needs no project
    "parser": _write_nothing,
    "shop": write_shop,
    "shop_with_default": partial(write_shop, has_default=True),
}
# answers each question in a process of its own, because dbt keeps global state
_ASKED = """
import json, os, pathlib, sys
from dbt.cli.main import cli, dbtRunner
from dbt.cli.options import MultiOption

def invoke(*words, manifest=None):
    return dbtRunner(manifest=manifest).invoke(["--quiet", *words])

def nodes(lines):
    if pathlib.Path("packages.yml").exists():
        invoke("deps")
    manifest = invoke("parse").result
    if any(words[0] != "ls" for words in lines):
        invoke("build", manifest=manifest)
    for words in lines:
        listing = ["--output", "json", "--output-keys", "unique_id"] if words[0] == "ls" else []
        done = invoke(*words, *listing, manifest=manifest)
        if done.exception:
            yield str(done.exception)
        elif listing:
            yield sorted(json.loads(line)["unique_id"] for line in done.result)
        else:
            yield sorted(each.node.unique_id for each in done.result.results)

def manifest(lines):
    if pathlib.Path("packages.yml").exists():
        invoke("deps")
    invoke("parse")
    yield json.loads(pathlib.Path("target/manifest.json").read_text())

def writes_results(lines):
    invoke("deps")
    invoke("build", "--target-path", "built")
    for number, words in enumerate(lines):
        invoke(*words, "--target-path", f"target{number}")
        yield pathlib.Path(f"target{number}/run_results.json").exists()

def options(lines):
    for name, *words in lines:
        params = cli.commands[name].make_context(name, words).params
        yield {key: params[key] for key in ("select", "exclude", "selector")}

def collect(command, greedy, valued):
    for option in command.params:
        if isinstance(option, MultiOption):
            greedy.update(option.opts)
        elif not getattr(option, "is_flag", True) and "deprecated" not in option.opts[0]:
            valued.update(option.opts)
    for each in getattr(command, "commands", {}).values():
        collect(each, greedy, valued)
    return [sorted(greedy), sorted(valued)]

def takes(lines):
    greedy, valued = collect(cli, set(), set())
    for (name,) in lines:
        yield {"many words": greedy, "one word": valued}[name]

for number, question in enumerate(json.load(sys.stdin)):
    if os.fork() == 0:
        os.chdir(question["folder"])
        answers = list(globals()[question["kind"]](question["lines"]))
        pathlib.Path("answers.json").write_text(json.dumps(answers))
        sys.stdout.flush()
        os._exit(0)
    assert os.wait()[1] == 0
"""


@dataclass(frozen=True)
class Question:
    """Command lines of one kind on one project, as words after `dbt`."""

    project: str
    kind: Kind
    lines: Sequence[Sequence[str]]


class Answers:
    """The answers of dbt to command lines on a project.

    Args:
        project: The name of the project.
        records: Whether dbt is asked, and its answers are recorded.
    """

    def __init__(self, project: str, *, records: bool = False) -> None:
        self._project = project
        self._records = records
        self._path = FOLDER / CORE / "answers" / f"{project}.json"

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the project."""
        if self._records:
            written = ask([Question(self._project, "manifest", [])])[0][0]
            artifacts = {"manifest.json": reduced(written)}
            save([{"log": [], "artifacts": artifacts}], f"answers/{self._project}", CORE)
        (parsed,) = load(f"answers/{self._project}", CORE)
        manifest: dict[str, Any] = parsed["artifacts"]["manifest.json"]
        return manifest

    def nodes_of(self, lines: Iterable[Sequence[str]]) -> list[set[str]]:
        """Return the unique ids that each command lists, if it is `ls`, or executes."""
        return [set(answer) for answer in self._of("nodes", lines)]

    def errors_of(self, lines: Iterable[Sequence[str]]) -> list[str]:
        """Return the error that ends each command."""
        answers = self._of("nodes", lines)
        assert all(isinstance(answer, str) for answer in answers), answers
        return answers

    def writes_results(self, lines: Iterable[Sequence[str]]) -> list[bool]:
        """Return whether each command writes `run_results.json`."""
        return self._of("writes_results", lines)

    def options_of(self, lines: Iterable[Sequence[str]]) -> list[dict[str, Any]]:
        """Return the selection that dbt's parser finds in each command."""
        return self._of("options", lines)

    def options_that_take(self, words: Literal["many words", "one word"]) -> set[str]:
        """Return the options of all commands that take so many words."""
        (options,) = self._of("takes", [[words]])
        return set(options)

    def _of(self, kind: Kind, lines: Iterable[Sequence[str]]) -> list[Any]:
        lines = list(lines)
        if self._records:
            (answers,) = ask([Question(self._project, kind, lines)])
            known = self._known()
            known.setdefault(kind, {}).update(zip(map(shlex.join, lines), answers, strict=True))
            _write(self._path, known)
        recorded = self._known().get(kind, {})
        for line in lines:
            assert shlex.join(line) in recorded, (
                f"The answer of dbt to `dbt {shlex.join(line)}` on the project `{self._project}` "
                f"is not recorded: run `{RECORD}`."
            )
        return [recorded[shlex.join(line)] for line in lines]

    def _known(self) -> dict[str, dict[str, Any]]:
        known: dict[str, dict[str, Any]] = {}
        return json.loads(self._path.read_text()) if self._path.exists() else known


def ask(questions: Sequence[Question]) -> list[Any]:
    """Ask dbt Core, each question about a new copy of its project."""
    with TemporaryDirectory() as temporary:
        folders = [Path(temporary).resolve() / str(number) for number in range(len(questions))]
        for question, folder in zip(questions, folders, strict=True):
            PROJECTS[question.project](folder)
        asked = [
            {**asdict(question), "folder": str(folder)}
            for question, folder in zip(questions, folders, strict=True)
        ]
        done = run(
            [sys.executable, "-c", _ASKED],
            input=json.dumps(asked),
            env={**os.environ, "DO_NOT_TRACK": "1", "DBT_PROFILES_DIR": "."},
            timeout=DBT_PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads((folder / "answers.json").read_text()) for folder in folders]


def recorded_questions() -> Iterator[tuple[Question, list[Any]]]:
    """Yield all questions with their recorded answers."""
    for path in sorted((FOLDER / CORE / "answers").glob("*.json")):
        for kind, answers in json.loads(path.read_text()).items():
            lines = [shlex.split(line) for line in answers]
            yield Question(path.stem, kind, lines), [*answers.values()]


def _write(path: Path, answers: Mapping[str, Mapping[str, Any]]) -> None:
    """Write answers with a line for each, in a stable order."""
    kinds = []
    for kind, known in sorted(answers.items()):
        lines = ",\n".join(
            f"  {json.dumps(line)}: {json.dumps(known[line], separators=(',', ':'))}"
            for line in sorted(known)
        )
        kinds.append(f" {json.dumps(kind)}: {{\n{lines}\n }}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(kinds) + "\n}\n")
