"""A dbt project with all that lineage has to get right, and what a run of it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.typing import NodeResult, Run
from tests.emulator.api import Api

COMMANDS = [
    "dbt build --exclude broken+ accepted_values_sorts_colour__green",
    "dbt docs generate",
    "dbt build --select broken+ accepted_values_sorts_colour__green",
]
FILES = {
    "dbt_project.yml": """
name: orchard
version: "1.0"
profile: orchard
flags: {send_anonymous_usage_stats: false}
models: {orchard: {+materialized: table}}
""",
    "profiles.yml": """
orchard:
  target: dev
  outputs: {dev: {type: duckdb, path: orchard.duckdb, schema: marts, threads: 1}}
""",
    "seeds/sorts.csv": "sort,colour\nboskoop,red\n",
    "seeds/schema.yml": """
seeds:
  - name: sorts
    columns:
      - name: colour
        data_tests:
          - accepted_values:
              arguments: {values: [green]}
""",
    "models/picked.sql": """
{{ config(materialized="ephemeral") }}
select sort, kilos from {{ source("raw", "harvest") }}
""",
    "models/juice.sql": "select sort, kilos / 2 as litres from {{ ref('picked') }}",
    "models/prices_v1.sql": "select * from {{ ref('sorts') }}",
    "models/prices_v2.sql": """
select sorts.sort, juice.litres
from {{ ref("sorts") }} as sorts join {{ ref("juice") }} as juice using (sort)
""",
    "models/broken.sql": "select no_such_column from {{ ref('juice') }}",
    "models/after_broken.sql": "select * from {{ ref('broken') }}",
    "snapshots/sorts_history.yml": """
snapshots:
  - name: sorts_history
    relation: ref('sorts')
    config: {unique_key: sort, strategy: check, check_cols: all}
""",
    "models/schema.yml": """
groups:
  - name: press
    owner: {name: The press, email: press@example.com}
sources:
  - name: raw
    tables:
      - name: harvest
        identifier: harvest_2025
        description: What dlt loaded.
models:
  - name: juice
    description: What is pressed.
    config:
      group: press
      tags: [liquid]
      meta: {bottled: true}
    columns:
      - name: sort
        description: Of apples.
        data_tests:
          - not_null
          - accepted_values:
              arguments: {values: [boskoop]}
              config: {severity: warn}
      - name: litres
  - name: prices
    latest_version: 2
    versions:
      - v: 1
      - v: 2
        config: {alias: price_list}
""",
}


@dataclass(frozen=True)
class Orchard:
    """A run, and its artifacts."""

    run: Run
    manifest: dict[str, Any]
    catalog: dict[str, Any]
    results: list[NodeResult]
    compiled_code: dict[str, str]


def run_orchard(folder: Path) -> Orchard:
    """Run the project's steps on the embedded dbt Cloud."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with duckdb.connect(str(folder / "orchard.duckdb")) as connection:
        connection.execute("create schema raw")
        connection.execute("create table raw.harvest_2025 (sort varchar, kilos double)")
        connection.execute("insert into raw.harvest_2025 values ('boskoop', 8), ('elstar', 8)")
    with DBTCloudEmulator() as cloud:
        job = cloud.create_job("Press", project_dir=folder, execute_steps=COMMANDS)
        return _fetch(Api(cloud), job)


def _fetch(api: Api, job: int) -> Orchard:
    with api.session:
        run = api.ended(api.trigger(job)["id"])
        files = f"/runs/{run['id']}/artifacts"
        results: list[NodeResult] = []
        compiled: dict[str, str] = {}
        for step in run["run_steps"]:
            found = api.get(f"{files}/run_results.json", step=step["index"])
            if found.status_code == 200:
                results += node_results(run["id"], step["index"], step["name"], found.json())
                compiled |= {r["unique_id"]: r["compiled_code"] for r in found.json()["results"]}
        return Orchard(
            run,
            api.get(f"{files}/manifest.json").json(),
            api.get(f"{files}/catalog.json", step=run["run_steps"][-2]["index"]).json(),
            results,
            compiled,
        )


def node_results(run_id: int, step: int, name: str, found: dict[str, Any]) -> list[NodeResult]:
    command = name.split("`")[1]
    return [_node_result(run_id, step, command, result) for result in found["results"]]


def _node_result(run_id: int, step: int, command: str, result: dict[str, Any]) -> NodeResult:
    kind, _, name, *_ = result["unique_id"].split(".")
    executed = [timing for timing in result["timing"] if timing["name"] == "execute"]
    times = executed[0] if executed else {"started_at": None, "completed_at": None}
    return NodeResult(
        run_id=run_id,
        step_index=step,
        command=command,
        unique_id=result["unique_id"],
        name=name,
        resource_type=kind,
        status=result["status"],
        message=result["message"],
        failures=result["failures"],
        execution_time=result["execution_time"],
        thread_id=result["thread_id"],
        started_at=times["started_at"],
        completed_at=times["completed_at"],
        rows_affected=result["adapter_response"].get("rows_affected"),
        relation_name=result["relation_name"],
        path=None,
    )
