"""A Chromium that tests drive, if one is installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

from tests.support.clock import PATIENCE

__all__ = ["MISSING", "find_chromium", "open_page"]


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
def open_page(device_scale_factor: float = 1.0) -> Iterator[Page]:
    """Yield a page of a browser that has no window.

    Tests visit one address after another, as a new page takes four times as long.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            # a container has no sandbox to give
            executable_path=find_chromium(),
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        try:
            page = browser.new_page(device_scale_factor=device_scale_factor)
            page.set_default_timeout(1000 * PATIENCE)
            yield page
        finally:
            browser.close()
