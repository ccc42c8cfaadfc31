"""Progress of the runs of one wait, shown on a display."""

from __future__ import annotations

import math
from collections import Counter as Count
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from dlt.common import logger

from dlt_dbtcloud.client.outages import Clock
from dlt_dbtcloud.payloads import id_of
from dlt_dbtcloud.redaction import Redact, redact
from dlt_dbtcloud.runs.progress.displays import Counter, Display, Frame
from dlt_dbtcloud.runs.progress.durations import Pace
from dlt_dbtcloud.runs.progress.state import RunState, describe, in_words, state_of
from dlt_dbtcloud.runs.schedule import PROMPT, regular_pause
from dlt_dbtcloud.typing import Run

__all__ = ["Progress"]

# links of more runs are not shown
_LINKS = 10
# characters of logs in a payload after which steps are requested once a minute
_HEAVY = 1 << 20
_HEAVY_PAUSE = 60.0
# what is read of a single run, for the number of its steps and the nodes in their logs
_STEPS = ("trigger", "job", "run_steps")
_PLAIN = ("trigger",)


class Progress:
    """The states of the runs of one wait.

    Args:
        display: The display; None shows nothing.
        pace: When the runs started, and when they usually end.
        clock: A clock, injectable for tests.
        redact: Removes the token of the client from a text.
    """

    def __init__(
        self,
        display: Display | None,
        pace: Pace,
        clock: Clock,
        redact: Redact = redact,
    ) -> None:
        self.pace = pace
        self._display = display
        self._clock = clock
        self._redact = redact
        self._runs: dict[int, Run] = {}
        self._states: dict[int, RunState] = {}
        self._triggered: dict[int, float] = {}
        self._announced: set[object] = set()
        self._light_at = -math.inf

    @property
    def is_shown(self) -> bool:
        """Whether there is a display."""
        return self._display is not None

    def pause(self, runs: Sequence[Run], age: float, wait_seconds: float) -> float:
        """Return the pause before the next check; read past runs if useful.

        Args:
            runs: The runs that are still watched.
            age: Seconds since the trigger of the youngest.
            wait_seconds: The longest pause; 0 for one second.
        """
        is_placed = regular_pause(age, wait_seconds) > PROMPT
        self.pace.read(runs, is_needed=self.is_shown or is_placed)
        return self.pace.pause(runs, age, wait_seconds)

    def related(self) -> Sequence[str]:
        """Return the related objects to include in the check of a single run."""
        is_light = self._clock.monotonic() >= self._light_at
        return _STEPS if self.is_shown and is_light else _PLAIN

    def note(self, run: Run, age: float | None = None) -> Run:
        """Note the payload of a check, and return it as a plain check returns it.

        Args:
            run: The run.
            age: Seconds since its trigger, before the first check.
        """
        run_id = id_of(run)
        self.pace.note(run)
        if age is not None:
            self._triggered[run_id] = self._clock.monotonic() - age
        if not self.is_shown:
            return run
        self._safely(lambda _: self._read(run_id, run))
        self._runs[run_id] = plain = cast(Run, {**run, "run_steps": [], "job": None})
        return plain

    def replace(self, run_id: int, run: Run, age: float) -> None:
        """Watch a run in place of another."""
        self._states.pop(run_id, None)
        self._runs.pop(run_id, None)
        self.note(run, age)

    def show(self) -> None:
        """Show the progress; an error of the display ends it and not the wait."""
        if self._display and self._states:
            now = self._clock.monotonic()
            frame = self._redacted(self._frame(now))
            self._safely(lambda display: display.show(frame, now))

    def sleep(self, seconds: float) -> None:
        """Sleep, and keep the display up to date."""
        if self._display is None:
            self._clock.sleep(seconds)
            return
        ends = self._clock.monotonic() + seconds
        while (left := ends - self._clock.monotonic()) > 0:
            due = self._display.due(self._clock.monotonic()) if self._display else math.inf
            self._clock.sleep(min(left, max(due, 1.0)))
            if self._clock.monotonic() < ends:
                self.show()

    def close(self) -> None:
        """End the display of this wait."""
        self._safely(lambda display: display.close())

    def _read(self, run_id: int, run: Run) -> None:
        self._states[run_id] = state_of(run, self._states.get(run_id))
        if _log_size(run) > _HEAVY:
            self._light_at = self._clock.monotonic() + _HEAVY_PAUSE

    def _safely(self, act: Callable[[Display], None]) -> None:
        if self._display is None:
            return
        try:
            act(self._display)
        except TimeoutError:
            # the time limit of a task
            raise
        except Exception as error:  # noqa: BLE001, a display or its library may raise anything
            self._display = None
            logger.warning(f"Stopped showing progress: {type(error).__name__}: {error}")

    def _frame(self, now: float) -> Frame:
        states = [*self._states.values()]
        lines = [line for state in states for line in self._news(state, now, len(states))]
        key = tuple(state.key for state in states)
        if len(states) == 1:
            (state,) = states
            parts = tuple(self._describe(state, now))
            title = f"dbt Cloud run {state.run_id}"
            counters = _counters(state)
            return Frame(title, tuple(lines), parts, key, counters, is_over=state.is_finished)
        done = sum(state.is_finished for state in states)
        runs = Counter("Runs", done, len(states))
        title = f"dbt Cloud, {len(states)} runs"
        parts = tuple(self._overview(states, now))
        is_over = done == len(states)
        return Frame(title, tuple(lines), parts, key, (runs,), is_over=is_over)

    def _redacted(self, frame: Frame) -> Frame:
        lines, parts = (tuple(map(self._redact, each)) for each in (frame.lines, frame.parts))
        return replace(frame, lines=lines, parts=parts)

    def _news(self, state: RunState, now: float, count: int) -> list[str]:
        """Return the lines about a run that remain, each once."""
        name = f"dbt Cloud run {state.run_id}"
        found: list[tuple[object, str]] = []
        if count <= _LINKS:
            job = f' of job "{state.job}"' if state.job else ""
            found.append(("link", f"{name}{job}: {state.link}".rstrip(": ")))
        found += [(failure, f"{name}: {failure[1]}") for failure in state.failures]
        if state.is_finished:
            found.append(("end", f"{name}: {', '.join(self._describe(state, now))}"))
        new = [(key, line) for key, line in found if (state.run_id, key) not in self._announced]
        self._announced |= {(state.run_id, key) for key, _ in new}
        return [line for _, line in new]

    def _describe(self, state: RunState, now: float) -> list[str]:
        return describe(state, self._elapsed(state, now), self._left(state), self._usual(state))

    def _overview(self, states: Sequence[RunState], now: float) -> list[str]:
        """Describe several runs: how many have each status, and the longest remaining time."""
        counts = Count(state.status for state in states)
        open_states = [state for state in states if not state.is_finished]
        elapsed = max(self._elapsed(state, now) for state in states)
        left = [left for state in open_states if (left := self._left(state)) and left > 0]
        failed = sum(len(state.failures) for state in states)
        return [
            ", ".join(f"{count} {status}" for status, count in counts.items()),
            in_words(elapsed),
            *([f"~{in_words(max(left))} left"] if left else []),
            *([f"{failed} failed nodes"] if failed else []),
        ]

    def _elapsed(self, state: RunState, now: float) -> float:
        return now - self._triggered.get(state.run_id, now)

    def _usual(self, state: RunState) -> float | None:
        run = self._runs.get(state.run_id)
        return self.pace.usual(run) if run else None

    def _left(self, state: RunState) -> float | None:
        run, usual = self._runs.get(state.run_id), self._usual(state)
        running = self.pace.running(run) if run else None
        return usual - running if usual is not None and running is not None else None


def _log_size(run: Run) -> int:
    steps = run.get("run_steps") or []
    logs = [each for step in steps for each in (step.get("logs"), step.get("truncated_debug_logs"))]
    return sum(len(log) for log in logs if log)


def _counters(state: RunState) -> tuple[Counter, ...]:
    """Return the counters of a run; a collector needs a total at the first update."""
    if state.steps_total is None:
        return ()
    steps = Counter("Steps", state.steps_done, state.steps_total)
    nodes = state.nodes
    if nodes is None or state.is_finished:
        return (steps,)
    label = str(state.steps_done + 1) if state.steps_total > 1 else None
    return (steps, Counter("Nodes", nodes.done, nodes.total, label))
