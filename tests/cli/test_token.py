"""No command prints the configured token, even if dbt Cloud quotes it."""

from __future__ import annotations

import pytest

from dlt_dbtcloud.client import DBTCloudClientV2
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.cli.conftest import Cli
from tests.support.dbt.nodes import BUILT, FAILED_FILES


@pytest.fixture
def quoting(cloud: DBTCloudEmulator, client: DBTCloudClientV2) -> DBTCloudEmulator:
    """Return an emulator with a job, and a failed run of it, that quote the token."""
    failed = {**BUILT, "status": "error", "message": f"rejected: {cloud.api_token}"}
    job = cloud.create_job(
        f"Nightly {cloud.api_token}",
        execute_steps=f"dbt build --vars '{{key: {cloud.api_token}}}'",
        outcome="error",
        artifacts={
            **FAILED_FILES,
            "run_results.json": {"results": [failed]},
            f"{cloud.api_token}.txt": b"",
        },
    )
    client.trigger_job_run(job, {"cause": f"by {cloud.api_token}"})
    return cloud


COMMANDS = (
    *("status RUN", "results RUN", "logs RUN", "logs RUN --follow", "artifacts list RUN"),
    *("cancel RUN", "jobs", "runs", "run JOB", "plan JOB --no-only-loaded", "check JOB"),
)


def test_a_quoted_token_is_not_printed(cli: Cli, quoting: DBTCloudEmulator) -> None:
    (run,) = quoting.runs
    ids = {"RUN": run["id"], "JOB": run["job_definition_id"]}
    for words in COMMANDS:
        for options in ([], ["--json"]):
            done = cli(*(ids.get(word, word) for word in words.split()), *options)
            assert "***" in done.out + done.err, words
            assert quoting.api_token not in done.out, words
            assert quoting.api_token not in done.err, words
            if options:
                assert done.json, words
