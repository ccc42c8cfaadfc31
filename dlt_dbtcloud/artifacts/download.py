"""Artifacts of a run's steps: streamed to disk, decoded, and awaited while they are uploaded."""

from __future__ import annotations

import json as python_json
import math
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dlt.common.json import json

from dlt_dbtcloud.client.client import DBTCloudClientV2
from dlt_dbtcloud.client.outages import Clock
from dlt_dbtcloud.exceptions import DBTCloudNotFoundError, DBTCloudServerError
from dlt_dbtcloud.payloads import ended_early, time_of
from dlt_dbtcloud.typing import Run, RunStep
from dlt_dbtcloud.values import as_dicts, as_mapping

__all__ = ["OUTAGE", "RunArtifacts"]


# seconds after which an outage is an error in reading artifacts
OUTAGE = 60.0
# artifacts may be uploaded up to a minute after the end of the run
_UPLOADED_WITHIN = 60.0
# attempts to read a file that is not an artifact of dbt
_ATTEMPTS = 2
_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0)
_CODE = ("raw_code", "compiled_code")
# digits of the integers that surely fit in 64 bits
_MAX_DIGITS = 18


class RunArtifacts:
    """Reads each artifact of a run once.

    Args:
        client: The client, which waits out outages if it is patient.
        run: The run, when it has finished.
        keeps_code: Whether to keep the code of nodes, which is most of an artifact.
    """

    def __init__(self, client: DBTCloudClientV2, run: Run, *, keeps_code: bool = False) -> None:
        self._client = client
        self._run_id = run["id"]
        self._keeps_code = keeps_code
        self._patience = _patience(run, client.clock)
        self._read: dict[tuple[str, int | None], dict[str, Any] | None] = {}

    def read_results(self, step: RunStep) -> dict[str, Any] | None:
        """Return the `run_results.json` of a step, or None if it has none.

        Raises:
            DBTCloudAPIError: See `read`.
            DBTCloudTransportError: The API did not respond.
        """
        is_expected = not ended_early(step)
        return self.read("run_results.json", step.get("index"), is_expected=is_expected)

    def read(
        self, path: str, step: int | None = None, *, is_expected: bool = False
    ) -> dict[str, Any] | None:
        """Return an artifact, or None if it does not exist.

        Args:
            path: The path by the API, such as `run_results.json`.
            step: The index of the step that wrote it, counted from 1; by default the last step.
            is_expected: Whether to wait for it while it may still be uploaded.

        Raises:
            DBTCloudServerError: The file is not an artifact. With `may_have_arrived`, it is the
                page of a proxy, which is transient.
            DBTCloudAPIError: The API returned another error.
            DBTCloudTransportError: The API did not respond.
        """
        key = path, step
        if key not in self._read:
            pauses = self.pauses() if is_expected else [None]
            found = (self._fetch(path, step) for _ in pauses)
            self._read[key] = next((each for each in found if each is not None), None)
        return self._read[key]

    def pauses(self) -> Iterator[None]:
        """Sleep before each attempt to read a late upload, while it may arrive.

        The first attempt is immediate. All artifacts share one minute after the end of the run.
        """
        yield
        for pause in _PAUSES:
            pause = min(pause, self._patience)
            if pause <= 0:
                return
            self._patience -= pause
            self._client.clock.sleep(pause)
            yield

    def _fetch(self, path: str, step: int | None) -> dict[str, Any] | None:
        with TemporaryDirectory(prefix="dlt-dbtcloud-", ignore_cleanup_errors=True) as folder:
            file = Path(folder, Path(path).name)
            # a file that is being written may be complete the next time
            for _ in range(_ATTEMPTS):
                if not self._download(path, file, step):
                    return None
                artifact = _decoded(file)
                if isinstance(artifact, dict):
                    return artifact if self._keeps_code else _without_code(artifact)
        message = f"This is not an artifact of run {self._run_id}."
        raise DBTCloudServerError("GET", path, HTTPStatus.OK, message)

    def _download(self, path: str, file: Path, step: int | None) -> bool:
        """Write an artifact to a file, and return whether it exists."""
        try:
            self._client.download_run_artifact(self._run_id, path, file, step)
        except DBTCloudNotFoundError as error:
            if error.is_outage:
                raise
            return False
        return True


def _patience(run: Run, clock: Clock) -> float:
    """Return the seconds for which artifacts may still be uploaded."""
    finished = time_of(run, "finished_at")
    age = 0.0 if finished is None else max(0.0, clock.time() - finished)
    return _UPLOADED_WITHIN - age


def _without_code(artifact: dict[str, Any]) -> dict[str, Any]:
    """Drop the code of nodes from an artifact, before the next one is read."""
    nodes = as_mapping(artifact.get("nodes")).values()
    for entry in (*as_dicts(artifact.get("results")), *as_dicts([*nodes])):
        for name in _CODE:
            entry.pop(name, None)
    return artifact


def _decoded(file: Path) -> Any:
    """Return the JSON value in a file, or None if it is not JSON."""
    with suppress(ValueError, RecursionError), file.open("rb") as content:
        return json.load(content)
    with suppress(ValueError, RecursionError):
        return _leniently_decoded(file.read_text(errors="replace"))
    return None


def _leniently_decoded(text: str) -> Any:
    """Decode JSON as Python writes it; NaN becomes null, a lone surrogate a `?`."""
    value = python_json.loads(
        text, parse_constant=lambda _: None, parse_float=_float, parse_int=_integer
    )
    return json.loadb(python_json.dumps(value, ensure_ascii=False).encode(errors="replace"))


def _float(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _integer(digits: str) -> float | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else _float(digits)
