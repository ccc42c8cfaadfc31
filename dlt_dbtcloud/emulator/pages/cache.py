"""The last pages, each made once for all of its readers."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

__all__ = ["Cache", "Page", "Render", "pause_after"]


# seconds between two looks of a live page, at least, and for each second that it takes to make one
_SHORTEST, _PER_SECOND = 1.0, 25.0
# pages that are kept
_KEPT = 16

# makes the text of a page, given the seconds until it reads itself again
Render = Callable[[float], str]


@dataclass(frozen=True)
class Page:
    """A page that was made.

    Args:
        events: The state that it shows at once.
        tag: A text that changes whenever the page does.
        text: The page.
        seconds: The CPU seconds that it took.
        due: When it may be made again, by the cache's clock; None if it does not change any more.
    """

    events: Hashable
    tag: str
    text: str
    seconds: float
    due: float | None


class Cache:
    """Keeps pages, so that many readers of live pages cost no more than one.

    A live page is made again after its events, such as the end of a step, or after its pause, such
    as for new lines of a log. All live pages that are read share one budget.

    Args:
        now: Returns seconds that never run backwards, injectable for tests.
        spent: Returns the CPU seconds of the thread, injectable for tests.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.thread_time,
    ) -> None:
        self._now = now
        self._spent = spent
        self._pages: OrderedDict[Hashable, Page] = OrderedDict()
        self._lock = threading.Lock()

    def page(
        self,
        key: Hashable,
        events: Hashable,
        prepare: Callable[[], tuple[str, Render]],
        *,
        is_live: bool,
        shortest: float = _SHORTEST,
    ) -> Page:
        """Return a page, made again if that is due.

        Args:
            key: The subject of the page.
            events: The state that it shows at once.
            prepare: Returns the tag of a new page, and its text given the seconds until then.
            is_live: Whether it may change without an event.
            shortest: The shortest pause, in seconds.
        """
        # one at a time, so that readers of the same page wait for it
        with self._lock:
            known = self._pages.get(key)
            if known and known.events == events and self._is_fresh(known, is_live=is_live):
                return known
            began = self._spent()
            pause = max(shortest, pause_after(self._cost(key)))
            tag, render = prepare()
            is_same = known is not None and known.tag == tag
            text = known.text if known and is_same else render(pause)
            seconds = known.seconds if known and is_same else self._spent() - began
            due = self._now() + pause if is_live else None
            made = self._pages[key] = Page(events, tag, text, seconds, due)
            self._pages.move_to_end(key)
            while len(self._pages) > _KEPT:
                self._pages.popitem(last=False)
            return made

    def _is_fresh(self, page: Page, *, is_live: bool) -> bool:
        return not is_live or (page.due is not None and self._now() < page.due)

    def _cost(self, key: Hashable) -> float:
        """Return the CPU seconds of the last pages of all that are read, and of this one."""
        now = self._now()
        return sum(
            page.seconds
            for other, page in self._pages.items()
            if other == key or (page.due is not None and now < page.due)
        )


def pause_after(seconds: float) -> float:
    """Return the seconds until a live page reads itself again, so that pages cost little.

    Args:
        seconds: The CPU seconds that the last page took.
    """
    return max(_SHORTEST, _PER_SECOND * seconds)
