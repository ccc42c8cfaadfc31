"""A minimal API client, independent of the package's own."""

from __future__ import annotations

from typing import Any

import requests

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.clock import DBT_PATIENCE


class Api:
    """Sends plain HTTP requests to the emulator."""

    def __init__(self, cloud: DBTCloudEmulator) -> None:
        self.cloud = cloud
        self.session = requests.Session()
        # the search for proxies and a netrc takes a quarter of a request
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Token {cloud.api_token}"
        self.account = f"{cloud.url}/api/v2/accounts/{cloud.account_id}"

    def get(self, path: str, **params: Any) -> requests.Response:
        return self.session.get(self.account + path, params=params, timeout=60)

    def post(self, path: str, body: Any = None) -> requests.Response:
        return self.session.post(self.account + path, json=body, timeout=60)

    def delete(self, path: str) -> requests.Response:
        return self.session.delete(self.account + path, timeout=60)

    def data(self, path: str, **params: Any) -> Any:
        response = self.get(path, **params)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def trigger(self, job: int, /, **overrides: Any) -> Any:
        response = self.post(f"/jobs/{job}/run/", {"cause": "A test", **overrides})
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def run(self, run_id: int, *include: str) -> Any:
        return self.data(f"/runs/{run_id}/", include_related=",".join(include))

    def ended(self, run_id: int, within: float = DBT_PATIENCE) -> Any:
        self.cloud.wait_for_run(run_id, within)
        return self.run(run_id, "trigger", "job", "run_steps", "debug_logs")
