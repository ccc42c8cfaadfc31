"""The documentation is true: its code runs, and its tables, quotes and links are those of today."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from textwrap import indent
from typing import Any

import dlt
import duckdb
import pytest
import tomlkit
import yaml
from dlt.common.configuration import resolve_configuration
from dlt.common.exceptions import TerminalException, TransientException

import dlt_dbtcloud
from dlt_dbtcloud import DBTCloudConfiguration, exceptions
from dlt_dbtcloud.dbt import narrowed_commands
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.faults import KINDS
from dlt_dbtcloud.loads import last_load
from tests.fixtures import Recorded, WriteConfig
from tests.support.dbt.manifests import read_manifest
from tests.support.docs.pages import DOCS, PAGES, ROOT, Block, blocks, text, write_modules
from tests.support.docs.result_columns import generated
from tests.support.processes.children import run
from tests.support.projects.declared import THRESHOLDS
from tests.support.projects.flights import Flights
from tests.support.servers.wire import KeepAliveServer

LONGEST_LINE = 100
# the folder of the script that orchestrators run
SHOP = ROOT / "examples" / "orchestrators"
SOURCES = ROOT / "docs" / "dbt-sources.md"
TOKEN = "dbtc_0123456789abcdef"
DATABASE = re.compile(r'dlt\.pipeline\("(\w+)", destination="duckdb"')
LOAD = re.compile(
    r"^pipeline = dlt\.pipeline\(.*\)\npipeline\.run\([^(]+, table_name=.+\)\n", re.MULTILINE
)


def prose(page: Path) -> list[str]:
    """Return the lines of a page outside its blocks of code."""
    return re.sub(r"^```.*?^```$", "", text(page), flags=re.DOTALL | re.MULTILINE).splitlines()


def table(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head."""
    below = text(ROOT / "docs" / page).partition(f"\n{heading}\n")[2]
    rows = re.search(r"^\|[-|]+\|\n((\|.*\|\n)+)", below, re.MULTILINE)
    assert rows, f"{page} has no table below `{heading}`"
    return [[cell.strip() for cell in row[1:-1].split("|")] for row in rows[1].splitlines()]


def engine(block: Block) -> pytest.MarkDecorator | tuple[()]:
    """Return the mark of the dbt that a block runs, if any."""
    if ".venv-fusion" in block.code:
        return pytest.mark.fusion
    return pytest.mark.dbt if "project_dir" in block.code else ()


def test_every_language_is_checked() -> None:
    assert {block.language for block in blocks()} == {
        *("python", "sh", "toml", "yaml", "diff", "text")
    }


def groups() -> list[list[Block]]:
    """Return the blocks of Python to run, in groups that begin with the same load."""
    found: dict[str, list[Block]] = {}
    # a test of its own runs the first
    for block in blocks("python")[1:]:
        # `make interop` runs those of orchestrators, and cron the script that they import
        is_script = re.search(r"^(import|def) shop", block.code, re.MULTILINE)
        # a test of its own runs it
        if not is_script and block.page != SOURCES:
            load = LOAD.search(block.code)
            key = load[0] if load and not engine(block) else str(block)
            found.setdefault(key, []).append(block)
    return [*found.values()]


@pytest.fixture(scope="module")
def backend() -> Iterator[KeepAliveServer]:
    """Return a server that receives events of OpenLineage."""
    with KeepAliveServer({}) as server:
        yield server


@pytest.fixture
def bounded_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit each sleep to 0.6 s, after which the rate limit of a block has cooled down."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.6)))


