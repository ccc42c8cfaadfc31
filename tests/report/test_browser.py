"""In a browser, a page works, stays within itself, and runs nothing of its data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dlt_dbtcloud.report import Execution, Node, RunPage, render_run
from dlt_dbtcloud.report.document import HtmlDocument
from dlt_dbtcloud.report.rendering.pages import render_trend
from dlt_dbtcloud.report.trend import Trend
from tests.support.clock import until
from tests.support.reports.browser import MISSING, find_chromium, new_page
from tests.support.reports.pages import MART, hostile, shop_page
from tests.support.reports.strange import strange_page, strange_trend

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason=MISSING),
]


# shown with a lineage only
LINEAGE_PARTS = ("#lineage-tools", "#lineage-legend")
# the free width beside each text in the boxes of a view of the lineage
ROOMS = """title => {
  const buttons = [...document.querySelectorAll("#lineage-views button")];
  buttons.find(each => each.textContent === title).click();
  return [...document.querySelectorAll(".box")].flatMap(box => {
    const { width } = box.firstElementChild.getBBox();
    return [...box.querySelectorAll("text")].map(text => {
      const { x, width: taken } = text.getBBox();
      return width - x - taken;
    });
  });
}"""
# the texts of elements of HTML or SVG
TEXTS = """selector => [...document.querySelectorAll(selector)].map(
  each => (each.innerText ?? each.textContent).trim()
)"""
IS_VISIBLE = "selector => document.querySelector(selector).checkVisibility()"
FITS = "document.documentElement.scrollWidth <= innerWidth"
# whether the scripts of a page are ready; keeps its initial choices for `RESTART`
IS_READY = """() => {
  window.initial = { ...chosen, view: null };
  return "ready" in document.documentElement.dataset;
}"""
# restarts a page as if nobody had used it
RESTART = """() => {
  closePanel();
  document.getElementById("panel").replaceChildren();
  Object.assign(chosen, initial);
  start();
  scrollTo(0, 0);
}"""


@pytest.fixture(scope="module")
def opened(chromium: Browser) -> Iterator[Page]:
    """Return a page that a reader in India has opened."""
    with new_page(chromium, timezone_id="Asia/Kolkata") as page:
        page.add_init_script("window.hits = []; window.hit = name => hits.push(name);")
        yield page


class Visit:
    """A visit of a page, with what went wrong and what was requested."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        listeners: dict[Any, Callable[[Any], None]] = {
            "console": lambda message: self.errors.append(message.text),
            "pageerror": lambda error: self.errors.append(str(error)),
            "request": lambda request: self.requests.append(request.url),
        }
        for event, listener in listeners.items():
            self.page.on(event, listener)
        try:
            yield
        finally:
            for event, listener in listeners.items():
                self.page.remove_listener(event, listener)

    def texts(self, selector: str) -> list[str]:
        """Return the texts of elements, without the scripts that a locator needs in the page."""
        found: list[str] = self.page.evaluate(TEXTS, selector)
        return found

    def are_visible(self, *selectors: str) -> list[bool]:
        return [self.page.evaluate(IS_VISIBLE, selector) for selector in selectors]


def resize(page: Page, width: int) -> None:
    size: ViewportSize = {"width": width, "height": 900}
    if page.viewport_size != size:
        page.set_viewport_size(size)


@contextmanager
def visit(
    opened: Page,
    file: Path,
    page: RunPage | str | None = None,
    width: int = 1400,
    *,
    fragment: str = "",
    has_scripts: bool = True,
) -> Iterator[Visit]:
    """Yield a visit of a page, which must cause no error and no request and fit into the window.

    Args:
        opened: The tab.
        file: The file of the page.
        page: The content of the file; by default, the open page is restarted.
        width: The width of the window.
        fragment: The end of the address, from `#` on.
        has_scripts: Whether it is ready only when its scripts say so.
    """
    found = Visit(opened)
    resize(opened, width)
    with found.watched():
        if page is None:
            opened.evaluate(RESTART)
        else:
            text = page if isinstance(page, str) else render_run(page)
            file.write_text(text, encoding="utf-8")
            opened.goto(file.as_uri() + fragment)
            assert not has_scripts or opened.evaluate(IS_READY)
        yield found
        assert opened.evaluate(FITS)
        assert found.errors == []
        assert found.requests == ([] if page is None else [file.as_uri()])


