"""The embedded dbt Cloud: what a test or a script starts, fills and looks into."""

from __future__ import annotations

import atexit
import secrets
from ssl import SSLContext
from types import TracebackType
from typing import cast

from dlt_dbtcloud.emulator.app import App
from dlt_dbtcloud.emulator.contents import Contents
from dlt_dbtcloud.emulator.faults import KINDS, WHENS, Fault, Kind, When
from dlt_dbtcloud.emulator.recording import RecordedRequest
from dlt_dbtcloud.emulator.resources import Resources
from dlt_dbtcloud.emulator.routes import endpoints
from dlt_dbtcloud.emulator.web import HOST, Server, listen
from dlt_dbtcloud.typing import Run

MAX_PORT = 65535

__all__ = ["DBTCloudEmulator"]


class DBTCloudEmulator(Contents):
    """A dbt Cloud on loopback that runs real dbt Core, or ends its runs as told.

    Args:
        port: Where it listens on 127.0.0.1; 0 takes a free port.
        api_token: The token that it lets in, by default a random one.
        account_id: The id of its account.
        ssl_context: With one, it speaks https.

    Raises:
        ValueError: The port or the account's id is none.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        api_token: str | None = None,
        account_id: int | None = None,
        ssl_context: SSLContext | None = None,
    ) -> None:
        if not 0 <= port <= MAX_PORT:
            raise ValueError(f"`port` is a number from 0 to {MAX_PORT}, not {port}.")
        self.api_token = api_token or secrets.token_hex(20)
        super().__init__(account_id, self.api_token)
        self._app = App(
            self._state, (Resources(self._state), self._jobs, self._runs), self.api_token
        )
        self._port = port
        self._tls = ssl_context
        self._server: Server | None = None

    def start(self) -> DBTCloudEmulator:
        """Start to listen.

        Raises:
            OSError: The port cannot be had.
            RuntimeError: It listens already.
        """
        if self._server is not None:
            raise RuntimeError(f"The embedded dbt Cloud listens already, at {self.url}.")
        with listen(self._port) as listener:
            self._port = listener.getsockname()[1]
            server = Server(self._app, listener, self._tls)
        self._runs.url = self.url
        self._server = server
        server.start()
        atexit.register(self.stop)
        return self

    def stop(self) -> None:
        """Stop to listen, end what dbt is doing, and remove what the runs left."""
        server, self._server = self._server, None
        if server is None:
            return
        atexit.unregister(self.stop)
        self._app.faults.clear()
        server.stop()
        self._scheduler.stop()

    def reset(self) -> None:
        """Begin anew, with what is there at the start; ids go on rising, what dbt does is ended."""
        self._scheduler.stop()
        with self._state.changed:
            self._begin()
            self._app.requests.clear()
        self._app.faults.clear()

    def __enter__(self) -> DBTCloudEmulator:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"DBTCloudEmulator({self.url!r}, account_id={self.account_id})"

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"{'https' if self._tls else 'http'}://{HOST}:{self._port}"

    @property
    def runs(self) -> list[Run]:
        """The runs that were enqueued, oldest first, with their trigger, job and steps."""
        include = ("trigger", "job", "run_steps")
        with self._state.changed:
            runs = self._state.runs()
            return [cast("Run", self._runs.describe(run, include)) for run in runs]

    @property
    def requests(self) -> list[RecordedRequest]:
        """What clients have asked, in the order of the answers, without headers."""
        with self._state.changed:
            return list(self._app.requests)

    @property
    def struck(self) -> list[tuple[str, Kind]]:
        """The faults that have happened so far, as route and kind."""
        return list(self._app.faults.struck)

    def environment(self) -> dict[str, str]:
        """Give the environment variables that point a client at it."""
        return {
            "DBT_CLOUD__API_TOKEN": self.api_token,
            "DBT_CLOUD__ACCOUNT_ID": str(self.account_id),
            "DBT_CLOUD__BASE_API_URL": f"{self.url}/api",
        }

    def fail(
        self,
        route: str,
        kind: Kind,
        *,
        when: When = "after",
        calls: int | None = 1,
        skip: int = 0,
        status: int = 503,
        retry_after: float | None = None,
        seconds: float = 1.0,
        run_id: int | None = None,
    ) -> None:
        """Let a fault happen to the next requests of a route.

        Args:
            route: The name of what is asked for: `trigger_job`, `get_run`, `list_runs`,
                `cancel_run`, `retry_run`, `get_artifact` ...
            kind: What happens: `status` (an error without envelope), `html` (a page), `half` (of
                the JSON), `cut` (no answer), `hang` (no answer for `seconds`, then a cut), `slow`
                (the answer in pieces, over `seconds`), `late` (504 now, the effect `seconds`
                later) or `rate_limit` (429).
            when: Whether it happens before or after the request took effect; `slow` comes after,
                `late` and `rate_limit` come before.
            calls: To how many requests it happens; None: to all.
            skip: How many are spared before.
            status: The status of `status` and `html`.
            retry_after: The header of `rate_limit`, in seconds; None: there is none.
            seconds: How long or how late.
            run_id: The run to whose requests it happens; None: to those of all.

        Raises:
            ValueError: There is no such route, kind or time.
        """
        known = {"route": (route, endpoints()), "kind": (kind, KINDS), "when": (when, WHENS)}
        for name, (value, values) in known.items():
            if value not in values:
                raise ValueError(f"`{name}={value!r}` is none of {', '.join(values)}.")
        fault = Fault(kind, when, calls, skip, status, retry_after, seconds, run_id)
        self._app.faults.add(route, fault)

    def heal(self) -> None:
        """Let no fault happen any more, and let go of what hangs."""
        self._app.faults.clear()

    def wait_for_run(self, run_id: int, timeout: float = 60.0) -> Run:
        """Wait for the end of a run.

        Args:
            run_id: The run.
            timeout: How long to wait, in seconds.

        Returns:
            The run, with its trigger, job and steps.

        Raises:
            TimeoutError: It goes on for longer.
            ValueError: There is no such run.
        """
        with self._state.changed:
            run = self._state.any_run(run_id)
            if run is None:
                raise ValueError(f"There is no run {run_id}.")
            if not self._state.changed.wait_for(lambda: run.is_finished, timeout):
                raise TimeoutError(f"Run {run_id} has not ended within {timeout} seconds.")
            return cast("Run", self._runs.describe(run, ("trigger", "job", "run_steps")))
