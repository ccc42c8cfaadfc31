"""A Chromium that tests drive, if one is installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import BrowserContext, sync_playwright

__all__ = ["MISSING", "find_chromium", "open_browser"]


VARIABLE = "DLT_DBTCLOUD_CHROMIUM"
MISSING = (
    "There is no Chromium: `apt-get install chromium` installs it, or set "
    f"`{VARIABLE}` to its program."
)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_chromium() -> str | None:
    """Return the program of a Chromium: the one that is named, or one on the `PATH`."""
    named = os.environ.get(VARIABLE)
    return named or next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def open_browser(width: int = 1400, *, is_dark: bool = False) -> Iterator[BrowserContext]:
    """Yield a browser with an empty profile.

    Args:
        width: The width of its pages in pixels.
        is_dark: Whether the reader prefers dark colours.
    """
    with sync_playwright() as playwright:
        # a container has no sandbox of its own to give
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme="dark" if is_dark else "light",
            )
        finally:
            browser.close()