@pytest.fixture(scope="module")
def shop_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop") / "run.html"


@pytest.fixture
def shop(opened: Page, shop_file: Path) -> Iterator[Visit]:
    """Return a visit of the page of a small run, which is loaded once for tests in a row."""
    is_open = opened.url.partition("#")[0] == shop_file.as_uri()
    with visit(opened, shop_file, None if is_open else _with_long_logs(shop_page())) as found:
        yield found


def _with_long_logs(page: RunPage) -> RunPage:
    """Return a page with logs that are longer than their places."""
    log = "\n".join(f"line {i}" for i in range(300))
    return replace(page, steps=tuple(replace(step, log=log) for step in page.steps))


def test_every_part_is_there(shop: Visit) -> None:
    assert shop.texts("h2") == [
        "Load 1790000000.25 of pipeline shop",
        *("What failed", "Warnings", "Time", "Lineage", "Nodes", "Steps"),
    ]
    assert len(shop.texts(".bar")) == 5
    assert shop.texts(".lane .gutter") == ["Thread-1", "Thread-2"]
    assert len(shop.texts(".bar.critical")) == 4
    assert len(shop.texts(".box")) == 9
    assert len(shop.texts(".box.bad")) == 2
    assert len(shop.texts("#table tbody tr")) == 8
    # the node that was not built is pale
    assert "old" in shop.texts(".box.unknown")
    assert shop.are_visible(*LINEAGE_PARTS) == [True, True]


def test_the_table_filters_and_sorts(shop: Visit) -> None:
    page, rows = shop.page, "#table tbody th"
    # the worst nodes come first
    assert shop.texts(rows)[:3] == ["mart", "orders", "recent"]
    page.fill("#filter-text", "models/marts")
    assert shop.texts(rows) == ["mart", "late"]
    # a count leads to its nodes
    page.click("a.count[data-filter=skipped]")
    assert shop.texts(rows) == ["late"]
    assert shop.texts("#filter-count") == ["1 of 10 nodes"]
    page.select_option("#filter-status", "not-run")
    assert shop.texts(rows) == ["board", "old"]
    page.select_option("#filter-status", "project")
    page.select_option("#filter-type", "model")
    assert shop.texts("#filter-count") == ["4 of 10 nodes"]
    page.click("#table thead button:has-text('Time')")
    assert shop.texts(rows) == ["stg", "mart", "late", "old"]
    [sorted_by] = shop.texts("th[aria-sort=descending]")
    assert sorted_by.startswith("Time")
    page.keyboard.press("Enter")
    assert shop.texts(rows)[-1] == "stg"
    page.fill("#filter-text", "nothing like it")
    assert shop.texts("#table tbody td") == ["No node matches."]


def test_the_address_names_the_node_that_is_open(shop: Visit) -> None:
    page = shop.page
    page.click(".failure button.node")
    page.wait_for_url("**/run.html#node=model.shop.mart")
    page.keyboard.press("Escape")
    assert page.url.endswith("/run.html")


def test_an_address_opens_its_node(opened: Page, tmp_path: Path) -> None:
    fragment = "#node=model.shop.stg"
    with visit(opened, tmp_path / "run.html", shop_page(), fragment=fragment) as found:
        opened.locator("#panel dl").wait_for()
        assert found.texts("#panel h2") == ["stg"]


