"""The options are the arguments of the helpers, and each command has examples that work."""

from __future__ import annotations

import argparse
import inspect
import re
import shlex
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import dlt
import pytest

import dlt_dbtcloud
from dlt_dbtcloud.cli.actions.emulate import wait_for_signal
from dlt_dbtcloud.cli.commands import COMMANDS
from dlt_dbtcloud.cli.options import ARGUMENTS, parse_data, parse_variable
from dlt_dbtcloud.cli.parser import PROGRAM, new_parser
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.models import Outcome
from tests.cli.conftest import Cli
from tests.support.dbt.nodes import node, result
from tests.support.docs.pages import ROOT, blocks
from tests.support.past_runs import started_run
from tests.support.processes.threads import interrupting
from tests.support.projects.tiny import write_tiny

PAGE = ROOT / "docs" / "cli.md"
JOB, RUN = "70471823", "70471823900"
HELPERS = [command for command in COMMANDS.values() if command.helper]
# the options whose words are other than the name of the argument
RENAMED = {"additional_vars": "--var"}


def examples() -> Iterator[str]:
    """Yield the command lines in the help of the commands."""
    for command in COMMANDS.values():
        yield from (example.words for example in command.examples)


def documented() -> list[str]:
    """Return the command lines on the page, without comments."""
    code = "".join(b.code for b in blocks("sh") if b.page == PAGE)
    lines = re.findall(rf"{PROGRAM} ([^|)#>\n]*)", code)
    return [line.replace('"$run"', RUN).strip() for line in lines]


def test_the_command_lines_of_all_pages_are_accepted() -> None:
    code = "".join(block.code for block in blocks("sh"))
    lines = re.findall(rf"^{PROGRAM} ([^|)#>\n]*)", code, re.MULTILINE)
    assert "sources flights --write models/sources.yml" in lines
    for line in lines:
        new_parser().parse_args(shlex.split(line))


def test_options_are_the_arguments_of_the_helper() -> None:
    for command in HELPERS:
        helper = getattr(dlt_dbtcloud, command.helper or "")
        parameters = inspect.signature(helper).parameters.keys() - {"credentials"}
        assert {*command.arguments} == parameters
        assert len({*command.arguments}) == len(command.arguments)


def test_an_option_has_the_name_of_its_argument() -> None:
    for name in ARGUMENTS:
        parser = argparse.ArgumentParser()
        ARGUMENTS[name].add_to(parser)
        words = {word for action in parser._actions for word in action.option_strings}
        assert RENAMED.get(name, f"--{name.replace('_', '-')}") in words


def test_an_option_that_is_not_passed_leaves_the_config_alone() -> None:
    for name in COMMANDS:
        needed = ["flights"] if name == "sources" else []
        options = new_parser().parse_args([*name.split(), *needed])
        names = (*COMMANDS[name].arguments, *COMMANDS[name].own_arguments)
        assert {getattr(options, each) for each in names} <= {None}


