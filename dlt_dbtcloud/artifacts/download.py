"""The artifacts that the steps of a run left: streamed to disk, read once, waited for a while."""

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
from dlt_dbtcloud.payloads import time_of
from dlt_dbtcloud.typing import Run

__all__ = ["OUTAGE", "RunArtifacts"]


# seconds after which an outage is an error, where nothing else is asked for
OUTAGE = 60.0
# artifacts may be uploaded up to a minute after the run has ended
_UPLOADED_WITHIN = 60.0
# at a file that is none of dbt's
_LOOKS = 2
_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0)


class RunArtifacts:
    """Reads the artifacts of one run, each of them once.

    Args:
        client: The client, which waits out outages if it is patient.
        run: The run, when it has finished.
    """

    def __init__(self, client: DBTCloudClientV2, run: Run) -> None:
        self._client = client
        self._run_id = run["id"]
        self._patience = _patience(run, client.clock)
        self._read: dict[tuple[str, int | None], dict[str, Any] | None] = {}

    def read(
        self, path: str, step: int | None = None, *, is_expected: bool = False
    ) -> dict[str, Any] | None:
        """Return an artifact, or None where there is none.

        Args:
            path: As the API names it: `run_results.json`.
            step: The index of the step that left it, counted from 1; without it the last step.
            is_expected: It should be there, so it is waited for while it may still be uploaded.

        Raises:
            DBTCloudServerError: There is something else in its place; `may_have_arrived` tells the
                page of a proxy, which passes, from a file that is no JSON of dbt's.
            DBTCloudAPIError: The API answered with another error.
            DBTCloudTransportError: There was no answer.
        """
        key = path, step
        if key not in self._read:
            looks = self.pauses() if is_expected else [None]
            found = (self._fetch(path, step) for _ in looks)
            self._read[key] = next((each for each in found if each is not None), None)
        return self._read[key]

    def pauses(self) -> Iterator[None]:
        """Let time pass before each look at what may still be uploaded, until that is too late.

        All that is waited for shares one minute after the run's end, so the first look is now.
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
            # half a file may be whole the next time
            for _ in range(_LOOKS):
                if not self._download(path, file, step):
                    return None
                artifact = _json(file)
                if isinstance(artifact, dict):
                    return artifact
        said = f"This is not an artifact of run {self._run_id}."
        raise DBTCloudServerError("GET", path, HTTPStatus.OK, said)

    def _download(self, path: str, file: Path, step: int | None) -> bool:
        """Return whether there is an artifact, after writing it to a file."""
        try:
            self._client.download_run_artifact(self._run_id, path, file, step)
        except DBTCloudNotFoundError as error:
            if error.is_outage:
                raise
            return False
        return True


def _json(file: Path) -> Any:
    """Return what a file holds, or None where that is not JSON."""
    with suppress(ValueError, RecursionError), file.open("rb") as content:
        return json.load(content)
    with suppress(ValueError, RecursionError):
        return _lenient(file.read_text(errors="replace"))
    return None


def _lenient(text: str) -> Any:
    """Read what Python's own JSON has beyond the standard, which dbt writes: NaN, odd characters.

    What the standard does not know becomes null, or a question mark.
    """
    told = python_json.loads(
        text, parse_constant=lambda _: None, parse_float=_finite, parse_int=_finite
    )
    return json.loadb(python_json.dumps(told, ensure_ascii=False).encode(errors="replace"))


def _finite(digits: str) -> int | float | None:
    told = float(digits)
    if not math.isfinite(told):
        return None
    return int(digits) if digits.lstrip("-").isdecimal() and abs(told) < 2**53 else told


def _patience(run: Run, clock: Clock) -> float:
    """Return for how many seconds artifacts may still turn up: none of a run of long ago."""
    finished = time_of(run, "finished_at")
    age = 0.0 if finished is None else max(0.0, clock.time() - finished)
    return _UPLOADED_WITHIN - age
