"""Embedded dbt Cloud server, for tests and local development."""

from __future__ import annotations

import atexit
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Any, cast

from dlt_dbtcloud.emulator.api.account import Account
from dlt_dbtcloud.emulator.api.jobs import Jobs
from dlt_dbtcloud.emulator.api.resources import Resources
from dlt_dbtcloud.emulator.api.runs import Runs
from dlt_dbtcloud.emulator.api.variables import Variables
from dlt_dbtcloud.emulator.dbt.folder import remove_abandoned
from dlt_dbtcloud.emulator.dbt.forks import SHARED
from dlt_dbtcloud.emulator.dbt.project import find_project
from dlt_dbtcloud.emulator.errors import ApiError
from dlt_dbtcloud.emulator.faults import Fault, Faults, Kind, RateLimit, When
from dlt_dbtcloud.emulator.http import HOST, App, RecordedRequest, Server, UnhandledRequest, listen
from dlt_dbtcloud.emulator.models import NewTimer, Outcome
from dlt_dbtcloud.emulator.pages.cache import Cache
from dlt_dbtcloud.emulator.pages.handlers import Pages
from dlt_dbtcloud.emulator.scheduler import Scheduler, new_script
from dlt_dbtcloud.emulator.state import State
from dlt_dbtcloud.typing import Run

__all__ = ["DBTCloudEmulator"]

DEFAULT_ACCOUNT_ID = 70403
MAX_PORT = 65535
RELATED = ("trigger", "job", "run_steps")