def test_the_help_of_a_command_has_its_examples(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in COMMANDS:
        monkeypatch.setenv("COLUMNS", "200")
        done = cli(*name.split(), "--help")
        assert done.status == 0
        assert COMMANDS[name].examples
        for example in COMMANDS[name].examples:
            assert f"{PROGRAM} {example.words}\n" in f"{done.out}\n"


def test_every_command_has_an_example_on_the_page() -> None:
    lines = documented()
    for name in COMMANDS:
        assert any(f"{line} ".startswith(f"{name} ") for line in lines), name


@pytest.mark.parametrize("line", sorted({*examples(), *documented()}))
def test_every_example_works(
    line: str,
    request: pytest.FixtureRequest,
    cli: Cli,
    cloud: DBTCloudEmulator,
    isolated: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = shlex.split(line)
    manifest = {
        "metadata": {},
        "nodes": {"model.shop.a": node("model.shop.a")},
        "parent_map": {"model.shop.a": ["source.shop.raw.airlines"]},
        "child_map": {"source.shop.raw.airlines": ["model.shop.a"]},
    }
    if "flights" in words:
        pipeline: dlt.Pipeline = request.getfixturevalue("loaded_pipeline")
        words += ["--pipelines-dir", pipeline.pipelines_dir]
        if {"--check", "check", "plan"} & {*words}:
            manifest["sources"] = {"source.shop.raw.airlines": declared(pipeline)}
    outcomes: list[Outcome] = ["error", "success"] if words[0] == "retry" else ["success"]
    files = {
        "manifest.json": manifest,
        "run_results.json": {"results": [result("model.shop.a")]},
    }
    job = cloud.create_job("Nightly", outcome=outcomes, artifacts=files)
    if words[0] == "cancel":
        job = cloud.create_job("Long", duration=None)
    run = started_run(cloud, job)["id"]
    if words[0] != "cancel":
        cloud.wait_for_run(run)
    monkeypatch.setenv("DBT_CLOUD__JOB_ID", str(job))
    ids = {JOB: str(job), RUN: str(run)}
    words = [ids.get(word, word) for word in words]
    if words[0] == "emulate":
        return run_emulate(words, isolated, cli)
    done = cli(*words)
    assert done.status == 0, done.out + done.err
    return None


def is_serving() -> bool:
    """Return whether the main thread waits for the end of `emulate`."""
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    return frame.f_code.co_name == wait_for_signal.__name__


def run_emulate(words: list[str], folder: Path, cli: Cli) -> None:
    """Start the example with a project in place of each, and end it by Ctrl-C."""
    for place in [word for word in words[1:] if word in ("one", "two", "examples/flights_dbt")]:
        write_tiny(folder / place)
    program = folder / "v2" / "bin" / "dbt"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    if "--port" in words:
        words[words.index("--port") + 1] = "0"
    with interrupting(KeyboardInterrupt, is_serving):
        done = cli(*words)
    assert done.status == 130
    assert "export DBT_CLOUD__API_TOKEN=" in done.out


def test_a_variable_is_a_text_or_json() -> None:
    assert parse_variable("load_id={load_id}") == ("load_id", "{load_id}")
    assert parse_variable("id=1732150000.123") == ("id", "1732150000.123")
    assert parse_variable("formula=a=b") == ("formula", "a=b")
    assert parse_variable("days:=[1, 2]") == ("days", [1, 2])
    for text in ("novalue", "=x", "days:=[1"):
        with pytest.raises(argparse.ArgumentTypeError):
            parse_variable(text)


def test_data_is_an_object_and_is_not_repeated_in_the_error(cli: Cli) -> None:
    assert parse_data('{"git_branch": "main"}') == {"git_branch": "main"}
    for text in ('["secret"]', "{secret", "secret"):
        done = cli("run", "7", "--data", text)
        assert done.status == 2
        assert "not a JSON object" in done.err
        assert "secret" not in done.err


def test_bad_input_is_one_line_that_names_the_help(cli: Cli) -> None:
    for words in [
        [],
        ["nothing"],
        ["run", "1", "2"],
        ["run", "--timeout", "soon"],
        ["run", "--retries", "often"],
        ["run", "--progress", "loud"],
        ["run", "--nothing"],
        ["logs", "--step", "0"],
        ["jobs", "--limit", "-1"],
        ["runs", "--status", "late"],
        ["artifacts"],
        ["sources"],
        ["emulate", "--port", "x"],
        ["status", "--api-token=dbtc_0123456789abcdef"],
        ["status", "--api-token", "dbtc_0123456789abcdef"],
        ["jobs", "--limit", "dbtc_0123456789abcdef"],
        ["jobs", "dbtc_0123456789abcdef"],
    ]:
        done = cli(*words)
        assert (done.status, done.out) == (2, "")
        assert re.fullmatch(r"error: .*\(see `python -m dlt_dbtcloud.* --help`\)\n", done.err)
        assert "dbtc_" not in done.err


def declared(pipeline: dlt.Pipeline) -> dict[str, object]:
    """Return the source that declares the table of the pipeline."""
    (source,) = dlt_dbtcloud.dbt_sources(pipeline)["sources"]
    (table,) = source["tables"]
    return {
        "unique_id": "source.shop.raw.airlines",
        "package_name": "shop",
        "source_name": source["name"],
        "name": table["name"],
        "identifier": table["name"],
        "schema": source["schema"],
        "database": source.get("database"),
        "columns": {column["name"]: column for column in table["columns"]},
    }


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--data", "[" * 100_000), "not a JSON object"),
        (("--var", f"days:={'[' * 100_000}"), "the value of `days` is not JSON"),
    ],
)
def test_json_that_is_nested_too_deeply_is_bad_input(
    cli: Cli, words: tuple[str, ...], reason: str
) -> None:
    done = cli("run", JOB, *words)
    assert (done.status, done.out) == (2, "")
    assert reason in done.err


def test_a_count_is_a_number_that_a_listing_can_have(cli: Cli) -> None:
    for count in ["0", "-1", "9" * 30, "9" * 5000, "x"]:
        done = cli("jobs", f"--limit={count}")
        assert (done.status, done.out) == (2, "")
        assert "is not a number from 1 to 999999999" in done.err
        assert len(done.err) < 200
