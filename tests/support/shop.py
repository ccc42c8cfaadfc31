"""A dbt project and a package with many names that are easily confused."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from tests.support.clock import DBT_PATIENCE
from tests.support.processes import run

LONG = [10**8 + number for number in range(12)]
FILES = {
    "dbt_project.yml": """
name: shop
version: "1.0"
profile: shop
models:
  shop:
    +materialized: view
  shared:
    +schema: shared
snapshots:
  shop:
    +strategy: check
    +unique_key: id
    +check_cols: all
flags:
  # as before dbt 1.10
  require_resource_names_without_spaces: false
  # as since dbt 1.11
  require_generic_test_arguments_property: true
""",
    "profiles.yml": """
shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: shop.duckdb, schema: main, threads: 1}
""",
    "packages.yml": "packages: [{local: packages/shared}]",
    "packages/shared/dbt_project.yml": "name: shared\nversion: '1.0'",
    # the same path behind the package's name, and the same name
    "packages/shared/models/same.sql": "select 1 as id",
    "packages/shared/models/orders.sql": "select * from {{ ref('same') }}",
    "models/shared/same.sql": "select 2 as id",
    # a model beside a folder of its name
    "models/orders.sql": (
        "{{ config(tags='nightly') }} select id from {{ source('raw', 'orders') }}"
    ),
    "models/orders/daily.sql": "select id from {{ ref('shop', 'orders') }}",
    "models/orders/owned.sql": (
        "{{ config(tags='nightly') }} select o.id from {{ ref('shop', 'orders') }} o "
        "join {{ ref('users') }} u using (id)"
    ),
    "models/orders/off.sql": "{{ config(enabled=false) }} select 1 as id",
    "models/users.sql": "{{ config(tags='nightly') }} select id from {{ source('raw', 'users') }}",
    "models/counted.sql": "select count(*) as n from {{ ref('users') }}, {{ ref('names') }}",
    "models/still.sql": "{{ config(tags='nightly') }} select 1 as id",
    # version 2 of `priced` beside a model `v2` in a folder `priced`
    "models/priced_v1.sql": "select 1 as id",
    "models/priced_v2.sql": "select id from {{ ref('shop', 'orders') }}",
    "models/priced/v2.sql": "select 1 as id",
    "models/priced.dotted.sql": "select 1 as id",
    "models/schema.yml": f"""
sources:
  - name: raw
    schema: raw
    tables:
      - name: orders
        columns: [{{name: id, data_tests: [not_null]}}]
      - name: users
      - name: idle
exposures:
  - name: orders
    type: dashboard
    owner: {{name: x}}
    depends_on: ["ref('shop', 'orders')"]
models:
  - name: orders
    columns:
      - name: id
        data_tests:
          - not_null
          - accepted_values:
              arguments: {{values: {json.dumps(LONG)}, quote: false}}
              config: {{severity: warn}}
          - relationships:
              arguments: {{to: "ref('users')", field: id}}
          - unique: {{name: "orders"}}
  - name: priced
    latest_version: 2
    columns: [{{name: id, data_tests: [not_null]}}]
    versions: [{{v: 1}}, {{v: 2}}]
unit_tests:
  - name: counts
    model: counted
    given:
      - {{input: "ref('users')", rows: [{{id: 1}}]}}
      - {{input: "ref('names')", rows: [{{id: 1}}]}}
    expect: {{rows: [{{n: 1}}]}}
  - name: counts
    model: users
    given: [{{input: "source('raw', 'users')", rows: [{{id: 1}}]}}]
    expect: {{rows: [{{id: 1}}]}}
  - name: prices
    model: priced
    versions: {{include: [2]}}
    given: [{{input: "ref('shop', 'orders')", rows: [{{id: 1}}]}}]
    expect: {{rows: [{{id: 1}}]}}
""",
    "models/orders/schema.yml": """
models:
  - name: daily
    columns:
      - name: id
        data_tests:
          - unique: {name: "orders"}
          - not_null: {name: "every [order] has an id, *always*"}
          - not_null: {name: "every [order] has an id, or else+1", config: {severity: warn}}
