"""In a browser, a page works, stays within itself, and runs nothing of its data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dlt_dbtcloud.report import RunPage, render_run
from dlt_dbtcloud.report.document import HtmlDocument
from dlt_dbtcloud.report.rendering.pages import render_trend
from dlt_dbtcloud.report.trend import Trend
from tests.support.clock import until
from tests.support.reports.browser import MISSING, find_chromium, new_page
from tests.support.reports.pages import hostile, shop_page
from tests.support.reports.strange import strange_page, strange_trend

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason=MISSING),
]


# shown with a lineage only
LINEAGE_PARTS = ("#lineage-tools", "#lineage-legend")


@pytest.fixture(scope="module")
def opened(chromium: Browser) -> Iterator[Page]:
    with new_page(chromium) as page:
        page.add_init_script("window.hits = []; window.hit = name => hits.push(name);")
        yield page


class Visit:
    """A visit of a page, with what went wrong and what was requested."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []

    @contextmanager
    def of(self, address: str, *, waits: bool) -> Iterator[Visit]:
        """Stay at an address for a while, from when the page is ready if it has scripts."""
        listeners: dict[Any, Callable[[Any], None]] = {
            "console": lambda message: self.errors.append(message.text),
            "pageerror": lambda error: self.errors.append(str(error)),
            "request": lambda request: self.requests.append(request.url),
        }
        for event, listener in listeners.items():
            self.page.on(event, listener)
        try:
            self.page.goto(address)
            if waits:
                self.page.wait_for_selector("html[data-ready]")
            yield self
        finally:
            for event, listener in listeners.items():
                self.page.remove_listener(event, listener)

    def texts(self, selector: str) -> list[str]:
        return [text.strip() for text in self.page.locator(selector).all_inner_texts()]


@contextmanager
def visit(
    opened: Page,
    folder: Path,
    page: RunPage | str,
    width: int = 1400,
    *,
    is_dark: bool = False,
    waits: bool = True,
) -> Iterator[Visit]:
    """Yield a visit of a page, which must cause no error and no request and fit into the window."""
    file = folder / "run.html"
    file.write_text(page if isinstance(page, str) else render_run(page), encoding="utf-8")
    opened.set_viewport_size({"width": width, "height": 900})
    opened.emulate_media(color_scheme="dark" if is_dark else "light")
    with Visit(opened).of(file.as_uri(), waits=waits) as found:
        yield found
        assert found.errors == []
        assert found.requests == [file.as_uri()]
        assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_every_part_is_there(opened: Page, tmp_path: Path) -> None:
    with visit(opened, tmp_path, shop_page()) as found:
        assert found.texts("h2") == [
            "Load 1790000000.25 of pipeline shop",
            *("What failed", "Warnings", "Time", "Lineage", "Nodes", "Steps"),
        ]
        assert found.page.locator(".bar").count() == 5
        assert found.texts(".lane .gutter") == ["Thread-1", "Thread-2"]
        assert found.page.locator(".bar.critical").count() == 4
        assert found.page.locator(".box").count() == 9
        assert found.page.locator(".box.bad").count() == 2
        assert found.page.locator("#table tbody tr").count() == 8
        # the node that was not built is pale
        assert found.page.locator(".box.unknown", has_text="old").count() == 1
        assert [found.page.is_visible(part) for part in LINEAGE_PARTS] == [True, True]


