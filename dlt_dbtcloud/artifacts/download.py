"""Artifacts of a run's steps: streamed to disk, decoded, and awaited while they are uploaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import copy
from functools import partial
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import Clock
from dlt_dbtcloud.dbt import (
    Catalog,
    FreshnessResult,
    Manifest,
    Result,
    Results,
    decode_catalog,
    decode_manifest,
    decode_run_results,
    decode_sources,
)
from dlt_dbtcloud.exceptions import DBTCloudNotFoundError, DBTCloudServerError
from dlt_dbtcloud.payloads import ended_early, time_of
from dlt_dbtcloud.typing import Run, RunStep

__all__ = ["OUTAGE", "RunArtifacts", "downloaded"]


_T = TypeVar("_T")

# seconds after which an outage is an error in reading artifacts
OUTAGE = 60.0
# artifacts may be uploaded up to a minute after the end of the run
_UPLOADED_WITHIN = 60.0
# attempts to read a file that is not an artifact of dbt
_ATTEMPTS = 2
_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0)


class RunArtifacts:
    """Reads each artifact of a run once.

    A missing artifact is requested again while it may still be uploaded.

    Args:
        client: The client, which waits out outages if it is patient.
        run: The run, when it has finished.
        keeps_code: Whether to decode the code of nodes, which is most of an artifact.
    """

    def __init__(self, client: DBTCloudClientV2, run: Run, *, keeps_code: bool = False) -> None:
        self._client = client
        self._run_id = run["id"]
        self._keeps_code = keeps_code
        self._uploaded_by = client.clock.monotonic() + _patience(run, client.clock)
        self._read: dict[tuple[str, int | None], Any] = {}

    def read_by(self, client: DBTCloudClientV2) -> RunArtifacts:
        """Return a copy that reads the remaining artifacts with another client."""
        other = copy(self)
        other._client = client
        return other

    def read_results(self, step: RunStep) -> Results[Result] | None:
        """Return the `run_results.json` of a step, or None if it does not exist.

        It is awaited while it may still be uploaded.

        Raises:
            DBTCloudServerError: The file is not an artifact. With `may_have_arrived`, it is the
                page of a proxy, which is transient.
            DBTCloudAPIError: The API returned another error.
            DBTCloudTransportError: The API did not respond.
        """
        return self.find_results(step, is_expected=not ended_early(step))

    def find_results(self, step: RunStep, *, is_expected: bool = False) -> Results[Result] | None:
        """Return the `run_results.json` of a step; see `read_results`.

        Args:
            step: The step.
            is_expected: Whether to wait for it while it may still be uploaded.
        """
        decode = partial(decode_run_results, keeps_code=self._keeps_code)
        return self._find("run_results.json", decode, step.get("index"), is_expected)

    def read_freshness(self, step: RunStep) -> Results[FreshnessResult] | None:
        """Return the `sources.json` of a step; see `read_results`."""
        return self.find_freshness(step, is_expected=not ended_early(step))

    def find_freshness(
        self, step: RunStep, *, is_expected: bool = False
    ) -> Results[FreshnessResult] | None:
        """Return the `sources.json` of a step; see `find_results`."""
        return self._find("sources.json", decode_sources, step.get("index"), is_expected)

    def find_manifest(
        self, step: int | None = None, *, is_expected: bool = False
    ) -> Manifest | None:
        """Return a `manifest.json`, or None if it does not exist; see `read_results`.

        Args:
            step: The index of the step that wrote it, counted from 1; by default the last step.
            is_expected: Whether to wait for it while it may still be uploaded.
        """

        def decode(content: bytes) -> Manifest:
            return Manifest(decode_manifest(content, keeps_code=self._keeps_code))

        return self._find("manifest.json", decode, step, is_expected)

    def find_catalog(self, step: RunStep, *, is_expected: bool = False) -> Catalog | None:
        """Return the `catalog.json` of a step, or None if it does not exist; see `read_results`.

        Args:
            step: The step.
            is_expected: Whether to wait for it while it may still be uploaded.
        """
        return self._find("catalog.json", decode_catalog, step.get("index"), is_expected)

    def pauses(self) -> Iterator[None]:
        """Sleep before each attempt to read a late upload, while it may arrive.

        The first attempt is immediate. All artifacts share one minute after the end of the run.
        """
        yield
        clock = self._client.clock
        for pause in _PAUSES:
            left = self._uploaded_by - clock.monotonic()
            if left <= 0:
                return
            clock.sleep(min(pause, left))
            yield

    def _find(
        self, path: str, decode: Callable[[bytes], _T], step: int | None, is_expected: bool
    ) -> _T | None:
        key = path, step
        if key not in self._read:
            pauses = self.pauses() if is_expected else [None]
            attempts = (self._fetch(path, decode, step) for _ in pauses)
            found = next((each for each in attempts if each is not None), None)
            if found is None and not is_expected:
                return None
            self._read[key] = found
        return cast(_T | None, self._read[key])

    def _fetch(self, path: str, decode: Callable[[bytes], _T], step: int | None) -> _T | None:
        def download(to: Path) -> Path:
            return self._client.download_run_artifact(self._run_id, path, to, step)

        try:
            return downloaded(path, download, decode, f"run {self._run_id}")
        except DBTCloudNotFoundError as error:
            if error.is_outage:
                raise
            return None


def downloaded(
    path: str, download: Callable[[Path], object], decode: Callable[[bytes], _T], origin: str
) -> _T:
    """Return an artifact.

    Args:
        path: Its path by the API.
        download: Writes it to a file.
        decode: Decodes it.
        origin: The run or job that has it.

    Raises:
        DBTCloudServerError: The file is not an artifact.
        DBTCloudException: `download` raised it.
    """
    with TemporaryDirectory(prefix="dlt-dbtcloud-", ignore_cleanup_errors=True) as folder:
        file = Path(folder, "artifact")
        # a file that is being written may be complete the next time
        for _ in range(_ATTEMPTS):
            download(file)
            with suppress(ValueError):
                return decode(file.read_bytes())
    raise DBTCloudServerError("GET", path, HTTPStatus.OK, f"This is not an artifact of {origin}.")


def _patience(run: Run, clock: Clock) -> float:
    """Return the seconds for which artifacts may still be uploaded."""
    finished = time_of(run, "finished_at")
    age = 0.0 if finished is None else max(0.0, clock.time() - finished)
    return _UPLOADED_WITHIN - age
