"""A session of a client with the embedded dbt Cloud, in an environment and folder of its own."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import trustme

from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.http import RecordedRequest
from tests.interop.routes import Route, route_of
from tests.support.projects.tiny import write_tiny

# the name of the project; its environment is called Production
PROJECT = "Analytics"
PROGRAMS = Path(__file__).parent / "programs"
# seconds after which a client is stuck, however slow the machine is
STUCK = 600
# lines of a client's output that a failure quotes
QUOTED = 40
# the settings of the developer that clients must not see
FOREIGN = ("AIRFLOW_", "DAGSTER_", "DBT_", "DLT_", "PREFECT_", "PYTHON", "VIRTUAL_ENV")


class ClientError(Exception):
    """A client's program failed, or received or sent something unexpected."""


@dataclass(frozen=True)
class Client:
    """A client of dbt Cloud's API.

    Args:
        name: The name of its column in the table of routes.
        packages: The requirements of its environment.
        check: Uses the client and checks what it received and sent.
        python: The Python versions that it supports.
        https: Whether its emulator speaks https.
        refused: The requests that are refused, such as `404 GET /api/v9/`.
    """

    name: str
    packages: tuple[str, ...]
    check: Callable[[Session], None]
    python: str = ">=3.10,<3.14"
    https: bool = True
    refused: frozenset[str] = frozenset()


class Session:
    """The emulator, programs and folder of one client.

    Args:
        cloud: An emulator that only this client uses.
        folder: A temporary folder.
        programs: The folder of the programs in the client's environment.
        authority: The certificate of the authority that signed the emulator's.

    Attributes:
        project_id: A project whose jobs run real dbt on two models and a test.
        environment_id: The environment of the project.
    """

    def __init__(
        self, cloud: DBTCloudEmulator, folder: Path, programs: Path, authority: Path
    ) -> None:
        self.cloud = cloud
        self.folder = folder
        self._programs = programs
        self._authority = authority
        # the indexes of the requests that are not the client's
        self._own: set[int] = set()
        self.project_id = cloud.create_project(PROJECT, project_dir=write_tiny(folder / "tiny"))
        path = f"v3/accounts/{cloud.account_id}/projects/{self.project_id}/environments/"
        self.environment_id = int(self.call("GET", path)[0]["id"])

    @property
    def host(self) -> str:
        """The emulator's host and port."""
        return self.cloud.url.removeprefix("https://")

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests of the client, oldest first."""
        arrived = enumerate(self.cloud.requests)
        return [request for index, request in arrived if index not in self._own]

    @property
    def statuses(self) -> list[str]:
        """The status of each run, oldest first."""
        return [str(run["status_humanized"]) for run in self.cloud.runs]

    def bodies(self, method: str, path: str) -> list[Any]:
        """Return the bodies of the client's requests to a route, oldest first."""
        route = Route(method, path)
        return [each.json for each in self.requests if route_of(each) == route]

    def create_job(self, name: str = "Nightly", **options: Any) -> int:
        """Add a job to the project."""
        return self.cloud.create_job(name, project_id=self.project_id, **options)

    def trigger(self, job: int, cause: str) -> None:
        """Trigger a job and wait for its run, without the client."""
        path = f"v2/accounts/{self.cloud.account_id}/jobs/{job}/run/"
        self.cloud.wait_for_run(self.call("POST", path, {"cause": cause})["id"])

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request that does not count as the client's, and return the data."""
        response = requests.request(
            method,
            f"{self.cloud.url}/api/{path}",
            headers={"Authorization": f"Bearer {self.cloud.api_token}"},
            json=body,
            verify=str(self._authority),
            timeout=STUCK,
        )
        self._own.add(len(self.cloud.requests) - 1)
        response.raise_for_status()
        return response.json()["data"]

    def run(self, *command: str, environ: Mapping[str, str] | None = None) -> str:
        """Run a program of the client's environment and return its standard output.

        Raises:
            ClientError: The program failed.
        """
        done = subprocess.run(
            [self._programs / command[0], *command[1:]],
            cwd=self.folder,
            env={**self._environ(), **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=STUCK,
            check=False,
        )
        if done.returncode:
            lines = [*done.stdout.splitlines(), *done.stderr.splitlines()][-QUOTED:]
            raise ClientError("\n".join([f"$ {' '.join(command)}", *lines]))
        return done.stdout

    def run_json(self, *command: str, environ: Mapping[str, str] | None = None) -> Any:
        """Run a program and return the JSON value that is all or the last line of its output."""
        output = self.run(*command, environ=environ).strip()
        try:
            return json.loads(output)
        except ValueError:
            return json.loads(output.splitlines()[-1])

    def run_script(
        self, name: str, *arguments: str, environ: Mapping[str, str] | None = None
    ) -> Any:
        """Run a script of `programs/` and return the JSON value in its last line."""
        return self.run_json("python", str(PROGRAMS / name), *arguments, environ=environ)

    def _environ(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)
        }
        return {
            **inherited,
            "PATH": f"{self._programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "REQUESTS_CA_BUNDLE": str(self._authority),
            "SSL_CERT_FILE": str(self._authority),
        }


@contextmanager
def open_session(folder: Path, programs: Path, *, https: bool) -> Iterator[Session]:
    """Start an emulator, with a certificate that only its client trusts."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    certificate = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(certificate))
    with DBTCloudEmulator(ssl_context=context if https else None) as cloud:
        yield Session(cloud, folder, programs, certificate)


def expect(actual: object, wanted: object) -> None:
    """Check a value that a client or the emulator received.

    Raises:
        ClientError: It is another one.
    """
    if actual != wanted:
        raise ClientError(f"{actual!r} is not {wanted!r}")


def check_results(results: Mapping[str, Any]) -> None:
    """Check that `run_results.json` contains the models and the test of the project.

    Raises:
        ClientError: It does not.
    """
    statuses = {each["unique_id"].split(".")[2]: each["status"] for each in results["results"]}
    expect(statuses, {"numbers": "success", "doubled": "success", "not_null_numbers_id": "pass"})