def test_the_table_filters_and_sorts(opened: Page, tmp_path: Path) -> None:
    with visit(opened, tmp_path, shop_page()) as found:
        rows = "#table tbody th"
        # the worst nodes come first
        assert found.texts(rows)[:3] == ["mart", "orders", "recent"]
        found.page.fill("#filter-text", "models/marts")
        assert found.texts(rows) == ["mart", "late"]
        found.page.fill("#filter-text", "")
        found.page.select_option("#filter-status", "warn")
        assert found.texts(rows) == ["recent"]
        found.page.select_option("#filter-status", "not-run")
        assert found.texts(rows) == ["board", "old"]
        found.page.select_option("#filter-status", "project")
        found.page.select_option("#filter-type", "model")
        assert found.texts("#filter-count") == ["4 of 10 nodes"]
        found.page.click("#table thead button:has-text('Time')")
        assert found.texts(rows) == ["stg", "mart", "late", "old"]
        assert found.page.locator("th[aria-sort=descending]").inner_text().startswith("Time")
        found.page.keyboard.press("Enter")
        assert found.texts(rows)[-1] == "stg"
        # a count leads to its nodes
        found.page.click("a.count[data-filter=skipped]")
        assert found.texts(rows) == ["late"]
        assert found.texts("#filter-count") == ["1 of 10 nodes"]
        found.page.fill("#filter-text", "nothing like it")
        assert found.texts("#table tbody td") == ["No node matches."]


def test_the_address_names_the_node_that_is_open(opened: Page, tmp_path: Path) -> None:
    with visit(opened, tmp_path, shop_page()) as found:
        page = found.page
        page.click(".failure button.node")
        page.wait_for_url("**/run.html#node=model.shop.mart")
        page.keyboard.press("Escape")
        assert page.url.endswith("/run.html")
    opened.goto("about:blank")
    with Visit(opened).of(f"{(tmp_path / 'run.html').as_uri()}#node=model.shop.stg", waits=True):
        opened.locator("#panel dl").wait_for()
        assert opened.inner_text("#panel h2") == "stg"


def test_a_node_leads_to_its_places(opened: Page, tmp_path: Path) -> None:
    with visit(opened, tmp_path, shop_page(), 400) as found:
        page = found.page
        page.click(".failure button.node")
        page.click("#panel button:has-text('In the timeline')")
        assert not page.is_visible("#panel")
        assert page.evaluate("document.activeElement.className") == "track"
        page.click(".failure button.node")
        page.click("#panel button:has-text('In the lineage')")
        focused = "document.activeElement.getAttribute('aria-label')"
        assert page.evaluate(focused).startswith("mart, model · error")


def test_messages_can_be_copied(opened: Page, tmp_path: Path) -> None:
    with visit(opened, tmp_path, shop_page()) as found:
        page = found.page
        page.click(".copied button")
        page.locator(".copied button:has-text('Copied')").wait_for()
        page.focus("#filter-text")
        page.keyboard.press("Control+V")
        assert page.input_value("#filter-text") == "No column amout"
        # a page in a frame must not use the clipboard
        page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        page.click(".copied button")
        page.locator(".copied button:has-text('Selected')").wait_for()
        assert page.evaluate("getSelection().toString()") == "No column amout"


def test_times_are_those_of_the_reader(opened: Page, tmp_path: Path) -> None:
    devtools = opened.context.new_cdp_session(opened)
    devtools.send("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kolkata"})
    try:
        with visit(opened, tmp_path, shop_page()) as found:
            queued = found.page.locator("dd time").first
            assert queued.inner_text() == "2026-09-21 19:43:20 GMT+5:30"
            assert queued.get_attribute("title") == "2026-09-21 14:13:20 UTC"
    finally:
        devtools.send("Emulation.setTimezoneOverride", {"timezoneId": ""})
        devtools.detach()


def test_names_stay_in_their_boxes(opened: Page, tmp_path: Path) -> None:
    names = ("a_name_" * 20, "x" * 140, "short", "\u0645" * 100, "two.words_" * 3)
    page = shop_page()
    nodes = [
        replace(each, name=name, folder=f"models/{name}/{name}")
        for each, name in zip(page.nodes, names * 2, strict=True)
    ]
    with visit(opened, tmp_path, replace(page, nodes=tuple(nodes))) as found:
        for title in ("All nodes", "Folders"):
            found.page.click(f"#lineage-views button:has-text('{title}')")
            widths = found.page.locator(".box").evaluate_all(
                "boxes => boxes.flatMap(box => [...box.querySelectorAll('text')].map(text =>"
                " box.firstElementChild.getBBox().width - text.getBBox().x - text.getBBox().width))"
            )
            assert min(widths) >= 0


