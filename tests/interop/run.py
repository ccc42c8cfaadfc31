"""Interoperability check: `dbtc` and `dbt-cloud-cli` against the embedded dbt Cloud.

    make test                                  # once, creates the environment
    .venv/bin/python tests/interop/run.py

Each client is installed in an environment of its own in `.interop/`. The clients require https, so
the emulator uses a certificate of a temporary authority that only they trust. Each client triggers
a job that runs real dbt, waits until it is finished and fetches `run_results.json`. The script
prints their output and fails if one of them does.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import trustme

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from dlt_dbtcloud.emulator import DBTCloudEmulator  # noqa: E402, needs the path above
from tests.support.tiny import write_tiny  # noqa: E402

ENVIRONMENTS = ROOT / ".interop"
# dbtc needs numpy below 2, and the newest pyarrow does not support it
CLIENTS = {
    "dbtc": ["dbtc==0.11.7", "pyarrow<19"],
    "dbt-cloud": ["dbt-cloud-cli==0.9.1"],
}


def main() -> None:
    """Install and run both clients."""
    programs = {name: install(name, packages) for name, packages in CLIENTS.items()}
    with tempfile.TemporaryDirectory() as folder:
        authority, server_side = certificates(Path(folder))
        with DBTCloudEmulator(ssl_context=server_side) as cloud:
            project = write_tiny(Path(folder) / "tiny")
            job = cloud.create_job("Nightly", execute_steps=["dbt build"], project_dir=project)
            shell = Shell(programs, client_environment(cloud, job, authority))
            with_dbtc(shell, cloud, job)
            with_dbt_cloud_cli(shell)
            assert [run["status_humanized"] for run in cloud.runs] == ["Success"] * 2
    print("\nBoth clients triggered a job, waited for its run and read its results.")


class Shell:
    """Runs the clients' programs and prints their output."""

    def __init__(self, programs: dict[str, Path], environment: dict[str, str]) -> None:
        self._programs = programs
        self._environment = environment

    def run(self, program: str, *arguments: str) -> Any:
        """Run a program and return its output as JSON."""
        print(f"\n$ {program} {' '.join(arguments)}")
        done = subprocess.run(
            [self._programs[program], *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        print(done.stdout if len(done.stdout) < 400 else f"{done.stdout[:400]} ...")
        return json.loads(done.stdout)


def with_dbtc(shell: Shell, cloud: DBTCloudEmulator, job: int) -> None:
    """Trigger a job, wait for its run and fetch the results with dbtc."""
    account = str(cloud.account_id)
    run = shell.run(
        "dbtc",
        *("trigger-job", "--account-id", account, "--job-id", str(job)),
        *("--payload", '{"cause": "dbtc"}', "--poll-interval", "1"),
    )["data"]
    results = shell.run(
        "dbtc",
        *("get-run-artifact", "--account-id", account, "--run-id", str(run["id"])),
        *("--path", "run_results.json"),
    )
    check(results)


def with_dbt_cloud_cli(shell: Shell) -> None:
    """Trigger a job, wait for its run and fetch the results with dbt-cloud-cli."""
    run = shell.run("dbt-cloud", "job", "run", "--wait", "--cause", "dbt-cloud-cli")["data"]
    fetch = ("run", "get-artifact", "--run-id", str(run["id"]), "--path", "run_results.json")
    check(shell.run("dbt-cloud", *fetch))


def check(results: Any) -> None:
    """Check and print the status of each node."""
    built = {result["unique_id"]: result["status"] for result in results["results"]}
    print("run_results.json:", built)
    assert built["model.tiny.numbers"] == "success"


def install(name: str, packages: list[str]) -> Path:
    """Install a client in its own environment, unless it is there, and return its program."""
    folder = ENVIRONMENTS / name
    program = folder / "bin" / name
    if not program.exists():
        print(f"Installing {' '.join(packages)} in {folder.relative_to(ROOT)} (once) ...")
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages]
        subprocess.run(pip, check=True)
    return program


def certificates(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Create an authority and a TLS context with its certificate for 127.0.0.1."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    return folder / "authority.pem", context


def client_environment(cloud: DBTCloudEmulator, job: int, authority: Path) -> dict[str, str]:
    """Return the environment of the clients."""
    return {
        **os.environ,
        "REQUESTS_CA_BUNDLE": str(authority),
        "SSL_CERT_FILE": str(authority),
        "DBT_CLOUD_HOST": cloud.url.removeprefix("https://"),
        "DBT_CLOUD_ACCOUNT_ID": str(cloud.account_id),
        "DBT_CLOUD_JOB_ID": str(job),
        "DBT_CLOUD_SERVICE_TOKEN": cloud.api_token,
        "DBT_CLOUD_API_TOKEN": cloud.api_token,
    }


if __name__ == "__main__":
    main()
