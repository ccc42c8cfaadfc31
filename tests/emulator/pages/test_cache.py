"""Many readers of live pages cost no more than one, and an event shows at once."""

from __future__ import annotations

import pytest

from dlt_dbtcloud.emulator.pages.cache import Cache, Page, Render, pause_after
from tests.support.clock import FakeClock


class Maker:
    """Makes pages, each of which takes some CPU seconds."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.clock = FakeClock()
        self.spent = 0.0
        self.pauses: list[float] = []
        self.content = 0
        self.cache = Cache(self.clock.monotonic, lambda: self.spent)
        self._seconds = seconds

    def read(self, key: str = "run", events: str = "running", *, is_live: bool = True) -> Page:
        return self.cache.page(key, events, self._prepare, is_live=is_live)

    def _prepare(self) -> tuple[str, Render]:
        self.content += 1

        def render(pause: float) -> str:
            self.spent += self._seconds
            self.pauses.append(pause)
            return f"page {self.content}"

        return str(self.content), render


@pytest.mark.parametrize("seconds", [0.001, 0.02, 0.6, 5.0])
def test_a_live_page_costs_less_than_a_twentieth_of_a_core(seconds: float) -> None:
    assert seconds / pause_after(seconds) < 0.05
    assert pause_after(seconds) >= 1.0


@pytest.mark.parametrize(("readers", "runs"), [(1, 1), (20, 1), (1, 4), (5, 4)])
def test_all_readers_of_all_live_pages_share_a_twentieth_of_a_core(readers: int, runs: int) -> None:
    maker = Maker(0.2)
    for _ in range(60 * 10):
        for run in range(runs):
            for _ in range(readers):
                maker.read(f"run {run}")
        maker.clock.sleep(0.5)
    # the first page of each is made before its cost is known
    assert maker.spent <= 0.05 * maker.clock.now + 0.4 * runs
    assert len(maker.pauses) >= 20


def test_an_event_shows_at_once() -> None:
    maker = Maker(2.0)
    assert maker.read().text == "page 1"
    assert maker.read().text == "page 1"
    assert maker.read(events="done", is_live=False).text == "page 2"
    maker.clock.sleep(1000.0)
    assert maker.read(events="done", is_live=False).text == "page 2"


def test_a_page_that_would_be_the_same_is_not_made_again() -> None:
    maker = Maker()
    first = maker.read()
    maker.content -= 1
    maker.clock.sleep(5.0)
    again = maker.read()
    assert (again.text, again.tag, len(maker.pauses)) == (first.text, first.tag, 1)


def test_only_the_last_pages_are_kept() -> None:
    maker = Maker()
    for number in range(100):
        maker.read(str(number), is_live=False)
    for number in (99, 98, 0):
        maker.read(str(number), is_live=False)
    assert len(maker.pauses) == 101