def test_a_node_leads_to_its_places(shop: Visit) -> None:
    page = shop.page
    resize(page, 400)
    page.click(".failure button.node")
    page.click("#panel button:has-text('In the timeline')")
    assert not page.is_visible("#panel")
    assert page.evaluate("document.activeElement.className") == "track"
    page.click(".failure button.node")
    page.click("#panel button:has-text('In the lineage')")
    focused = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focused).startswith("mart, model · error")
    assert page.evaluate(FITS)


def test_messages_can_be_copied(shop: Visit) -> None:
    page = shop.page
    # however short a time a button shows them
    page.evaluate(
        "window.copied = []; const button = document.querySelector('.copied button');"
        "new MutationObserver(() => copied.push(button.textContent)).observe(button,"
        " { childList: true })"
    )
    page.click(".copied button")
    until(lambda: page.evaluate("copied.includes('Copied')"))
    page.focus("#filter-text")
    page.keyboard.press("Control+V")
    assert page.input_value("#filter-text") == "No column amout"
    # a page in a frame must not use the clipboard
    page.evaluate(
        "Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })"
    )
    page.click(".copied button")
    until(lambda: page.evaluate("copied.includes('Selected')"))
    assert page.evaluate("getSelection().toString()") == "No column amout"
    page.evaluate("delete navigator.clipboard")


def test_times_are_those_of_the_reader(shop: Visit) -> None:
    assert shop.texts("dd time")[0] == "2026-09-21 19:43:20 GMT+5:30"
    assert shop.page.get_attribute("dd time", "title") == "2026-09-21 14:13:20 UTC"


def test_a_page_can_be_printed_on_light_paper(shop: Visit) -> None:
    page, colour = shop.page, "getComputedStyle(document.body).color"
    page.emulate_media(color_scheme="dark")
    try:
        assert page.evaluate(colour) == "rgb(230, 231, 228)"
        assert page.pdf().startswith(b"%PDF")
        page.emulate_media(media="print")
        assert page.evaluate(colour) == "rgb(27, 31, 38)"
    finally:
        page.emulate_media(media="screen", color_scheme="light")


def test_a_bar_shows_its_node_on_hover_and_its_details_on_click(shop: Visit) -> None:
    page = shop.page
    bar = page.locator(".bar.good", has_text="stg").first
    bar.hover()
    assert "stg\nmodel · success · 2.00 s" in page.inner_text("#tip")
    bar.click()
    panel = page.locator("#panel")
    panel.locator("text=Compiled SQL").wait_for()
    text = panel.inner_text()
    for words in (
        *("Orders with their items.", "select id, amount from raw.orders", "amount"),
        *("data@shop.example", "2.00 s of 4 runs", '"shop"."staging"."stg"', "unique_stg_id"),
    ):
        assert words in text
    page.keyboard.press("Escape")
    assert not panel.is_visible()
    assert page.evaluate("document.activeElement.className") == "track"


def test_the_timeline_zooms_and_marks_its_critical_path(shop: Visit) -> None:
    page, width = shop.page, "document.querySelector('.canvas').clientWidth"
    before = page.evaluate(width)
    page.click("[data-zoom=in]")
    assert page.evaluate(width) > 1.5 * before
    page.click("[data-zoom=all]")
    assert page.evaluate(width) == before
    page.check("#critical-only")
    assert page.locator(".only-critical").count() == 1
    page.focus(".track")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#tip").startswith("stg")
    page.keyboard.press("Enter")
    assert page.inner_text("#panel h2") == "stg"


def test_the_lineage_is_searched_walked_and_collapsed(shop: Visit) -> None:
    page = shop.page
    page.fill("#lineage-search", "mart")
    assert shop.texts("#lineage-found") == ["1 found"]
    assert page.locator(".box.lit").count() == 1
    page.press("#lineage-search", "Enter")
    page.keyboard.press("ArrowRight")
    assert "late" in page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("Enter")
    assert page.inner_text("#panel h2") == "late"
    page.keyboard.press("Escape")
    page.locator(".box", has_text="stg").hover()
    assert page.locator(".box.lit").count() == 7
    page.click("#lineage-views button:has-text('Folders')")
    assert page.locator(".box").count() == 5
    page.locator(".box", has_text="models/marts").click()
    assert shop.texts("#lineage-views button") == ["All nodes", "Folders", "models/marts"]
    assert page.locator(".box", has_text="late").count() == 1


