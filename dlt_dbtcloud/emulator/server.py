"""The embedded dbt Cloud: what a test or a script starts, fills and looks into."""

from __future__ import annotations

import atexit
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Any, cast

from dlt_dbtcloud.emulator.api.jobs import Jobs
from dlt_dbtcloud.emulator.api.resources import Resources
from dlt_dbtcloud.emulator.api.routes import endpoints
from dlt_dbtcloud.emulator.api.runs import Runs
from dlt_dbtcloud.emulator.dbt.artifacts import encode
from dlt_dbtcloud.emulator.dbt.process import find_dbt
from dlt_dbtcloud.emulator.errors import ApiError
from dlt_dbtcloud.emulator.faults import KINDS, WHENS, Fault, Kind, When
from dlt_dbtcloud.emulator.http import HOST, App, RecordedRequest, Server, listen
from dlt_dbtcloud.emulator.models import STATUS_OF, DbtProject, Outcome, Script
from dlt_dbtcloud.emulator.scheduler import Scheduler
from dlt_dbtcloud.emulator.state import State
from dlt_dbtcloud.typing import Run

__all__ = ["DBTCloudEmulator"]


def dbt_project(
    folder: str | Path,
    profiles_dir: str | Path | None,
    environ: Mapping[str, str] | None,
    executable: str | None,
) -> DbtProject:
    """Check the folder of a dbt project.

    Raises:
        FileNotFoundError: It is not there, holds no dbt project, or there is no profile.
        DbtMissingError: There is no dbt to run.
    """
    path = Path(folder).resolve()
    if not (path / "dbt_project.yml").is_file():
        what = "holds no dbt_project.yml" if path.is_dir() else "is no folder"
        raise FileNotFoundError(
            f"`{path}` {what}. Give the folder of a dbt project as `project_dir`."
        )
    profiles = path if profiles_dir is None else Path(profiles_dir).resolve()
    if not (profiles / "profiles.yml").is_file():
        raise FileNotFoundError(
            f"`{profiles}` holds no profiles.yml. Put one there, or give its folder as "
            "`profiles_dir`."
        )
    find_dbt(executable)
    return DbtProject(path, profiles, dict(environ or {}), executable)


def script(
    outcome: Outcome | Sequence[Outcome] | None,
    duration: float | None,
    artifacts: Mapping[str, Any] | None,
) -> Script:
    """Check how scripted runs shall end.

    Raises:
        ValueError: An outcome is unknown, or the duration is negative.
    """
    outcomes: tuple[Outcome, ...] = ("success",)
    if outcome is not None:
        # a text is a sequence too, of its letters
        outcomes = (outcome,) if isinstance(outcome, str) else tuple(outcome)
    unknown = [name for name in outcomes if name not in STATUS_OF]
    if unknown or not outcomes:
        raise ValueError(f"`outcome` is one of {', '.join(STATUS_OF)}, not {outcome!r}.")
    if duration is not None and duration < 0:
        raise ValueError(f"`duration` is a number of seconds from 0, not {duration}.")
    files = None if artifacts is None else encode(artifacts)
    return Script(outcomes, duration, files)


DEFAULT_ACCOUNT_ID = 70403


