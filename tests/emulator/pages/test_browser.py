"""In a browser, a live page follows its run, and pages of other origins see nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.clock import FakeClock, until
from tests.support.dbt.fake_dbt import write_fake
from tests.support.dbt.results import MANIFEST, RUN_RESULTS
from tests.support.reports.browser import MISSING, find_chromium, new_page
from tests.support.servers.emulator_api import Api

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason=MISSING),
]
ARTIFACTS = {"manifest.json": MANIFEST, "run_results.json": RUN_RESULTS}
# runs a test and then a model, each when it may
GATED = f"""
here = pathlib.Path(__file__).parent
def line(words):
    print(time.strftime("%H:%M:%S"), words, flush=True)
def wait(name):
    while not (here / name).exists():
        time.sleep(0.05)
if (here / "gated").exists():
    wait("test")
    line(" 1 of 2 START test not_null_orders_id ........ [RUN]")
    wait("model")
    line(" 2 of 2 START sql table model raw.orders ......... [RUN]")
    wait("never")
for name, content in {ARTIFACTS}.items():
    (target / name).write_text(json.dumps(content))
"""
FRAME = "<!doctype html><iframe src='{url}'></iframe>"
READ = """url => fetch(url).then(response => response.text(), error => "refused")"""


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Page]:
    with new_page(chromium) as opened:
        opened.clock.install()
        yield opened


@pytest.fixture
def cloud(clock: FakeClock) -> Iterator[DBTCloudEmulator]:
    """Return an emulator whose pages become older by a clock of the test."""
    with DBTCloudEmulator(page_clock=clock.monotonic) as emulator:
        yield emulator


class Reader:
    """A reader of live pages, for whom time passes at once.

    Args:
        page: The page that is open.
        clock: The clock of the emulator.
    """

    def __init__(self, page: Page, clock: FakeClock) -> None:
        self.page = page
        self._clock = clock

    def sees(self, selector: str, *, has_text: str | None = None) -> None:
        """Wait until the page shows an element, for it and the server a second at each look."""
        found = self.page.locator(selector, has_text=has_text)

        def look() -> bool:
            self._clock.sleep(1.0)
            self.page.clock.fast_forward(1000)
            return found.count() > 0

        until(look)


@pytest.fixture
def reader(page: Page, clock: FakeClock) -> Reader:
    return Reader(page, clock)


def test_the_overview_leads_to_a_live_page_that_shows_the_end_of_its_run(
    cloud: DBTCloudEmulator, api: Api, page: Page, reader: Reader
) -> None:
    run = api.trigger(cloud.create_job("Nightly", duration=None, artifacts=ARTIFACTS))
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(cloud.url)
    page.click(f"text={run['id']}")
    page.locator("h1", has_text="Nightly").wait_for()
    assert page.url == run["href"]
    page.locator(".chip.active").first.wait_for()
    page.fill("#filter-text", "orders")
    cloud.finish_run(run["id"])
    reader.sees("header .chip.good")
    page.locator("#table tbody tr").first.wait_for()
    # what the reader has chosen stays
    assert page.input_value("#filter-text") == "orders"
    assert page.locator(".live").count() == 0
    assert errors == []


def test_an_open_panel_follows_its_node(
    cloud: DBTCloudEmulator, api: Api, page: Page, reader: Reader, tmp_path: Path
) -> None:
    for name in ("dbt_project.yml", "profiles.yml"):
        (tmp_path / name).write_text("{}\n")
    job = cloud.create_job(
        "Nightly", project_dir=tmp_path, dbt_executable=write_fake(tmp_path, GATED)
    )
    api.ended(api.trigger(job)["id"])
    (tmp_path / "gated").touch()
    run = api.trigger(job)
    page.goto(run["href"])
    # the node of an earlier manifest, before any has begun
    page.locator("#panel").wait_for(state="hidden")
    page.locator(".box", has_text="orders").first.click()
    page.locator("#panel dl").wait_for()
    (tmp_path / "test").touch()
    # the test has begun, and comes before the model now
    reader.sees("header", has_text="1 running")
    until(lambda: page.evaluate("page.nodes[chosen.node].name") == "orders")
    page.locator(".here", has_text="orders").wait_for()
    assert page.inner_text("#panel h2") == "orders"
    (tmp_path / "model").touch()
    # the panel shows that its node has begun, and the reader stays where they were
    reader.sees("#panel .chip", has_text="running")
    assert page.inner_text("#panel h2") == "orders"
    assert page.evaluate("document.activeElement.id") == "panel-title"
    api.post(f"/runs/{run['id']}/cancel/")
    reader.sees("main:not(:has(.live))")


def test_a_page_reports_that_its_run_or_server_is_gone(
    cloud: DBTCloudEmulator, api: Api, page: Page, reader: Reader
) -> None:
    run = api.trigger(cloud.create_job("Nightly", duration=None))
    page.goto(run["href"])
    page.locator(".live").wait_for()
    cloud.reset()
    reader.sees(".live", has_text="no longer known to the server")
    with DBTCloudEmulator() as other:
        page.goto(other.url)
        page.locator(".live", has_text="live").wait_for()
    reader.sees(".live", has_text="the server does not answer")


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
