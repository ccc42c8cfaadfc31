"""The example project on real dbt, with some days of flights loaded by a pipeline."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import dlt
import duckdb
from dlt.extract import DltSource

from dlt_dbtcloud import get_dbt_cloud_run_results
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.typing import NodeResult
from tests.support.dbt.recordings import Recorder, Replay
from tests.support.loading.loads import load_tables
from tests.support.loading.warehouse import shared_warehouse, warehouse
from tests.support.processes.children import run
from tests.support.projects.fusion import create_database

EXAMPLES = Path(__file__).parents[3] / "examples"


class Flights:
    """A copy of the project, a database, and jobs that build the project there.

    Args:
        cloud: The emulator that has the jobs, or a recording of them.
        folder: The folder of the copies.
        dbt_executable: The dbt program of the jobs, by default dbt Core's.
    """

    def __init__(
        self,
        cloud: DBTCloudEmulator | Replay | Recorder,
        folder: Path,
        dbt_executable: str | None = None,
    ) -> None:
        self.project = folder / "flights_dbt"
        self.database = str(folder / "flights.duckdb")
        self._cloud = cloud
        self._is_real = not isinstance(cloud, Replay)
        self._dbt_executable = dbt_executable
        if self._is_real:
            create_database(self.database)
        # a replay of dbt does not open the file
        destination = shared_warehouse if self._is_real else warehouse
        self.pipeline = dlt.pipeline(
            "flights", destination=destination(self.database), dataset_name="raw"
        )
        shutil.copytree(EXAMPLES / "flights_dbt", self.project)

    def load(self, *tables: str, days: int = 1) -> None:
        """Load some of the tables, by default all."""
        source = flights_source(days)
        self.pipeline.run(source.with_resources(*tables) if tables else source)

    def load_for_dbt(self, *tables: str) -> None:
        """Load some tables, and the tables that dbt reads by another pipeline.

        A replay of dbt reads no tables, so each table gets one row.
        """
        if self._is_real:
            others = dlt.pipeline(
                "before", destination=self.pipeline.destination, dataset_name="raw"
            )
            others.run(flights_source(1))
            self.pipeline.activate()
        if tables and self._is_real:
            self.load(*tables)
        elif tables:
            load_tables(self.pipeline, *tables)

    def job(self, *steps: str, name: str = "Nightly", **options: Any) -> int:
        """Create a job on the project."""
        return self._cloud.create_job(
            name,
            execute_steps=list(steps or ("dbt build",)),
            project_dir=self.project,
            environ={"FLIGHTS_DUCKDB": self.database},
            **{"dbt_executable": self._dbt_executable, **options},
        )

    def sql(self, statement: str) -> list[Any]:
        """Execute a statement; no other connection may be open."""
        with duckdb.connect(self.database) as connection:
            return connection.execute(statement).fetchall()

    def change(self, statement: str) -> None:
        """Change the tables that dbt reads, unless dbt is replayed."""
        if self._is_real:
            self.sql(statement)

    def make_times_impossible(self) -> None:
        """Make `fct_flights` fail, on which 30 nodes depend."""
        self.change("UPDATE raw.flights SET dep_time = 9999 WHERE dep_time = 517")

    def make_times_possible(self) -> None:
        """Repair the row that makes `fct_flights` fail."""
        self.change("UPDATE raw.flights SET dep_time = 517 WHERE dep_time = 9999")

    def listed(self, *words: str) -> set[str]:
        """Return the names of the nodes that `dbt ls` lists, without sources."""
        done = run(
            [
                str(Path(sys.executable).with_name("dbt")),
                "ls",
                "--quiet",
                "--output",
                "json",
                *words,
            ],
            cwd=self.project,
            env={
                **os.environ,
                "FLIGHTS_DUCKDB": self.database,
                "DBT_TARGET_PATH": f"{self.database}.target",
            },
        )
        assert done.returncode == 0, done.stdout + done.stderr
        nodes = [json.loads(line) for line in done.stdout.splitlines()]
        return {node["name"] for node in nodes if node["resource_type"] != "source"}

    def add(self, path: str, text: str) -> None:
        """Write a file of the project."""
        file = self.project / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def flights_source(days: int) -> DltSource:
    """Return the source of the example."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        from flights import nycflights
    finally:
        sys.path.remove(str(EXAMPLES))
    source: DltSource = nycflights(days)
    return source


def own_results(run_id: int | None) -> list[NodeResult]:
    """Return the results of a run without those of the runs that it retries."""
    return [each for each in get_dbt_cloud_run_results(run_id=run_id) if each["run_id"] == run_id]


def executed(run_id: int | None) -> set[str]:
    """Return the names of the nodes that a run has executed."""
    return {each["name"] for each in own_results(run_id)}


def statuses(results: list[NodeResult]) -> Counter[str]:
    """Count results by status."""
    return Counter(each["status"] for each in results)
