"""A dbt project with every case of lineage, and a run of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from dlt_dbtcloud.artifacts.reader import RunReader
from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.lineage.outcomes import Outcome, read_outcomes
from dlt_dbtcloud.payloads import RELATED
from dlt_dbtcloud.typing import Run
from tests.support.dbt.recordings import Recorder, Replay
from tests.support.projects.fusion import create_database
from tests.support.servers.emulator_api import Api

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
flags:
  send_anonymous_usage_stats: false
  # as since dbt 1.11
  require_generic_test_arguments_property: true
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
    """A run and the outcomes of its steps."""

    run: Run
    outcomes: list[Outcome]
    dbt_version: str


def write_orchard(folder: Path, files: Mapping[str, str] | None = None) -> None:
    """Write the project and its database to a folder.

    Args:
        folder: The folder.
        files: Further files of the project, or other contents of its own.
    """
    database = folder / "orchard.duckdb"
    create_database(str(database))
    with duckdb.connect(str(database)) as connection:
        connection.execute("create schema raw")
        connection.execute("create table raw.harvest_2025 (sort varchar, kilos double)")
        connection.execute("insert into raw.harvest_2025 values ('boskoop', 8), ('elstar', 8)")
    for name, text in {**FILES, **(files or {})}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def run_orchard(cloud: DBTCloudEmulator, jobs: Replay | Recorder, folder: Path) -> Orchard:
    """Run the project's steps on the embedded dbt Cloud, or replay them there."""
    if isinstance(jobs, Recorder):
        write_orchard(folder)
    job = jobs.create_job("Press", project_dir=folder, execute_steps=COMMANDS)
    api = Api(cloud)
    with api.session:
        run_id = api.ended(api.trigger(job)["id"])["id"]
    with DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url) as client:
        reader = RunReader(client, client.get_run_status(run_id, RELATED), keeps_code=True)
        version = reader.read_manifest().dbt_version
        assert version
        return Orchard(reader.read_run(), read_outcomes(reader), version)