def test_a_log_is_shown_from_its_end(shop: Visit) -> None:
    failed = shop.page.locator("#step-5 pre")
    left = "pre => pre.scrollHeight - pre.clientHeight - pre.scrollTop"
    assert failed.evaluate("pre => pre.scrollTop") > 0
    assert failed.evaluate(left) < 2
    shop.page.click("#step-1 summary")
    log = shop.page.locator("#step-1 pre")
    until(lambda: log.evaluate("pre => pre.scrollTop") > 0 and log.evaluate(left) < 2)


def test_names_stay_in_their_boxes(opened: Page, tmp_path: Path) -> None:
    names = ("a_name_" * 20, "x" * 140, "short", "\u0645" * 100, "two.words_" * 3)
    page = shop_page()
    nodes = [
        replace(each, name=name, folder=f"models/{name}/{name}")
        for each, name in zip(page.nodes, names * 2, strict=True)
    ]
    with visit(opened, tmp_path / "run.html", replace(page, nodes=tuple(nodes))):
        for title in ("All nodes", "Folders"):
            rooms = opened.evaluate(ROOMS, title)
            assert min(rooms) >= 0


# opens the panel of a node, and returns when it is complete
OPEN = """async () => {
  await readDetails();
  document.querySelector("#table button.node").click();
}"""
ROWS = "document.querySelectorAll('#table tbody tr').length"
SHOW_ALL = """() => {
  const select = document.getElementById("filter-status");
  select.value = "project";
  select.dispatchEvent(new Event("change"));
}"""
# all that a reader can click, type or hover
USE = """async () => {
  await readDetails();
  const each = (selector, act) => {
    for (const found of [...document.querySelectorAll(selector)]) if (found.isConnected) act(found);
  };
  const send = (found, kind, type, options) => {
    found.dispatchEvent(new kind(type, { bubbles: true, ...options }));
  };
  const press = (found, ...keys) => {
    for (const key of keys) send(found, KeyboardEvent, "keydown", { key });
  };
  for (const button of document.querySelectorAll("#table button.node")) {
    button.click();
    // then the panel is complete
    await readDetails();
  }
  const click = (found) => send(found, MouseEvent, "click");
  each("#table thead button, #lineage-views button", click);
  each(".bar, .box, [data-zoom], [data-scale]", click);
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


def test_hostile_texts_are_shown_apart_and_do_nothing(opened: Page, tmp_path: Path) -> None:
    page = hostile(shop_page())
    nodes = [
        replace(each, resource_type="model שמש") if each.unique_id == MART else each
        for each in page.nodes
    ]
    opened.emulate_media(color_scheme="dark")
    with visit(opened, tmp_path / "run.html", replace(page, nodes=tuple(nodes)), 400) as found:
        opened.evaluate(USE)
        assert opened.evaluate(FITS)
        resize(opened, 1400)
        opened.emulate_media(color_scheme="light")
        opened.evaluate(RESTART)
        opened.evaluate(OPEN)
        assert opened.evaluate(BESIDE) == []
        assert opened.evaluate("hits") == []
        assert found.texts("img") == []


def test_texts_of_a_trend_are_shown_apart(opened: Page, tmp_path: Path) -> None:
    trend = Trend(1, 30, 0.0, "dataset `שמש` of pipeline `x`", "שמש", problems=("שמש",))
    with visit(opened, tmp_path / "trend.html", render_trend(trend), has_scripts=False):
        assert opened.evaluate(BESIDE) == []


def test_arbitrary_data_do_nothing_and_break_no_part(opened: Page, tmp_path: Path) -> None:
    # with the page of hostile texts, these reach nearly every block that sixty seeds reach
    for seed in (2, 7, 51):
        with visit(opened, tmp_path / "run.html", strange_page(seed)) as found:
            opened.evaluate(USE)
            assert opened.evaluate("hits") == []
            assert found.texts("img, iframe, form, base") == []
            assert "cannot read the details" not in found.texts("body")[0]
        trend = render_trend(strange_trend(seed))
        with visit(opened, tmp_path / "trend.html", trend, has_scripts=False):
            assert opened.evaluate("hits") == []


def test_a_page_of_many_nodes_shows_some_rows_at_a_time(opened: Page, tmp_path: Path) -> None:
    page = shop_page()
    nodes = [Node(f"model.shop.m{i}", "m", "model", "shop", folder="models") for i in range(600)]
    # each row of a node that ran has an icon, which takes long to draw
    executions = [Execution(each.unique_id, 5, "success") for each in nodes[:100]]
    page = replace(page, nodes=(*page.nodes, *nodes), executions=(*page.executions, *executions))
    with visit(opened, tmp_path / "run.html", page) as found:
        assert opened.evaluate(ROWS) == 100
        opened.evaluate(SHOW_ALL)
        assert opened.evaluate(ROWS) == 100
        opened.evaluate("document.querySelector('#table .more button').click()")
        assert opened.evaluate(ROWS) == 600
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
    devtools = opened.context.new_cdp_session(opened)
    devtools.send("Emulation.setScriptExecutionDisabled", {"value": not removes})
    try:
        with visit(opened, tmp_path / "run.html", text, has_scripts=False) as found:
            [shown] = found.texts("main")
            for words in (
                *("Nightly", "dbt Core 1.11.16", "main · 0123456789ab", "12,345 rows"),
                *("1 failed", "No column amout", "Got 2 results", "Sources that are not fresh"),
                *("Critical path", "The timeline needs JavaScript."),
                "The lineage needs JavaScript.",
            ):
                assert words in shown
            assert len(found.texts("#table tbody tr")) == 8
            assert found.are_visible(".tools") == [False]
    finally:
        devtools.send("Emulation.setScriptExecutionDisabled", {"value": False})
        devtools.detach()


def test_nodes_without_times_have_no_timeline(opened: Page, tmp_path: Path) -> None:
    page = shop_page()
    untimed = tuple(replace(each, started_at=None) for each in page.executions)
    with visit(opened, tmp_path / "run.html", replace(page, executions=untimed)) as found:
        assert "It is not known when the nodes were executed." in found.texts("#timeline")


def test_nodes_that_were_not_executed_have_no_timeline(opened: Page, tmp_path: Path) -> None:
    with visit(opened, tmp_path / "run.html", shop_page(executions=(), freshness=())) as found:
        assert "No node has been executed." in found.texts("#timeline")


def test_a_page_without_nodes_has_no_timeline_and_no_legend(opened: Page, tmp_path: Path) -> None:
    page = shop_page(nodes=(), executions=(), freshness=())
    with visit(opened, tmp_path / "run.html", page) as found:
        assert "No node has been executed." in found.texts("#timeline")
        assert found.are_visible(*LINEAGE_PARTS) == [False, False]


def test_a_notebook_keeps_the_page_in_its_frame(opened: Page, tmp_path: Path) -> None:
    file = tmp_path / "notebook.html"
    shown = HtmlDocument(render_run(shop_page()))._repr_html_()
    file.write_text(f"<!doctype html><h2>Mine</h2>{shown}", encoding="utf-8")
    opened.goto(file.as_uri())
    frame = opened.frames[-1]
    assert frame is not opened.main_frame
    assert frame.evaluate(IS_READY)
    assert len(frame.evaluate(TEXTS, "#table tbody tr")) == 8
    colour = "getComputedStyle(document.querySelector('h2')).color"
    assert opened.evaluate(colour) == "rgb(0, 0, 0)"