@pytest.fixture
def stateless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load no state of pipelines, as no other machine continues them."""
    monkeypatch.setenv("RESTORE_FROM_DESTINATION", "false")


@contextmanager
def database_of(block: Block) -> Iterator[None]:
    """Open the database of a block once, and not for each step of a load."""
    with ExitStack() as opened:
        for name in DATABASE.findall(block.code):
            opened.enter_context(duckdb.connect(f"{name}.duckdb"))
        yield


def execute(block: Block, pipeline: dlt.Pipeline | None = None) -> dict[str, Any]:
    """Execute a block and return its names.

    Args:
        block: The block.
        pipeline: The pipeline that has run the load with which the block begins.
    """
    names = {"__name__": "docs", "pipeline": pipeline}
    # the lines stay where they are
    code = LOAD.sub("\n\n", block.code) if pipeline else block.code
    exec(compile(code, str(block), "exec"), names)
    return names


@pytest.mark.usefixtures("stateless", "bounded_pauses")
@pytest.mark.parametrize(
    "group",
    [
        pytest.param(group, id=" ".join(map(str, group)), marks=engine(group[0]))
        for group in groups()
    ],
)
def test_python_runs(
    cloud: DBTCloudEmulator,
    monkeypatch: pytest.MonkeyPatch,
    isolated: Path,
    backend: KeepAliveServer,
    group: list[Block],
) -> None:
    """A load with which several blocks begin is run once, and each has a job of its own."""
    monkeypatch.setenv("OPENLINEAGE_URL", backend.url)
    for folder in ("examples", ".venv-fusion"):
        (isolated / folder).symlink_to(ROOT / folder)
    pipeline = None
    with database_of(group[0]):
        for block in group:
            for section in ("", "PROD__"):
                monkeypatch.setenv(f"DBT_CLOUD__{section}JOB_ID", str(cloud.create_job("Nightly")))
            sent = backend.requests
            pipeline = execute(block, pipeline)["pipeline"]
            assert (backend.requests > sent) == ("emit_openlineage" in block.code)


@pytest.mark.usefixtures("stateless")
def test_first_example_loads_results_unless_its_run_was_skipped(
    cloud: DBTCloudEmulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job, other = (cloud.create_job("Nightly") for _ in range(2))
    monkeypatch.setenv("DBT_CLOUD__JOB_ID", str(job))
    # leaves a manifest without sources
    dlt_dbtcloud.run_dbt_cloud_job()
    example = blocks("python")[0]
    with database_of(example):
        pipeline = execute(example)["pipeline"]
        assert capsys.readouterr().out == "Skipped\n"
        assert "dbt_cloud_results" not in pipeline.schema_names
        assert len(cloud.runs) == 1
        monkeypatch.setenv("DBT_CLOUD__JOB_ID", str(other))
        execute(example, pipeline)
    assert capsys.readouterr().out == "Success\n"
    assert "dbt_cloud_results" in pipeline.schema_names
    assert len(cloud.runs) == 2


def test_python_is_formatted(tmp_path: Path) -> None:
    """`make check` checks its types, with those of the package in one call of mypy."""
    write_modules(tmp_path)
    command = ("ruff", "format", "--check", "--diff", "--config=pyproject.toml")
    done = run([sys.executable, "-m", *command, str(tmp_path)], cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (mypy,) = re.findall(r"\(BIN\)/mypy .*", (ROOT / "Makefile").read_text())
    assert "$(BLOCKS)" in mypy


@pytest.mark.usefixtures("stateless")
def test_the_yaml_of_sources_is_what_the_example_writes() -> None:
    (example,) = [block for block in blocks("python") if block.page == SOURCES]
    with database_of(example):
        execute(example)
    written, thresholds = [block for block in blocks("yaml") if block.page == SOURCES]
    assert yaml.safe_load(written.code) == yaml.safe_load(Path("sources.yml").read_text())
    # those that dbt checks in a test of its own
    known = yaml.safe_load(THRESHOLDS)["sources"]["tiny"]
    assert yaml.safe_load(thresholds.code)["sources"]["my_project"]["flights"] == known


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_is_a_configuration(write_config: WriteConfig, block: Block) -> None:
    write_config("secrets.toml", block.code)
    names = re.findall(r"^\[dbt_cloud\.(\w+)\]$", block.code, re.MULTILINE)
    config = resolve_configuration(DBTCloudConfiguration(connection=next(iter(names), None)))
    assert (config.api_token, config.account_id, config.job_id) == (TOKEN, "70403", "70471823")
    assert config.base_api_url == "https://ab123.us1.dbt.com/api"


@pytest.mark.parametrize("block", blocks("diff"), ids=str)
def test_both_sides_of_a_diff_can_be_imported(block: Block) -> None:
    for line in block.code.splitlines():
        exec(line[1:], {})


def test_make_has_every_target() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for page in PAGES:
        named = re.findall(r"(?:^|`)make ([a-z-]+)", text(page), re.MULTILINE)
        assert {*named} <= {*targets}, page.name


def test_every_extra_exists() -> None:
    project = tomlkit.parse((ROOT / "pyproject.toml").read_text()).unwrap()
    named = {
        extra for page in PAGES for extra in re.findall(r"pip install '[^']*?\[(\w+)\]", text(page))
    }
    assert named == {*project["project"]["optional-dependencies"]}


def test_every_module_and_script_that_is_run_exists() -> None:
    for page in PAGES:
        for module in re.findall(r"python -m ([\w.]+)", text(page)):
            path = ROOT / module.replace(".", "/")
            is_there = path.with_suffix(".py").exists() or (path / "__main__.py").exists()
            assert module == "pytest" or is_there, module
        for script in re.findall(r"python ([\w/]+\.py)", text(page)):
            assert (ROOT / script).exists() or (SHOP / script).exists(), script


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text(page)):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", "\n".join(prose(page)), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_readme_links_to_every_page() -> None:
    assert {*re.findall(r"\]\(docs/([\w-]+\.md)\)", text(PAGES[0]))} == {page.name for page in DOCS}


def test_readme_is_short() -> None:
    readme = text(PAGES[0])
    assert len(readme.splitlines()) <= 120
    assert max(map(len, readme.splitlines())) <= LONGEST_LINE
    assert len(readme.split()) <= 700
    assert len(text(ROOT / "CONTRIBUTING.md").splitlines()) <= 12


def test_lines_are_short() -> None:
    """The rows of a table cannot be wrapped."""
    lines = [line for page in PAGES for line in prose(page) if line[:1] != "|"]
    lines += [line for block in blocks("python") for line in block.code.splitlines()]
    assert not [line for line in lines if len(line) > LONGEST_LINE]


def test_each_line_has_one_sentence() -> None:
    lines = [line for page in DOCS for line in prose(page) if line[:1] != "|"]
    assert not [line for line in lines if re.search(r"\D[.!?] [A-Z`]", line)]


def test_every_key_has_a_row_with_its_default() -> None:
    rows = {key: default for key, default, _ in table("configuration.md", "## Keys")}
    fields = DBTCloudConfiguration.get_resolvable_fields()
    defaults = {name: getattr(DBTCloudConfiguration, name) for name in fields}
    assert rows == {
        f"`{name}`": "required"
        if name == "api_token"
        else f"`{value}`"
        if value is not None
        else ""
        for name, value in defaults.items()
    }


def test_every_error_has_its_place_in_the_tree_and_a_row() -> None:
    page = text(ROOT / "docs" / "failures.md")
    branches = re.findall(r"^([ │├└]*)(\w+)$", page, re.MULTILINE)
    depths = {name: len(indentation) // 2 for indentation, name in branches}
    errors = {name: getattr(exceptions, name) for name in exceptions.__all__ if name[0].isupper()}
    depth = [*exceptions.DBTCloudException.__mro__]
    assert depths == {
        name: sum(base not in depth[1:] and issubclass(base, depth[0]) for base in error.__mro__)
        - 1
        for name, error in errors.items()
    }
    kinds = {name.strip("`"): kind for name, _, kind in table("failures.md", "## Errors")}
    assert kinds == {
        name: "terminal"
        if issubclass(error, TerminalException)
        else "transient"
        if issubclass(error, TransientException)
        else ""
        for name, error in errors.items()
        if name not in ("DBTCloudException", "DBTCloudRunError")
    }


def test_the_quoted_failure_is_that_of_a_real_run(recorded: Recorded, tmp_path: Path) -> None:
    flights = Flights(recorded("failed_model"), tmp_path)
    flights.load_for_dbt("flights")
    flights.make_times_impossible()
    with pytest.raises(dlt_dbtcloud.DBTCloudRunFailed) as caught:
        dlt_dbtcloud.run_dbt_cloud_job(
            job_id=flights.job(), pipeline=flights.pipeline, raise_on_failure=True
        )
    failure = caught.value
    (node,) = failure.failures
    load = last_load(flights.pipeline)
    assert node["message"]
    assert load
    page = ROOT / "docs" / "failures.md"
    (quoted,) = [b.code for b in blocks("text") if b.page == page and "failed" in b.code]
    # dbt and the database word the message, so that of the page may be of an older release
    quoted = re.sub(
        r"(^ {7}.*\n)+", lambda _: indent(f"{node['message']}\n", " " * 7), quoted, flags=re.M
    )
    quoted = re.sub(r"https:\S+/(?=[. ])", str(failure.run_url), quoted)
    quoted = quoted.replace("70471823900", str(failure.run_id))
    quoted = quoted.replace("1732150000.123", load.load_id)
    assert quoted.split() == str(failure).split()


def test_result_tables_have_the_columns_of_the_schema() -> None:
    """`python -m tests.support.docs.result_columns` writes them."""
    page = text(ROOT / "docs" / "results.md")
    assert page == generated(page)


def test_commands_change_as_in_the_table() -> None:
    source, model = "source.shop.raw.airlines", "model.shop.dim_carriers"
    manifest = {
        "sources": {
            source: {
                "package_name": "shop",
                "source_name": "raw",
                "name": "airlines",
                "schema": "raw",
            }
        },
        "nodes": {model: {}},
        "child_map": {source: [model]},
        "selectors": {"nightly": {"definition": {"method": "tag", "value": "nightly"}}},
    }
    for command, expected in table("only-loaded.md", "## How commands change"):
        line = command.strip("`")
        # a job with no other command that builds something would not run
        *steps, _ = narrowed_commands([line, "dbt build"], read_manifest(manifest), [source])
        if expected.startswith("unchanged"):
            assert steps == [line]
        else:
            assert steps == re.findall(r"^`(.*)`$", expected)


def test_every_kind_of_fault_has_a_row() -> None:
    assert [kind.strip("`") for kind, _ in table("emulator.md", "## Faults")] == [*KINDS]


def test_every_module_has_a_row() -> None:
    package = ROOT / "dlt_dbtcloud"
    modules = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if path.name != "__init__.py"
    }
    rows = [module.strip("`") for module, _ in table("architecture.md", "## Modules")]
    assert sorted(rows) == sorted(modules)
    for _, place in table("architecture.md", "## Where a feature lives"):
        assert {*re.findall(r"`(.*?)`", place)} <= modules


def test_what_a_user_copies_is_refused_until_it_is_filled_in(write_config: WriteConfig) -> None:
    write_config("secrets.toml", (ROOT / ".dlt" / "example.secrets.toml").read_text())
    with pytest.raises(
        dlt_dbtcloud.InvalidCredentialsException,
        match="`api_token` and `account_id` and `base_api_url` and `job_id`",
    ):
        resolve_configuration(DBTCloudConfiguration())