def test_a_page_can_be_printed_on_light_paper(opened: Page, tmp_path: Path) -> None:
    with visit(opened, tmp_path, shop_page(), is_dark=True) as found:
        colour = "getComputedStyle(document.body).color"
        assert found.page.evaluate(colour) == "rgb(230, 231, 228)"
        assert found.page.pdf().startswith(b"%PDF")
        found.page.emulate_media(media="print")
        try:
            assert found.page.evaluate(colour) == "rgb(27, 31, 38)"
        finally:
            found.page.emulate_media(media="screen")


def test_a_bar_shows_its_node_on_hover_and_its_details_on_click(
    opened: Page, tmp_path: Path
) -> None:
    with visit(opened, tmp_path, shop_page()) as found:
        bar = found.page.locator(".bar.good", has_text="stg").first
        bar.hover()
        assert "stg\nmodel · success · 2.00 s" in found.page.inner_text("#tip")
        bar.click()
        panel = found.page.locator("#panel")
        panel.locator("text=Compiled SQL").wait_for()
        text = panel.inner_text()
        for words in (
            *("Orders with their items.", "select id, amount from raw.orders", "amount"),
            *("data@shop.example", "2.00 s of 4 runs", '"shop"."staging"."stg"', "unique_stg_id"),
        ):
            assert words in text
        found.page.keyboard.press("Escape")
        assert not panel.is_visible()
        assert found.page.evaluate("document.activeElement.className") == "track"


def test_the_timeline_zooms_and_marks_its_critical_path(opened: Page, tmp_path: Path) -> None:
    with visit(opened, tmp_path, shop_page()) as found:
        width = "document.querySelector('.canvas').clientWidth"
        before = found.page.evaluate(width)
        found.page.click("[data-zoom=in]")
        assert found.page.evaluate(width) > 1.5 * before
        found.page.click("[data-zoom=all]")
        assert found.page.evaluate(width) == before
        found.page.check("#critical-only")
        assert found.page.locator(".only-critical").count() == 1
        found.page.focus(".track")
        found.page.keyboard.press("ArrowRight")
        found.page.keyboard.press("ArrowRight")
        assert found.page.inner_text("#tip").startswith("stg")
        found.page.keyboard.press("Enter")
        assert found.page.inner_text("#panel h2") == "stg"


def test_the_lineage_is_searched_walked_and_collapsed(opened: Page, tmp_path: Path) -> None:
    with visit(opened, tmp_path, shop_page()) as found:
        found.page.fill("#lineage-search", "mart")
        assert found.texts("#lineage-found") == ["1 found"]
        assert found.page.locator(".box.lit").count() == 1
        found.page.press("#lineage-search", "Enter")
        found.page.keyboard.press("ArrowRight")
        assert "late" in found.page.evaluate("document.activeElement.getAttribute('aria-label')")
        found.page.keyboard.press("Enter")
        assert found.page.inner_text("#panel h2") == "late"
        found.page.keyboard.press("Escape")
        found.page.fill("#lineage-search", "")
        found.page.locator(".box", has_text="stg").hover()
        assert found.page.locator(".box.lit").count() == 7
        found.page.click("#lineage-views button:has-text('Folders')")
        assert found.page.locator(".box").count() == 5
        found.page.locator(".box", has_text="models/marts").click()
        assert found.texts("#lineage-views button") == ["All nodes", "Folders", "models/marts"]
        assert found.page.locator(".box", has_text="late").count() == 1


