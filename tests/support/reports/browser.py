"""A Chromium that tests drive, if one is installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.clock import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["MISSING", "find_chromium", "new_page", "open_browser", "open_page"]


VARIABLE = "DLT_DBTCLOUD_CHROMIUM"
MISSING = (
    "There is no Chromium: `apt-get install chromium` installs it, or set "
    f"`{VARIABLE}` to its program."
)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# parts of its window that cost a process, though nobody sees the window; they replace the list of
# Playwright, of which those stay that start requests or change what is loaded
_WITHOUT = (
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup"),
    *("AimEnabled", "NetworkTimeServiceQuerying", "OptimizationHints", "PreconnectToSearch"),
    *("HttpsUpgrades", "HttpsFirstBalancedModeAutoEnable", "MediaRouter", "PaintHolding"),
    # would replace the renderer of a page at each navigation
    "RenderDocument",
)
_OPTIONS = (
    # a container has no sandbox to give
    *("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"),
    f"--disable-features={','.join(_WITHOUT)}",
)


def find_chromium() -> str | None:
    """Return the program of a Chromium: the one that is named, or one on the `PATH`."""
    named = os.environ.get(VARIABLE)
    return named or next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Yield a browser that has no window."""
    # only the worker that starts a browser imports its driver
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=_OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def new_page(
    browser: Browser, device_scale_factor: float = 1.0, timezone_id: str | None = None
) -> Iterator[Page]:
    """Yield a page that shares nothing with other pages of the browser.

    Tests visit one address after another, as a new page takes four times as long.
    """
    with browser.new_context(
        device_scale_factor=device_scale_factor, timezone_id=timezone_id
    ) as context:
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        yield page


@contextmanager
def open_page(device_scale_factor: float = 1.0) -> Iterator[Page]:
    """Yield a page of a browser of its own."""
    with open_browser() as browser, new_page(browser, device_scale_factor) as page:
        yield page