""",
    "seeds/names.csv": "id,name\n1,one\n",
    "seeds/seeds.yml": "seeds: [{name: names, columns: [{name: id, data_tests: [unique]}]}]",
    "snapshots/orders.sql": """
{% snapshot orders_then %}select id from {{ ref('shop', 'orders') }}{% endsnapshot %}
{% snapshot users_then %}select id from {{ ref('users') }}{% endsnapshot %}
""",
    "snapshots/more.yml": """snapshots: [{name: daily_then, relation: "ref('daily')"}]""",
    "analyses/orders.sql": "select 1",
    # a test of a model's name, with two parents
    "tests/orders.sql": "select 1 from {{ ref('users') }}, {{ ref('daily') }} where false",
    "macros/noop.sql": "{% macro noop() %}{% endmacro %}",
    "selectors.yml": """
selectors:
  - {name: nightly, definition: {method: tag, value: nightly}}
  - {name: usual, default: true, definition: {method: fqn, value: users}}
""",
}

# each runs in its own process, because dbt keeps global state
_NODES = """
from dbt.cli.main import dbtRunner

manifest = None
if sys.argv[1] == "once":
    manifest = dbtRunner().invoke(["--quiet", "parse"]).result
for words in lines:
    done = dbtRunner(manifest=manifest).invoke(["--quiet", *words])
    if done.exception:
        answers.append(str(done.exception))
    elif words[0] == "ls":
        answers.append([json.loads(line)["unique_id"] for line in done.result])
    else:
        results = getattr(done.result, "results", [])
        answers.append([each.node.unique_id for each in results if hasattr(each, "node")])
"""
_OPTIONS = """
from dbt.cli.main import cli

for name, *words in lines:
    try:
        params = cli.commands[name].make_context(name, words).params
        answers.append({key: params[key] for key in ("select", "exclude", "selector")})
    except Exception as error:
        answers.append(str(error))
"""
_KINDS = """
from dbt.cli.main import cli
from dbt.cli.options import MultiOption

def collect(command):
    for option in command.params:
        if isinstance(option, MultiOption):
            greedy.update(option.opts)
        elif not getattr(option, "is_flag", True) and "deprecated" not in option.opts[0]:
            valued.update(option.opts)
    for each in getattr(command, "commands", {}).values():
        collect(each)

greedy, valued = set(), set()
collect(cli)
answers = [sorted(greedy), sorted(valued)]
"""


def write_shop(folder: Path, *, has_default: bool = False) -> Path:
    """Write the project and its source tables, and install its package."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if not has_default:
        text = FILES["selectors.yml"].replace("default: true, ", "")
        (folder / "selectors.yml").write_text(text)
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        connection.execute("create schema raw")
        for table in ("orders", "users", "idle"):
            connection.execute(f"create table raw.{table} as select 1 as id")
    nodes_of(folder, [["deps"]])
    return folder


def nodes_of(project: Path, lines: Iterable[list[str]], *, once: bool = False) -> list[Any]:
    """Return the unique ids that each dbt command executes or lists, or its error.

    Args:
        project: Its folder.
        lines: The words of each that follow `dbt`.
        once: Parse the project only once, for commands that all see it alike.
    """
    answers = _answers(_NODES, lines, project, "once" if once else "each time")
    return [set(answer) if isinstance(answer, list) else answer for answer in answers]


def options_of(lines: Iterable[list[str]]) -> list[Any]:
    """Return the selection that dbt's parser finds in each command, or its error."""
    return _answers(_OPTIONS, lines)


def kinds_of_options() -> list[set[str]]:
    """Return dbt's options that take many words, and those that take one word."""
    return [set(names) for names in _answers(_KINDS, [])]


def _answers(
    code: str, lines: Iterable[list[str]], folder: Path | None = None, mode: str = ""
) -> list[Any]:
    program = f"import json, sys\nlines, answers = json.load(sys.stdin), []\n{code}"
    done = run(
        [sys.executable, "-c", f"{program}\nprint('ANSWERS', json.dumps(answers))", mode],
        input=json.dumps(list(lines)),
        cwd=folder,
        env={**os.environ, "DO_NOT_TRACK": "1", "DBT_PROFILES_DIR": "."},
        timeout=DBT_PATIENCE,
    )
    assert "ANSWERS" in done.stdout, done.stdout + done.stderr
    answers: list[Any] = json.loads(done.stdout.rpartition("ANSWERS")[2])
    return answers
