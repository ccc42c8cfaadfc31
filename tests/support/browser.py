"""A Chromium that tests drive, if one is installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

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
def open_browser() -> Iterator[Browser]:
    """Yield a browser that has no window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            # a container has no sandbox to give
            executable_path=find_chromium(),
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        try:
            yield browser
        finally:
            browser.close()