class DBTCloudEmulator:
    """An embedded dbt Cloud on loopback that speaks the Administrative API v2.

    A job with a dbt project runs real dbt Core; any other job is scripted. Use it as a context
    manager, or call `start` and `stop`. It starts with one account, project and environment.

    API: https://docs.getdbt.com/dbt-cloud/api-v2

    Args:
        port: The port on 127.0.0.1; 0 takes a free one.
        api_token: The only accepted API token; a random one by default.
        account_id: The id of the account, from 1.
        ssl_context: The TLS context for https; plain http by default.
        new_timer: Makes the timers of scripted runs, timeouts and late effects, injectable for
            tests.
        page_clock: Returns the seconds by which live pages are made again, injectable for tests.

    Attributes:
        api_token: The only accepted API token.
        account_id: The id of the account that the token belongs to.

    Raises:
        ValueError: `port` or `account_id` is out of range.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        api_token: str | None = None,
        account_id: int | None = None,
        ssl_context: SSLContext | None = None,
        new_timer: NewTimer = threading.Timer,
        page_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 <= port <= MAX_PORT:
            raise ValueError(f"`port` must be a number from 0 to {MAX_PORT}, not {port}.")
        self.api_token = api_token or secrets.token_hex(20)
        self.account_id = DEFAULT_ACCOUNT_ID if account_id is None else account_id
        if self.account_id < 1:
            raise ValueError(f"`account_id` must be a number from 1, not {account_id}.")
        self._state = State()
        self._add_default_account()
        self._scheduler = Scheduler(self._state, self.api_token, new_timer)
        self._runs = Runs(self._state, self._scheduler, lambda: self.url)
        self._jobs = Jobs(self._state, self._scheduler, self._runs)
        others = [each(self._state) for each in (Resources, Account, Variables)]
        pages = Pages(self._state, self._runs, self.account_id, self.api_token, Cache(page_clock))
        handlers = (*others, self._jobs, self._runs, pages)
        self._app = App(self._state, handlers, self.api_token, Faults(new_timer))
        self._port = port
        self._tls = ssl_context
        self._server: Server | None = None

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
        """The base URL without a path, for example `http://127.0.0.1:41233`."""
        return f"{'https' if self._tls else 'http'}://{HOST}:{self._port}"

    def environment(self) -> dict[str, str]:
        """Return the `DBT_CLOUD__*` variables that point this package at the emulator.

        Returns:
            The token, account id and API URL, by name of the environment variable.
        """
        return {
            "DBT_CLOUD__API_TOKEN": self.api_token,
            "DBT_CLOUD__ACCOUNT_ID": str(self.account_id),
            "DBT_CLOUD__BASE_API_URL": f"{self.url}/api",
        }

    def start(self) -> DBTCloudEmulator:
        """Start listening, in a thread of its own.

        A stopped emulator can start again: on the same port, with the same jobs and runs. Files
        of emulators whose processes were killed are deleted.

        Returns:
            The emulator itself.

        Raises:
            OSError: The port is in use or not permitted.
            RuntimeError: The emulator is already listening.
        """
        if self._server is not None:
            raise RuntimeError(f"The embedded dbt Cloud is already listening at {self.url}.")
        with listen(self._port) as listener:
            self._port = listener.getsockname()[1]
            server = Server(self._app, listener, self._tls)
        self._server = server
        remove_abandoned()
        server.start()
        SHARED.acquire(self)
        atexit.register(self.stop)
        return self

    def stop(self) -> None:
        """Stop listening, cancel unfinished runs and delete the files of dbt runs.

        Does nothing if the emulator is not listening.
        """
        server, self._server = self._server, None
        if server is None:
            return
        atexit.unregister(self.stop)
        self._app.faults.clear()
        server.stop()
        self._scheduler.stop()
        SHARED.release(self)

    def reset(self) -> None:
        """Return to the initial account, project and environment.

        Cancels unfinished runs, removes all faults, the limit of requests and recorded requests,
        and closes the connections that clients keep alive. Ids are not reused.
        """
        self._app.faults.clear()
        with self._state.changed:
            # what a thread triggers from now on finds no job
            runs = self._state.runs()
            self._add_default_account()
            self._app.requests.clear()
            self._app.unhandled.clear()
        self._scheduler.clear(runs)
        if self._server is not None:
            self._server.disconnect()

    def create_account(self, name: str = "Another account", *, visible: bool = False) -> int:
        """Add an account with a project and an environment.

        Args:
            name: The account's name.
            visible: Whether the token has access; without it the API answers 404.

        Returns:
            The account id.
        """
        return self._state.add_account(None, name, visible=visible)

    def create_project(
        self,
        name: str,
        *,
        project_dir: str | Path | None = None,
        profiles_dir: str | Path | None = None,
        environ: Mapping[str, str] | None = None,
        dbt_executable: str | None = None,
        account_id: int | None = None,
    ) -> int:
        """Add a project with an environment.

        Args:
            name: The project's name.
            project_dir: The folder of a dbt project; with it, the project's jobs run real dbt.
            profiles_dir: The folder of `profiles.yml`; `project_dir` by default.
            environ: Environment variables for dbt, on top of the inherited ones.
            dbt_executable: The dbt program; by default the one beside Python or on the `PATH`.
            account_id: The account; the token's by default.

        Returns:
            The project id.

        Raises:
            FileNotFoundError: `dbt_project.yml` or `profiles.yml` does not exist.
            DbtMissingError: dbt is not installed.
        """
        dbt_project = find_project(project_dir, profiles_dir, environ, dbt_executable)
        account = self.account_id if account_id is None else account_id
        return self._state.add_project(account, {"name": name}, dbt_project).id

    def create_job(
        self,
        name: str = "Job",
        *,
        execute_steps: str | Sequence[str] = ("dbt build",),
        project_dir: str | Path | None = None,
        profiles_dir: str | Path | None = None,
        environ: Mapping[str, str] | None = None,
        dbt_executable: str | None = None,
        outcome: Outcome | Sequence[Outcome] | None = None,
        duration: float | None = 0.0,
        artifacts: Mapping[str, Any] | None = None,
        target_name: str | None = None,
        threads: int | None = None,
        timeout_seconds: int = 0,
        generate_docs: bool = False,
        run_generate_sources: bool = False,
        deactivated: bool = False,
        account_id: int | None = None,
        project_id: int | None = None,
        environment_id: int | None = None,
    ) -> int:
        """Add a job: real dbt with `project_dir` or a project that has one, else scripted.

        Args:
            name: The job's name.
            execute_steps: One dbt command or several, such as `dbt build --select orders+`.
            project_dir: The folder of a dbt project, which is also dbt's working directory.
            profiles_dir: The folder of `profiles.yml`; `project_dir` by default.
            environ: Environment variables for dbt, on top of the inherited ones.
            dbt_executable: The dbt program; by default the one beside Python or on the `PATH`.
            outcome: The outcome of scripted runs: `success`, `error` or `cancelled`. A sequence
                gives one per run and repeats its last. `success` by default.
            duration: The duration of scripted runs in seconds; None waits for `finish_run`.
            artifacts: The files of each dbt command of scripted runs, as bytes or JSON values by
                path below `target/`. By default those of an empty dbt project.
            target_name: The dbt target; the profile's by default.
            threads: The number of dbt threads; the profile's by default.
            timeout_seconds: The maximum duration of a run in seconds; 0 means unlimited.
            generate_docs: Whether `dbt docs generate` runs after the commands.
            run_generate_sources: Whether `dbt source freshness` runs before the commands.
            deactivated: Whether triggers are refused.
            account_id: The account; the token's by default.
            project_id: The project; by default the first of the account.
            environment_id: The environment; by default the first of the project.

        Returns:
            The job id.

        Raises:
            FileNotFoundError: `dbt_project.yml` or `profiles.yml` does not exist.
            DbtMissingError: dbt is not installed.
            ValueError: An option or a command is invalid, or its project or environment does not
                exist.
        """
        if project_dir is not None and outcome is not None:
            raise ValueError(
                "A job either runs dbt (`project_dir`) or is scripted (`outcome`), not both."
            )
        dbt_project = find_project(project_dir, profiles_dir, environ, dbt_executable)
        script = new_script(outcome, duration, artifacts)
        account = self.account_id if account_id is None else account_id
        steps = [execute_steps] if isinstance(execute_steps, str) else [*execute_steps]
        fields = {
            "name": name,
            "execute_steps": steps,
            "settings": {"threads": threads, "target_name": target_name or "default"},
            "execution": {"timeout_seconds": timeout_seconds},
            "generate_docs": generate_docs,
            "run_generate_sources": run_generate_sources,
            "deactivated": deactivated,
        }
        with self._state.changed:
            try:
                environment = self._state.first_environment(account, project_id, environment_id)
                fields["environment_id"] = environment.id
                fields["project_id"] = environment.fields["project_id"]
                job = self._jobs.add(account, fields)
            except ApiError as error:
                raise ValueError(f"Job `{name}`: {error.reason}") from error
            job.script = script
            job.project = None if outcome is not None else dbt_project or job.project
            return job.id

    def finish_run(
        self,
        run_id: int | None,
        outcome: Outcome | None = None,
        *,
        at_command: int = 1,
        message: str | None = None,
    ) -> None:
        """Finish a running scripted run.

        Args:
            run_id: The run's id.
            outcome: The outcome; the job's by default.
            at_command: The job command that fails or is cancelled, counted from 1.
            message: The run's `status_message`.

        Raises:
            ValueError: `outcome` is unknown, the run is not a scripted run, or it is queued or
                already finished.
        """
        new_script(outcome)
        with self._state.changed:
            run = self._state.any_run(run_id)
            if run is None or run.job.project is not None:
                raise ValueError(f"Run {run_id} does not exist or is not scripted.")
            if not self._scheduler.finish_scripted(
                run, outcome or run.outcome, message, at_command
            ):
                state = "already finished" if run.is_finished else "queued behind an earlier run"
                raise ValueError(f"Run {run_id} cannot be finished: it is {state}.")

    def wait_for_run(self, run_id: int | None, timeout: float = 60.0) -> Run:
        """Wait until a run is finished.

        Args:
            run_id: The run's id.
            timeout: The maximum wait in seconds.

        Returns:
            The API's payload of the run, with `trigger`, `job` and `run_steps`.

        Raises:
            TimeoutError: The run is not finished after `timeout` seconds.
            ValueError: The run does not exist.
        """
        with self._state.changed:
            run = self._state.any_run(run_id)
            if run is None:
                raise ValueError(f"Run {run_id} does not exist.")
            if not self._state.changed.wait_for(lambda: run.is_finished, timeout):
                raise TimeoutError(f"Run {run_id} is not finished after {timeout} seconds.")
            return cast("Run", self._runs.describe(run, RELATED))

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
        """Inject a fault into the next requests of a route.

        Args:
            route: The API operation, such as `trigger_job`, `get_run`, `list_runs`, `cancel_run`,
                `retry_run` or `get_artifact`.
            kind: The fault: `status` (an error without the API's envelope), `html` (a page),
                `half` (half of the JSON), `cut` (a closed connection), `hang` (a connection that
                is closed after `seconds`), `slow` (a response that takes `seconds`),
                `late` (504 now, the request takes effect after `seconds`), `rate_limit` (429) or
                `lag` (a list without the runs of the last `seconds`).
            when: Whether the fault happens `before` or `after` the request takes effect. `slow` and
                `lag` are always after, `late` and `rate_limit` are always before.
            calls: The number of requests that fail; None means all.
            skip: The number of requests that pass first.
            status: The HTTP status of `status` and `html`.
            retry_after: The `Retry-After` header of `rate_limit` in seconds; None omits it.
            seconds: The delay of `hang`, `slow`, `late` and `lag` in seconds.
            run_id: The run whose requests fail; all by default.

        Raises:
            ValueError: `route`, `kind` or `when` is unknown.
        """
        fault = Fault(kind, when, calls, skip, status, retry_after, seconds, run_id)
        self._app.faults.add(route, fault)

    def limit_requests(
        self,
        per_minute: int = 5000,
        *,
        cool_down: float = 300.0,
        sends_retry_after: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Limit the requests of each account; by default as the service does.

        A request beyond the limit is refused with 429, like all of the account's requests during
        the cool-down that follows. `struck` contains them as `rate_limit`. `heal` and `reset`
        remove the limit.

        Docs: https://docs.getdbt.com/docs/dbt-apis/rate-limits

        Args:
            per_minute: The number of requests in any 60 seconds.
            cool_down: The seconds for which all requests are refused then.
            sends_retry_after: Whether a 429 has a `Retry-After` header, which dbt Labs does not
                document for this API.
            clock: Returns seconds that never run backwards, injectable for tests.

        Raises:
            ValueError: `per_minute` is below 1, or `cool_down` below 0.
        """
        self._app.faults.limit(RateLimit(per_minute, cool_down, sends_retry_after, clock))

    def heal(self) -> None:
        """Remove all faults and the limit, release hanging requests and clear `struck`."""
        self._app.faults.clear()

    @property
    def struck(self) -> list[tuple[str, Kind]]:
        """The faults that have happened, oldest first, as pairs of route and kind."""
        return list(self._app.faults.struck)

    @property
    def runs(self) -> list[Run]:
        """The API's payloads of all runs, oldest first, with `trigger`, `job` and `run_steps`."""
        with self._state.changed:
            return [cast("Run", self._runs.describe(run, RELATED)) for run in self._state.runs()]

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, in the order of their responses, without headers and token."""
        with self._state.changed:
            return list(self._app.requests)

    @property
    def unhandled(self) -> list[UnhandledRequest]:
        """The requests without a route, and those whose handler raised an exception."""
        with self._state.changed:
            return list(self._app.unhandled)

    def _add_default_account(self) -> None:
        with self._state.changed:
            self._state.clear()
            self._state.add_account(self.account_id, "Embedded dbt Cloud", visible=True)
