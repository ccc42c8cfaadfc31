"""Commands are parsed as dbt does, and rewritten so that dbt executes exactly the given nodes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from dlt_dbtcloud.dbt import Entry, Manifest
from dlt_dbtcloud.dbt.commands import (
    MAX_LENGTH,
    CannotNarrowError,
    CommandError,
    DbtCommand,
    fits,
    node_selector,
    subcommand_of,
    with_variables,
)
from tests.fixtures import AnswersOf
from tests.support.clock import DBT_PATIENCE
from tests.support.dbt.answers import PROJECTS
from tests.support.dbt.manifests import read_manifest
from tests.support.processes.children import run

# the criteria to select and to exclude, and the selector
Selection = tuple[tuple[str, ...], tuple[str, ...], str | None]
SPELLINGS: list[tuple[str, Selection]] = [
    ("", ((), (), None)),
    ("--select a", (("a",), (), None)),
    ("--select a b", (("a", "b"), (), None)),
    ("--select a,b+ 2+c,@d", (("a,b+", "2+c,@d"), (), None)),
    ("--select=a", (("a",), (), None)),
    ("--select=a b", (("a", "b"), (), None)),
    ("--select 'a b'", (("a", "b"), (), None)),
    ("--select='a b' 'c d' e", (("a", "b", "c", "d", "e"), (), None)),
    ("--select 'a  b '", (("a", "b"), (), None)),
    ("--select ''", (("",), (), None)),
    ("--select a --select b", (("a", "b"), (), None)),
    ("-s a", (("a",), (), None)),
    ("-sa b", (("a", "b"), (), None)),
    ("-s=a", (("=a",), (), None)),
    ("-xs a", (("a",), (), None)),
    ("-xfsa b", (("a", "b"), (), None)),
    ("-m a", (("a",), (), None)),
    ("--model a", (("a",), (), None)),
    ("--models a b -x", (("a", "b"), (), None)),
    ("-s a -m b --models c --model d", (("a", "b", "c", "d"), (), None)),
    ("--exclude a", ((), ("a",), None)),
    ("--exclude a b --select c --exclude=d", (("c",), ("a", "b", "d"), None)),
    ("--exclude a -s b", (("b",), ("a",), None)),
    ("--resource-type model test --select a", (("a",), (), None)),
    ("--exclude-resource-type test unit_test -s a", (("a",), (), None)),
    ("--select --exclude a", (("--exclude", "a"), (), None)),
    ("--select - b", (("-", "b"), (), None)),
    ("--select a --vars '{select: b, \"--select\": c}'", (("a",), (), None)),
    ("--target -s --select a", (("a",), (), None)),
    ("-t -s -s a", (("a",), (), None)),
    ('--warn-error-options \'{"error": "all"}\' -s a', (("a",), (), None)),
    ("--selector nightly", ((), (), "nightly")),
    ("--selector=a --selector b", ((), (), "b")),
    ("--selector a --select b --exclude c", (("b",), ("c",), "a")),
]
OTHERS = (
    "--vars '{\"a\": \"it''s, $HOME\"}' --full-refresh --fail-fast --threads 4 -t prod "
    "--resource-type model test"
)


def parse(line: str) -> DbtCommand:
    return DbtCommand.parse(line)


def test_a_selection_is_read_however_it_is_written() -> None:
    for options, expected in SPELLINGS:
        command = parse(f"dbt build {options}")
        assert (command.select, command.exclude, command.selector) == expected
        assert command.subcommand == "build"


def test_the_subcommand_is_found_behind_options_and_their_values() -> None:
    for line, expected in [
        ("dbt build", "build"),
        ("  dbt\n  build  \n", "build"),
        ("dbt \\\n  build \\\r\n  --select a", "build"),
        ("dbt --warn-error --target prod run", "run"),
        ("dbt -xd -tprod --log-level=debug --log-format json test", "test"),
        ('dbt --warn-error-options \'{"error": "all"}\' seed', "seed"),
        ("dbt --indirect-selection cautious --profile build snapshot", "snapshot"),
        ("dbt list", "ls"),
        ("dbt ls --output-keys name unique_id", "ls"),
        ("dbt docs generate --no-compile", "docs generate"),
        ("dbt --quiet source freshness -o target/x.json", "source freshness"),
        ("dbt run-operation grant --args '{role: build}'", "run-operation"),
    ]:
        assert parse(line).subcommand == expected


def test_a_line_that_is_not_a_dbt_command_is_refused() -> None:
    for line, problem in [
        ("dbt build --select 'a", "cannot be read: No closing quotation"),
        ("python build.py", "a step begins with `dbt`"),
        ("", "a step begins with `dbt`"),
        ("dbt", "no subcommand"),
        ("dbt --version", "no subcommand"),
        ("dbt --target build", "no subcommand"),
    ]:
        with pytest.raises(CommandError, match=problem):
            parse(line)


def test_the_value_of_an_option_is_not_the_subcommand() -> None:
    for line, expected in [
        ("dbt build", "build"),
        ("dbt --target test build", "build"),
        ("dbt -t test run --select docs", "run"),
        ("dbt --log-path list compile", "compile"),
        ("dbt --vars '{mode: run }' compile", "compile"),
        ("dbt docs generate --select build", "docs generate"),
        ("dbt run-operation build", "run-operation"),
        ("dbt something-new", "something-new"),
        ("dbt build --select 'a", None),
        ("build", None),
        ("", None),
        (None, None),
    ]:
        assert subcommand_of(line) == expected


def test_commands_that_select_nodes_or_leave_results() -> None:
    for step, selects_nodes, leaves_results in [
        *((name, True, True) for name in ("build", "run", "test", "seed", "snapshot", "compile")),
        ("clone --state target", True, True),
        ("compile --inline 'select 1'", False, True),
        ("run-operation noop", False, True),
        ("retry", False, True),
        ("build --no-write-json", True, False),
        ("show --select users", False, False),
        ("docs generate", False, False),
        ("source freshness", False, False),
        *((name, False, False) for name in ("ls", "deps", "parse", "debug", "clean")),
    ]:
        command = parse(f"dbt {step}")
        assert (command.selects_nodes, command.leaves_results) == (selects_nodes, leaves_results)


def test_a_written_command_is_parsed_as_the_same() -> None:
    for line in [
        *(f"dbt build {options}" for options, _ in SPELLINGS),
        f"dbt --warn-error build {OTHERS}",
        "dbt build \\\n  --vars '{\n  a: 1 \\\n}' \\\n  -s a",
        "dbt run --vars '{a: \"b c\"}'",
        "dbt run --vars \"{'a': 'b'}\"",
        'dbt run --vars \'{a: "it\'"\'"\'s"}\' --select "*.a[bc]"',
    ]:
        command = parse(line)
        assert parse(str(command)) == command
        assert "".join(shlex.split(str(command))).replace("-", "") == (
            "".join(shlex.split(line.replace(" \\\n  ", " "))).replace("-", "")
        )


def test_lines_are_joined_as_a_shell_does() -> None:
    assert str(parse("dbt bu\\\nild \\\n-s 'a\\\nb' \\'c")) == "dbt build -s 'a\\\nb' \"'c\""


def test_only_words_that_need_quotes_have_them() -> None:
    line = "dbt build --select tag:a,source:raw.b+ @c 2+d+3 --vars \"{'a': 'b'}\""
    assert str(parse(line)) == line


def test_a_selection_is_replaced_however_it_is_written() -> None:
    for options, _ in SPELLINGS:
        selecting = parse(f"dbt run {options}").selecting(["x", "y"])
        assert (selecting.select, selecting.exclude, selecting.selector) == (("x", "y"), (), None)


def test_a_command_on_other_nodes_keeps_all_other_options() -> None:
    for line, expected in [
        ("dbt build", "dbt build --select x y --indirect-selection empty"),
        ("dbt test -s a", "dbt test --select x y --indirect-selection empty"),
        ("dbt compile", "dbt compile --select x y --indirect-selection empty"),
        ("dbt run --select a --exclude b", "dbt run --select x y"),
        ("dbt seed --full-refresh", "dbt seed --full-refresh --select x y"),
        ("dbt snapshot --selector a", "dbt snapshot --select x y"),
        ("dbt clone -m a --state target", "dbt clone --state target --select x y"),
        (
            "dbt --warn-error --indirect-selection cautious build -xs a --exclude=b --threads 4",
            "dbt --warn-error build -x --threads 4 --select x y --indirect-selection empty",
        ),
        (
            "dbt build --indirect-selection=eager --resource-type model test -s a --target prod",
            "dbt build --resource-type model test --target prod "
            "--select x y --indirect-selection empty",
        ),
    ]:
        assert str(parse(line).selecting(["x", "y"])) == expected


@pytest.mark.parametrize("step", ["deps", "docs generate", "source freshness", "ls -s a"])
def test_a_command_that_executes_no_nodes_cannot_select(step: str) -> None:
    with pytest.raises(CommandError, match="cannot be made to select"):
        parse(f"dbt {step}").selecting(["x"])
    with pytest.raises(CannotNarrowError, match="selects no nodes"):
        parse(f"dbt {step}").narrowed(["x"])


def test_nothing_cannot_be_selected() -> None:
    with pytest.raises(CommandError, match="cannot be made to select"):
        parse("dbt build").selecting([])
    with pytest.raises(CannotNarrowError, match="narrowed to nothing"):
        parse("dbt build").narrowed([])


def test_a_narrowed_command_intersects_each_criterion() -> None:
    for line, expected in [
        ("dbt build", "dbt build --select x+ y+"),
        ("dbt test --exclude a", "dbt test --exclude a --select x+ y+"),
        ("dbt run -s a", "dbt run --select a,x+ a,y+"),
        ("dbt build -m 'a,b c+' -x", "dbt build -x --select a,b,x+ a,b,y+ c+,x+ c+,y+"),
        (
            "dbt --fail-fast build --select a --vars '{a: 1}' --exclude b -s c",
            "dbt --fail-fast build --vars '{a: 1}' --exclude b --select a,x+ a,y+ c,x+ c,y+",
        ),
        (
            "dbt test --select a --indirect-selection cautious",
            "dbt test --indirect-selection cautious --select a,x+ a,y+",
        ),
    ]:
        assert str(parse(line).narrowed(["x+", "y+"])) == expected


def test_a_selection_that_cannot_be_intersected_is_refused() -> None:
    for line, problem in [
        ("dbt build --selector nightly", "by a selector of"),
        ("dbt build --selector nightly --select a", "by a selector of"),
        ("dbt build", "by the default selector"),
        ("dbt build --full-refresh", "by the default selector"),
        ("dbt --warn-error build --select a", "may fail with a warning"),
        ("dbt --warn-error seed --exclude a", "may fail with a warning"),
        ("dbt build --select a --warn-error-options '{error: all}'", "may fail with a warning"),
        ("dbt build --select a b --indirect-selection cautious", "in several of its criteria"),
        ("dbt --indirect-selection=Buildable test -s 'a b'", "in several of its criteria"),
    ]:
        with pytest.raises(CannotNarrowError, match=problem):
            parse(line).narrowed(["x+"], has_default_selector=True)


def test_a_default_selector_does_not_matter_beside_a_selection() -> None:
    for line, select in (("dbt build -s a", "a,x"), ("dbt build --exclude a", "x")):
        assert parse(line).narrowed(["x"], has_default_selector=True).select == (select,)
    assert parse("dbt build").narrowed(["x"]).select == ("x",)


def test_a_line_that_is_too_long_to_execute_does_not_fit() -> None:
    room = MAX_LENGTH - len("dbt run --select ")
    assert fits(parse("dbt run").selecting(["a" * room]))
    assert not fits(parse("dbt run").selecting(["a" * (room + 1)]))
    assert not fits(parse("dbt run").selecting(["é" * room]))


def test_a_node_is_selected_by_its_file_or_its_whole_name() -> None:
    for resource_type, file, fqn, expected in [
        ("model", "models/a/b.sql", ["shop", "a", "b"], "file:b.sql"),
        ("model", "models\\a\\b_v2.py", ["shop", "a", "b", "v2"], "file:b_v2.py"),
        ("seed", "seeds/odd, name.csv", ["shop", "odd, name"], "file:odd??name.csv"),
        ("test", "tests/b.sql", ["shop", "b"], "test_type:singular,file:b.sql"),
        (
            "test",
            "models/b.yml",
            ["shop", "b", "unique+"],
            "test_type:generic,fqn:[s]hop.b.unique?",
        ),
        ("snapshot", "snapshots/b.sql", ["shop", "b", "then"], "file:b.sql,fqn:[s]hop.b.then"),
        ("unit_test", "models/b.yml", ["shop", "b", "[x]"], "file:b.yml,fqn:[s]hop.b.[[]x]"),
    ]:
        node = Entry(
            resource_type=resource_type, package_name="shop", original_file_path=file, fqn=fqn
        )
        assert node_selector(node) == f"package:shop,resource_type:{resource_type},{expected}"


@pytest.mark.parametrize("lacking", ["resource_type", "package_name", "original_file_path", "fqn"])
def test_a_node_without_a_file_or_names_has_no_selector(lacking: str) -> None:
    """So the whole command is repeated."""
    fields: dict[str, Any] = {
        "resource_type": "model",
        "package_name": "shop",
        "original_file_path": "models/b.sql",
        "fqn": ["shop", "b"],
    }
    with pytest.raises(CommandError, match="lacks its file or its names"):
        node_selector(Entry(**{**fields, lacking: None}))


def test_dbts_own_parser_reads_the_same(answers: AnswersOf) -> None:
    lines = [options for options, _ in SPELLINGS]
    found = answers("parser").options_of(["build", *shlex.split(options)] for options in lines)
    for options, answer in zip(lines, found, strict=True):
        command = parse(f"dbt build {options}")
        # dbt splits at each space, and keeps empty criteria
        assert [c for value in answer["select"] for c in value.split(" ") if c] == [
            c for c in command.select if c
        ], options
        assert tuple(answer["exclude"]) == command.exclude, options
        assert answer["selector"] == command.selector, options


def test_every_option_of_dbt_takes_the_words_that_dbt_gives_it(answers: AnswersOf) -> None:
    greedy = answers("parser").options_that_take("many words")
    assert greedy
    for option in greedy:
        assert parse(f"dbt {option} a b -x build").subcommand == "build"
        with pytest.raises(CommandError):
            parse(f"dbt {option} a build")
    valued = answers("parser").options_that_take("one word")
    assert valued
    for option in valued:
        assert parse(f"dbt {option} -x build test").subcommand == "build", option
        assert parse(f"dbt {option} test build").subcommand == "build", option


def executable(manifest: Manifest) -> dict[str, Entry]:
    """Return the nodes that dbt executes, and exposures, by unique id."""
    kinds = ("source", "metric", "semantic_model", "saved_query", "function")
    return {
        unique_id: manifest.entry(unique_id)
        for unique_id in manifest.unique_ids
        if not unique_id.startswith(kinds)
    }


@pytest.mark.parametrize("name", ["shop", "flights"])
def test_each_node_has_a_selector_that_selects_it_alone(name: str, answers: AnswersOf) -> None:
    nodes = executable(read_manifest(answers(name).manifest))
    list_all = ["ls", "--resource-type", "all", "--indirect-selection", "empty", "--select"]
    found = answers(name).nodes_of([*list_all, node_selector(node)] for node in nodes.values())
    assert len(nodes) > 30
    assert found == [{unique_id} for unique_id in nodes]


@pytest.mark.fusion
@pytest.mark.parametrize("name", ["shop", "flights"])
def test_each_node_has_a_selector_that_selects_it_alone_on_dbt_fusion(
    name: str, fusion: str, tmp_path: Path
) -> None:
    project = PROJECTS[name](tmp_path / name)
    if name == "shop":
        fusion_lines(fusion, project, "deps")
    fusion_lines(fusion, project, "parse")
    nodes = executable(read_manifest(json.loads((project / "target/manifest.json").read_text())))
    list_ids = ["ls", "--output", "json", "--output-keys", "unique_id"]
    found = []
    for node in nodes.values():
        selection = ["--indirect-selection", "empty", "--select", node_selector(node)]
        lines = fusion_lines(fusion, project, *list_ids, *selection)
        found.append({json.loads(line)["unique_id"] for line in lines})
    assert len(nodes) > 30
    assert found == [{unique_id} for unique_id in nodes]


def fusion_lines(program: str, project: Path, *line: str) -> list[str]:
    """Return the lines of JSON that dbt Fusion prints."""
    command = [program, *line, "--quiet", "--profiles-dir", "."]
    done = run(command, cwd=project, timeout=DBT_PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("{")]


def words(command: DbtCommand) -> list[str]:
    return shlex.split(str(command))[1:]


def test_a_command_is_repeated_on_some_of_its_nodes_and_no_others(answers: AnswersOf) -> None:
    lines = [
        "dbt build --select tag:nightly --exclude still --vars '{a: b}'",
        "dbt build --full-refresh --fail-fast --threads 2 --indirect-selection cautious",
        "dbt test -s orders --exclude test_type:unit",
        "dbt run --selector nightly",
        "dbt compile --models +orders.daily",
    ]
    shop = answers("shop")
    whole = shop.nodes_of(words(parse(line)) for line in lines)
    nodes = executable(read_manifest(shop.manifest))
    # every second node is taken as unsuccessful
    chosen = [_with_tested(nodes, sorted(found)[::2]) for found in whole]
    commands = [
        parse(line).selecting([node_selector(nodes[unique_id]) for unique_id in sorted(some)])
        for line, some in zip(lines, chosen, strict=True)
    ]
    assert all(chosen)
    assert any(unique_id.startswith("unit_test.") for unique_id in chosen[1])
    assert shop.nodes_of(map(words, commands)) == chosen


def _with_tested(nodes: dict[str, Entry], some: list[str]) -> set[str]:
    """Return the nodes with the models of their unit tests: `dbt build` skips both as one."""
    unit_tests = [unique_id for unique_id in some if unique_id.startswith("unit_test.")]
    return {*some, *(model for test in unit_tests for model in nodes[test].depends_on.nodes)}


LISTED = [
    "",
    "--select tag:nightly",
    "--select path:models/orders",
    "--select models/orders",
    "-s +daily+",
    "--select @users",
    "--select=tag:nightly,orders.owned+ users",
    "--select tag:nightly counted test_type:singular",
    "-s=users",
    "--select ''",
    "--select 'tag:nightly  counted '",
    "--exclude orders+ unit_test:counts",
    "--select tag:nightly --exclude owned --resource-type model test",
    "--select +owned --indirect-selection cautious --exclude users",
    "--select tag:nightly --indirect-selection buildable",
    "--exclude tag:nightly --indirect-selection cautious",
    "--select users counted orders --indirect-selection empty",
    "--select test_type:generic --indirect-selection cautious",
]
EXECUTED = [
    "dbt build -m 2+orders_then --model counted",
    "dbt build --select tag:nightly -s counted --models names",
    "dbt test --select users orders --exclude test_type:unit",
    "dbt run --select users+ still",
    "dbt seed",
    "dbt snapshot --select orders_then users_then",
]


@pytest.mark.parametrize("loaded", ["users idle", "orders", "orders users"])
def test_a_narrowed_command_executes_the_intersection_and_nothing_else(
    answers: AnswersOf, loaded: str
) -> None:
    criteria = [f"source:raw.{table}+" for table in loaded.split()]
    before = [parse(f"dbt build {options}") for options in LISTED] + [*map(parse, EXECUTED)]
    after = [command.narrowed(criteria) for command in before]

    def lines(commands: list[DbtCommand]) -> list[list[str]]:
        # `ls` lists the nodes that `build` executes, and is faster
        listed = [["ls", *words(each)[1:]] for each in commands[: len(LISTED)]]
        return [*listed, *map(words, commands[len(LISTED) :])]

    shop = answers("shop")
    (fed,) = shop.nodes_of([["ls", "--select", *criteria]])
    found = shop.nodes_of(lines(after))
    for command, whole, narrowed in zip(before, shop.nodes_of(lines(before)), found, strict=True):
        assert narrowed == whole & fed, str(command)
    assert len(fed) > 5
    assert sum(map(bool, found)) > len(before) / 2


@pytest.mark.parametrize(
    "line",
    [
        "dbt build",
        "dbt build --exclude tag:history",
        "dbt build --exclude-resource-type test unit_test --exclude tag:history",
        "dbt build --select tag:marts +fct_weather --exclude tag:reference",
        "dbt build --select 1+mart_fleet_usage,tag:marts --indirect-selection cautious",
    ],
)
def test_the_example_is_narrowed_to_the_intersection(answers: AnswersOf, line: str) -> None:
    criteria = ["source:raw.planes+", "source:raw.weather+"]
    commands = parse(line), parse(line).narrowed(criteria)
    lines = [["ls", "--select", *criteria], *(["ls", *words(each)[1:]] for each in commands)]
    fed, whole, narrowed = answers("flights").nodes_of(lines)
    assert narrowed
    assert narrowed == whole & fed


def test_a_careful_selection_of_tests_in_several_criteria_would_lose_some(
    answers: AnswersOf,
) -> None:
    # it is refused because `relationships` has a parent in each, of which one is not fed
    careful = ["ls", "--indirect-selection", "cautious", "--select"]
    crossed = ["users,source:raw.users+", "shop.orders,source:raw.users+"]
    whole, fed, narrowed = answers("shop").nodes_of(
        [*careful, *each] for each in (["users", "shop.orders"], ["source:raw.users+"], crossed)
    )
    lost = (whole & fed) - narrowed
    assert {unique_id.split(".")[2] for unique_id in lost} == {
        "relationships_orders_id__id__ref_users_"
    }


def test_dbt_lets_a_selector_replace_any_selection(answers: AnswersOf) -> None:
    shop = answers("shop_with_default")
    list_models = ["ls", "--resource-type", "model"]
    usual, selected, excluded, named, both = shop.nodes_of(
        [
            list_models,
            [*list_models, "--select", "names+"],
            [*list_models, "--exclude", "names+"],
            [*list_models, "--selector", "nightly"],
            [*list_models, "--selector", "nightly", "--select", "names+", "--exclude", "users"],
        ],
    )
    assert usual == {"model.shop.users"}
    assert selected == {"model.shop.counted"}
    assert len(excluded) > len(usual)
    assert named == both
    (error,) = shop.errors_of([[*list_models, "--select", "selector:nightly"]])
    assert "selector" in error, "dbt has no method `selector:`"
    manifest = read_manifest(shop.manifest)
    with pytest.raises(CannotNarrowError, match="by the default selector"):
        parse("dbt build").narrowed(
            ["source:raw.users+"], has_default_selector=manifest.has_default_selector
        )


def test_dbt_writes_results_if_leaves_results_is_true(answers: AnswersOf) -> None:
    steps = [
        "build",
        "clone --state built",
        "run-operation noop",
        "build --no-write-json",
        "source freshness",
        "parse",
    ]
    commands = [parse(f"dbt {step}") for step in steps]
    written = answers("shop").writes_results(map(words, commands))
    assert written == [command.leaves_results for command in commands]


VARIED = [
    ("dbt build", """dbt build --vars '{"a": 1}'"""),
    ("dbt source freshness -s b", """dbt source freshness -s b --vars '{"a": 1}'"""),
    ("dbt docs generate", """dbt docs generate --vars '{"a": 1}'"""),
    ("dbt list", """dbt list --vars '{"a": 1}'"""),
    ("dbt run-operation m --args '{b: 2}'", None),
    ("dbt --no-write-json deps", """dbt --no-write-json deps --vars '{"a": 1}'"""),
    ("dbt build --vars 'a: 2' -s b --vars '{c: it}'", None),
    # other commands are not of dbt, or take no variables
    ("dbt sl validate", "dbt sl validate"),
    ("dbt --version", "dbt --version"),
    ("make build", "make build"),
    ("dbt build 'x", "dbt build 'x"),
]


def test_variables_are_added_to_each_command_that_takes_them() -> None:
    for line, expected in VARIED:
        (changed,) = with_variables([line], {"a": 1})
        if expected is not None:
            assert changed == expected
        assert with_variables([changed], {"a": 1}) == [changed]
        assert with_variables([line], {}) == [line]


def test_the_last_variables_of_a_command_count() -> None:
    line = "dbt build --vars 'a: 2' -s b --vars='{c: it, a: 3}' --full-refresh"
    (changed,) = with_variables([line], {"a": "it's"})
    assert shlex.split(changed) == [
        *("dbt", "build", "-s", "b", "--full-refresh"),
        *("--vars", '{"c": "it", "a": "it\'s"}'),
    ]


def test_variables_that_cannot_be_merged_are_an_error_without_their_values() -> None:
    with pytest.raises(CommandError, match=r"The `--vars` of a `dbt source freshness` are not"):
        parse("dbt source freshness --vars secret").with_vars({"a": 1})
    with pytest.raises(CommandError, match="longer than 100000 characters") as caught:
        parse("dbt run").with_vars({"a": "x" * MAX_LENGTH})
    assert len(str(caught.value)) < 200


# dbt before 1.11 imports them
@pytest.mark.filterwarnings("ignore:'parser:DeprecationWarning")
@pytest.mark.dbt
def test_variables_are_added_to_all_commands_of_dbt_core() -> None:
    from dbt.cli.main import cli

    groups: list[tuple[str, Any]] = [("", cli)]
    for group, members in groups:
        for name, command in members.commands.items():
            line = f"{group} {name}".strip()
            if hasattr(command, "commands"):
                groups.append((line, command))
                continue
            has_option = any("--vars" in option.opts for option in command.params)
            (changed,) = with_variables([f"dbt {line}"], {"a": 1})
            assert ("--vars" in changed) is has_option, line