class Contents:
    """An account with a project and an environment, and what is added to it."""

    def __init__(self, account_id: int | None, secret: str) -> None:
        self.account_id = DEFAULT_ACCOUNT_ID if account_id is None else account_id
        if self.account_id < 1:
            raise ValueError(f"`account_id` is a number from 1, not {account_id}.")
        self._state = State()
        self._begin()
        self._scheduler = Scheduler(self._state, secret)
        self._runs = Runs(self._state, self._scheduler)
        self._jobs = Jobs(self._state, self._scheduler, self._runs)

    def _begin(self) -> None:
        """Start from an account that holds just a project and an environment."""
        with self._state.changed:
            self._state.clear()
            self._state.add_account(self.account_id, "Embedded dbt Cloud", visible=True)

    def create_account(self, name: str = "Another account", *, visible: bool = False) -> int:
        """Add an account, by default one that the token may not see.

        Returns:
            Its id.
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
        """Add a project with an environment; with a folder, its jobs run real dbt.

        Returns:
            Its id.

        Raises:
            FileNotFoundError: The folder holds no dbt project.
            DbtMissingError: There is no dbt to run.
        """
        folder = project_dir and dbt_project(project_dir, profiles_dir, environ, dbt_executable)
        account = self.account_id if account_id is None else account_id
        return self._state.add_project(account, {"name": name}, folder or None).id

    def create_job(
        self,
        name: str,
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
        """Add a job.

        Args:
            name: Its name.
            execute_steps: Its dbt commands, or the one.
            project_dir: The folder of its dbt project; with one, it runs real dbt, in that folder.
            profiles_dir: The folder of `profiles.yml`, by default the project's.
            environ: Environment variables for dbt.
            dbt_executable: dbt's program, by default the one beside Python or on the `PATH`.
            outcome: How the runs of a scripted job end: all of them, or one after the other and
                the last one again and again.
            duration: How long they take, in seconds; None: until `finish_run`.
            artifacts: What they leave, by path: bytes, or what becomes JSON. By default, what dbt
                leaves of a project without nodes.
            target_name: The target that it runs on, by default the profile's.
            threads: How many threads dbt uses, by default the profile's.
            timeout_seconds: How long a run may take; 0: without limit.
            generate_docs: Whether docs are generated at the end.
            run_generate_sources: Whether the freshness of sources is checked first.
            deactivated: Whether triggers are refused.
            account_id: Its account, by default the token's.
            project_id: Its project, by default the account's first.
            environment_id: Its environment, by default the project's first.

        Returns:
            Its id.

        Raises:
            FileNotFoundError: The folder holds no dbt project.
            DbtMissingError: There is no dbt to run.
            ValueError: An option is wrong, or does not go with another.
        """
        if project_dir is not None and outcome is not None:
            raise ValueError(
                "A job runs dbt (`project_dir`) or ends as told (`outcome`), not both."
            )
        folder = project_dir and dbt_project(project_dir, profiles_dir, environ, dbt_executable)
        played = script(outcome, duration, artifacts)
        account = self.account_id if account_id is None else account_id
        fields = {
            "name": name,
            "execute_steps": [execute_steps]
            if isinstance(execute_steps, str)
            else [*execute_steps],
            "settings": {"threads": threads, "target_name": target_name or "default"},
            "execution": {"timeout_seconds": timeout_seconds},
            "generate_docs": generate_docs,
            "run_generate_sources": run_generate_sources,
            "deactivated": deactivated,
        }
        with self._state.changed:
            try:
                places = self._state.places(account, project_id, environment_id)
                job = self._jobs.add(account, {**fields, **places})
            except ApiError as error:
                raise ValueError(f"Job `{name}`: {error.reason}") from error
            job.script = played
            job.project = None if outcome is not None else folder or job.project
            return job.id

    def finish_run(
        self,
        run_id: int | None,
        outcome: Outcome | None = None,
        *,
        at_command: int = 1,
        message: str | None = None,
    ) -> None:
        """End a scripted run that is under way.

        Args:
            run_id: The run.
            outcome: How it ends, by default as its job was told.
            at_command: Which of its commands an error or a cancellation stops, counted from 1.
            message: Its `status_message`.

        Raises:
            ValueError: There is no such run, it runs real dbt, waits in the queue or has ended.
        """
        script(outcome, None, None)
        with self._state.changed:
            run = self._state.any_run(run_id)
            if run is None or run.job.project is not None:
                raise ValueError(f"There is no scripted run {run_id}.")
            ending = (run, outcome or run.outcome, message, at_command)
            if not self._scheduler.end_scripted(*ending):
                state = "has ended" if run.is_finished else "waits for an earlier run of its job"
                raise ValueError(f"Run {run_id} is not under way: it {state}.")


MAX_PORT = 65535


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

    def wait_for_run(self, run_id: int | None, timeout: float = 60.0) -> Run:
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