@pytest.mark.parametrize(("width", "is_dark"), [(400, True), (1400, False)])
def test_hostile_texts_are_shown_and_do_nothing(
    opened: Page, tmp_path: Path, width: int, is_dark: bool
) -> None:
    with visit(opened, tmp_path, hostile(shop_page()), width, is_dark=is_dark) as found:
        page = found.page
        for button in page.locator("#table button.node").all():
            button.evaluate("button => button.click()")
            page.locator("#panel dl").wait_for()
        for name in page.locator("#lineage-views button").all():
            name.evaluate("button => button.click()")
        page.locator(".box").first.dispatch_event("pointermove", {"bubbles": True})
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        assert page.evaluate("hits") == []
        assert page.locator("img").count() == 0


# all that a reader can click, type or hover
USE = """() => {
  const each = (selector, act) => {
    for (const found of [...document.querySelectorAll(selector)]) if (found.isConnected) act(found);
  };
  const send = (found, kind, type, options) => {
    found.dispatchEvent(new kind(type, { bubbles: true, ...options }));
  };
  const press = (found, ...keys) => {
    for (const key of keys) send(found, KeyboardEvent, "keydown", { key });
  };
  each("#table button, #lineage-views button, .bar, .box, [data-zoom], [data-scale]", (found) => {
    send(found, MouseEvent, "click");
  });
  each(".bar, .box", (found) => send(found, PointerEvent, "pointermove"));
  each(".box", (box) => { box.focus(); press(box, "ArrowRight", "ArrowDown", "Enter"); });
  each(".track", (track) => press(track, "ArrowRight", "ArrowRight", "Enter", "+", "-"));
  each("input[type=search]", (input) => {
    for (input.value of ["__proto__", "(", ""]) send(input, Event, "input");
  });
  each("select", (select) => {
    for (const option of [...select.options]) {
      option.selected = true;
      send(select, Event, "change");
    }
  });
  each("details", (details) => { details.open = true; });
  dispatchEvent(new Event("beforeprint"));
}"""


# the Hebrew texts that change the order of the texts beside them
BESIDE = """() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const isAlone = (element) => {
    const { display, unicodeBidi } = getComputedStyle(element);
    if (display === "inline") return unicodeBidi === "normal" ? null : true;
    const { data } = walker.currentNode;
    return display.startsWith("inline") || element.textContent.trim() === data.trim();
  };
  while (walker.nextNode()) {
    if (!walker.currentNode.data.includes("שמש")) continue;
    let [element, alone] = [walker.currentNode.parentElement, null];
    if (element.closest("script, style, title, option")) continue;
    for (; element && alone === null; element = element.parentElement) alone = isAlone(element);
    if (!alone) found.push(walker.currentNode.data);
  }
  return found;
}"""


def test_texts_from_right_to_left_are_isolated(opened: Page, tmp_path: Path) -> None:
    page = hostile(shop_page())
    nodes = [replace(each, resource_type="model שמש") for each in page.nodes]
    with visit(opened, tmp_path, replace(page, nodes=tuple(nodes))) as found:
        found.page.locator("#table button.node").first.click()
        found.page.locator("#panel dl").wait_for()
        assert found.page.evaluate(BESIDE) == []
    trend = Trend(1, 30, 0.0, "dataset `שמש` of pipeline `x`", "שמש", problems=("שמש",))
    with visit(opened, tmp_path, render_trend(trend), waits=False) as found:
        assert found.page.evaluate(BESIDE) == []


def test_arbitrary_data_do_nothing_and_break_no_part(opened: Page, tmp_path: Path) -> None:
    # these reach every block of the scripts that the first thirty seeds reach
    for seed in (2, 5, 7, 10, 19):
        with visit(opened, tmp_path, strange_page(seed)) as found:
            found.page.evaluate(USE)
            assert found.page.evaluate("hits") == []
            assert found.page.locator("img, iframe, form, base").count() == 0
            assert found.page.locator("text=cannot read the details").count() == 0
        with visit(opened, tmp_path, render_trend(strange_trend(seed)), waits=False) as found:
            assert found.page.evaluate("hits") == []


