"""In a browser, a live page follows its run, and pages of other origins see nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.browser import MISSING, find_chromium, open_page
from tests.support.emulator_api import Api
from tests.support.results import MANIFEST, RUN_RESULTS

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason=MISSING),
]
ARTIFACTS = {"manifest.json": MANIFEST, "run_results.json": RUN_RESULTS}
FRAME = "<!doctype html><iframe src='{url}'></iframe>"
READ = """url => fetch(url).then(response => response.text(), error => "refused")"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with open_page() as opened:
        yield opened


def test_a_live_page_shows_the_end_of_its_run(
    cloud: DBTCloudEmulator, api: Api, page: Page
) -> None:
    run = api.trigger(cloud.create_job("Nightly", duration=None, artifacts=ARTIFACTS))
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(run["href"])
    page.locator(".chip.active").first.wait_for()
    page.fill("#filter-text", "orders")
    cloud.finish_run(run["id"])
    page.locator("header .chip.good").wait_for()
    page.locator("#table tbody tr").first.wait_for()
    # what the reader has chosen stays
    assert page.input_value("#filter-text") == "orders"
    assert page.locator(".live").count() == 0
    assert errors == []


def test_the_overview_leads_to_a_run(cloud: DBTCloudEmulator, api: Api, page: Page) -> None:
    run = api.trigger(cloud.create_job("Nightly", artifacts=ARTIFACTS))
    page.goto(cloud.url)
    page.click(f"text={run['id']}")
    page.locator("h1", has_text="Nightly").wait_for()
    assert page.url == run["href"]


def test_pages_of_other_origins_neither_frame_nor_read_a_page(
    cloud: DBTCloudEmulator, api: Api, page: Page, tmp_path: Path
) -> None:
    run = api.trigger(cloud.create_job("Secret plans"))
    file = tmp_path / "other.html"
    file.write_text(FRAME.format(url=run["href"]), encoding="utf-8")
    page.goto(file.as_uri())
    assert page.evaluate(READ, run["href"]) == "refused"
    framed = page.frames[-1]
    assert framed is not page.main_frame
    assert "Secret plans" not in framed.content()
