"""Up to where the runs of a job or an account have been loaded, table by table."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from datetime import datetime, timedelta, timezone
from typing import Any

from dlt_dbtcloud.moments import timestamp
from dlt_dbtcloud.typing import Run

__all__ = ["Bookmarks"]

# a run may be listed as finished a while after the time at which it says it has finished
_OVERLAP = timedelta(minutes=10)
_BEGINNING = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Bookmarks:
    """Tells which finished runs are new to which tables, and remembers them.

    Of each table it keeps when the newest run ended, and the ids of the runs of the ten minutes
    before that, which tells runs of one second apart and finds those that were listed late.

    Args:
        state: Where it is kept: a part of the state of a dlt source.
        tables: The tables that are loaded.
        start: From when on runs count for a table that has none yet.
    """

    def __init__(
        self, state: MutableMapping[str, Any], tables: Iterable[str], start: datetime | None = None
    ) -> None:
        self._state = state
        self._tables = sorted(tables)
        self._start = start or _BEGINNING

    @property
    def since(self) -> datetime:
        """Return from when on there may be finished runs that are new to a table."""
        return min(map(self._since, self._tables), default=self._start)

    def news(self, run: Run) -> frozenset[str]:
        """Return the tables to which a finished run is new."""
        finished = timestamp(run.get("finished_at"))
        if finished is None:
            return frozenset()
        return frozenset(
            table
            for table in self._tables
            if finished >= self._since(table) and str(run["id"]) not in self._recent(table)
        )

    def remember(self, runs: Iterable[Run]) -> None:
        """Remember finished runs as loaded to all of the tables."""
        ends = {
            str(run["id"]): time.isoformat(timespec="microseconds")
            for run in runs
            if (time := timestamp(run.get("finished_at")))
        }
        for table in self._tables if ends else ():
            known = self._recent(table) | ends
            newest = max(known.values())
            # times that are written alike compare as texts
            oldest = datetime.fromisoformat(newest) - _OVERLAP
            oldest_text = oldest.isoformat(timespec="microseconds")
            recent = {run_id: time for run_id, time in known.items() if time >= oldest_text}
            self._state[table] = {"finished_at": newest, "recent": recent}

    def _since(self, table: str) -> datetime:
        newest = timestamp(self._state.get(table, {}).get("finished_at"))
        return newest - _OVERLAP if newest else self._start

    def _recent(self, table: str) -> dict[str, str]:
        recent: dict[str, str] = self._state.get(table, {}).get("recent", {})
        return recent