def test_a_page_of_many_nodes_shows_some_rows_at_a_time(opened: Page, tmp_path: Path) -> None:
    from benchmarks.report import made_page

    with visit(opened, tmp_path, made_page(700)) as found:
        assert found.page.locator("#table tbody tr").count() == 100
        found.page.click("#table .more button")
        assert found.page.locator("#table tbody tr").count() == 600
        views = "#lineage-views button"
        assert found.texts(views) == ["Around failures", "Folders", "All nodes"]
        assert found.texts(f"{views}[aria-pressed=true]") == ["Around failures"]


@pytest.mark.parametrize("removes", [False, True])
def test_without_scripts_the_essentials_are_there(
    opened: Page, tmp_path: Path, removes: bool
) -> None:
    text = render_run(shop_page())
    if removes:
        # as a mail client does
        text = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    file = tmp_path / "run.html"
    file.write_text(text, encoding="utf-8")
    assert opened.context.browser
    context = opened.context.browser.new_context(java_script_enabled=removes)
    page = context.new_page()
    page.goto(file.as_uri())
    shown = page.locator("main").inner_text()
    for words in (
        *("Nightly", "dbt Core 1.11.16", "main · 0123456789ab", "12,345 rows", "1 failed"),
        *("No column amout", "Got 2 results", "Sources that are not fresh", "Critical path"),
        *("The timeline needs JavaScript.", "The lineage needs JavaScript."),
    ):
        assert words in shown
    assert page.locator("#table tbody tr").count() == 8
    assert page.locator(".tools").first.is_hidden()
    context.close()


def test_nodes_without_times_have_no_timeline(opened: Page, tmp_path: Path) -> None:
    page = shop_page()
    untimed = tuple(replace(each, started_at=None) for each in page.executions)
    with visit(opened, tmp_path, replace(page, executions=untimed)) as found:
        assert "It is not known when the nodes were executed." in found.texts("#timeline")


def test_nodes_that_were_not_executed_have_no_timeline(opened: Page, tmp_path: Path) -> None:
    with visit(opened, tmp_path, shop_page(executions=(), freshness=())) as found:
        assert "No node has been executed." in found.texts("#timeline")


def test_a_page_without_nodes_has_no_timeline_and_no_legend(opened: Page, tmp_path: Path) -> None:
    with visit(opened, tmp_path, shop_page(nodes=(), executions=(), freshness=())) as found:
        assert "No node has been executed." in found.texts("#timeline")
        assert [found.page.is_visible(part) for part in LINEAGE_PARTS] == [False, False]


def test_a_log_is_shown_from_its_end(opened: Page, tmp_path: Path) -> None:
    page = shop_page()
    log = "\n".join(f"line {i}" for i in range(300))
    steps = tuple(replace(step, log=log) for step in page.steps)
    left = "pre => pre.scrollHeight - pre.clientHeight - pre.scrollTop"
    with visit(opened, tmp_path, replace(page, steps=steps)) as found:
        failed = found.page.locator("#step-5 pre")
        assert failed.evaluate("pre => pre.scrollTop") > 0
        assert failed.evaluate(left) < 2
        found.page.click("#step-1 summary")
        until(lambda: found.page.locator("#step-1 pre").evaluate(left) < 2)


def test_a_notebook_keeps_the_page_in_its_frame(opened: Page, tmp_path: Path) -> None:
    file = tmp_path / "notebook.html"
    shown = HtmlDocument(render_run(shop_page()))._repr_html_()
    file.write_text(f"<!doctype html><h2>Mine</h2>{shown}", encoding="utf-8")
    opened.goto(file.as_uri())
    frame = opened.frame_locator("iframe")
    frame.locator("html[data-ready]").wait_for()
    assert frame.locator("#table tbody tr").count() == 8
    colour = "getComputedStyle(document.querySelector('h2')).color"
    assert opened.evaluate(colour) == "rgb(0, 0, 0)"
