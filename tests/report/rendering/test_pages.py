"""A page is one document that loads nothing, and foreign texts in it are inert."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
import re
import sys
from dataclasses import replace
from functools import cached_property
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest

from benchmarks.report import made_page
from dlt_dbtcloud.report import (
    Execution,
    Freshness,
    Node,
    PastTime,
    RunHead,
    RunPage,
    Step,
    render_run,
)
from dlt_dbtcloud.report.rendering import pages
from dlt_dbtcloud.report.rendering.pages import render_trend
from tests.support.reports.pages import BEGAN, MART, STAGED, hostile, shop_page, texts_of
from tests.support.reports.strange import strange_page, strange_trend

_URLS = frozenset({"action", "background", "data", "formaction", "href", "poster", "src", "srcset"})


# what is between the visible texts of a page
_HIDDEN = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL)


class Tags(HTMLParser):
    """The tags of a page, and the contents of its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, str | None, str]] = []
        self._open: tuple[str, str | None] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._open = tag, dict(attrs).get("type")
            self.raw.append((*self._open, ""))

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002, the name of the base class
        self._open = None

    def handle_data(self, data: str) -> None:
        if self._open:
            *kind, before = self.raw[-1]
            self.raw[-1] = (kind[0] or "", kind[1], before + data)


class Document:
    """A page, whose many tags are parsed only when a test reads them."""

    def __init__(self, text: str) -> None:
        self._page = text

    @cached_property
    def _parsed(self) -> Tags:
        return Tags(self._page)

    @property
    def tags(self) -> list[tuple[str, dict[str, str | None]]]:
        """The tags with their attributes."""
        return self._parsed.tags

    @property
    def raw(self) -> list[tuple[str, str | None, str]]:
        """The scripts and styles: the tag, its type and its content."""
        return self._parsed.raw

    @property
    def policy(self) -> str:
        """The Content-Security-Policy."""
        return next(a["content"] or "" for _, a in self.tags if "http-equiv" in a)

    @property
    def text(self) -> str:
        """The text outside scripts and styles, with single spaces."""
        return " ".join(unescape(_HIDDEN.sub(" ", self._page)).split())

    def content(self, kind: str) -> str:
        """Return the content of the script of a type."""
        found = re.search(rf'<script type="{kind}"[^>]*>(.*?)</script>', self._page, re.DOTALL)
        assert found, kind
        return found[1]


def details_of(document: Document) -> list[Any]:
    compressed = base64.b64decode(document.content("text/plain"))
    details: list[Any] = json.loads(gzip.decompress(compressed), parse_constant=refuse)
    return details


def refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def test_the_policy_allows_only_its_own_style_and_script() -> None:
    document = Document(render_run(shop_page()))
    policy = document.policy
    allowed = [text for tag, kind, text in document.raw if tag == "style" or kind is None]
    assert len(allowed) == 2
    for text in allowed:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "connect-src" not in policy


def test_a_live_page_may_read_itself_again() -> None:
    document = Document(render_run(shop_page(refresh=1.0)))
    assert "connect-src 'self'" in document.policy
    alone = "This page loads nothing from anywhere."
    assert alone not in document.text
    assert alone in Document(render_run(shop_page())).text


@pytest.mark.parametrize("page", [shop_page(), hostile(shop_page())], ids=["usual", "hostile"])
def test_no_tag_loads_or_executes_anything(page: RunPage) -> None:
    document = Document(render_run(page))
    for tag, attributes in document.tags:
        assert tag not in {"img", "iframe", "link", "object", "embed", "base", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on"), tag
            assert name != "style", tag
            if name in _URLS:
                # an icon is part of the page
                allowed = {"a": ("#", "https://"), "use": ("#",)}[tag]
                assert (value or "").startswith(allowed), value
    assert sum(tag == "script" for tag, _ in document.tags) == 3


def test_hostile_texts_change_no_tag() -> None:
    usual, changed = Document(render_run(shop_page())), Document(render_run(hostile(shop_page())))
    assert [tag for tag, _ in changed.tags] == [tag for tag, _ in usual.tags]


def test_each_text_is_on_the_page() -> None:
    document = Document(render_run(hostile(shop_page())))
    everywhere = document.text + document.content("application/json")
    everywhere += json.dumps(details_of(document))
    missing = [name for name in texts_of(shop_page()) if f"hit('{name}')" not in everywhere]
    assert missing == []


def test_links_lead_to_the_web_or_nowhere() -> None:
    head = replace(shop_page().run, url="javascript:alert(1)")
    step = Step(1, "x", "Success", log_url="//evil.example", files=(("a", "data:text/html,x"),))
    text = render_run(shop_page(run=head, steps=(step,)))
    for url in ("javascript:", "evil.example", "data:text/html"):
        assert url not in text


def test_a_retry_links_to_the_run_it_retries() -> None:
    for url, retried in [
        ("https://x.example/runs/77/", "https://x.example/runs/76/"),
        ("https://x.example/runs/77", "https://x.example/runs/76"),
        ("https://x.example/runs/177", None),
        ("https://x.example/runs/77/steps", None),
        ("javascript:alert(1)/77", None),
        (None, None),
    ]:
        document = Document(render_run(shop_page(run=replace(shop_page().run, url=url))))
        links = [attrs.get("href") or "" for tag, attrs in document.tags if tag == "a"]
        assert [link for link in links if link.rstrip("/").endswith("/76")] == [retried] * bool(
            retried
        )
        assert "Run 76" in document.text


def test_what_failed_comes_first_with_its_consequences() -> None:
    text = Document(render_run(shop_page())).text
    failed = text[text.index("No column amout") :]
    assert "Skipped because of it, 1 node: late" in failed
    assert "Fed by orders , filled by load 1790000000.25 , and by items ." in failed
    assert "select amout from staging.stg" in failed
    assert text.index("No column amout") < text.index("Sources that are not fresh")


def test_the_head_names_run_engine_git_and_load() -> None:
    text = Document(render_run(shop_page())).text
    for words in (
        "dbt Cloud run 77",
        "Nightly",
        "1 failed",
        "dbt Core 1.11.16 · duckdb",
        "main · 0123456789ab · pull request 12",
        "Run 76",
        "2026-09-21",
        "20.0 s",
        "Load 1790000000.25 of pipeline shop",
        "orders 12,345 rows",
    ):
        assert words in text


def test_slow_nodes_are_compared_with_their_medians() -> None:
    text = Document(render_run(shop_page())).text
    assert "mart 1.00 s 5 runs · 0.50 s +100 %" in text
    assert "stg 2.00 s 4 runs · 2.00 s as usual" in text


def test_the_nodes_of_the_run_need_no_scripts() -> None:
    text = Document(render_run(shop_page())).text
    rows = text[text.index("Node Type Status Time Step Folder") :]
    assert "stg model success 2.00 s 5 models/staging" in rows
    assert "orders source error source raw" in rows
    assert " old model" not in rows


def test_of_many_nodes_the_worst_need_no_scripts() -> None:
    many = tuple(Execution(f"model.shop.m{i}", 5, "success") for i in range(600))
    failed = Execution("model.shop.failed", 5, "error")
    text = Document(render_run(shop_page(executions=(*many, failed)))).text
    rows = text[text.index("Node Type Status Time Step Folder") :]
    assert rows.index("failed model error") < rows.index("m0 model success")
    assert "m600" not in rows
    # with the two sources
    assert "and 103 more nodes, which need JavaScript" in rows


def test_a_page_of_2000_nodes_has_at_most_2_mb() -> None:
    chance = random.Random(7)

    def noise(digits: int) -> str:
        return f"{chance.getrandbits(4 * digits):x}"

    page = made_page(2_000)
    nodes = tuple(
        replace(node, name=noise(150), folder=noise(60), description=noise(400), columns=())
        for node in page.nodes
    )
    steps = tuple(Step(i, noise(200), "Error", log=noise(40_000)) for i in range(20))
    # noise contains no secrets, so nothing is redacted
    text = render_run(replace(page, nodes=nodes, steps=steps), str)
    assert 1_500_000 < len(text.encode()) <= 2_000_000
    # its many tags would take long to parse
    details = details_of(Document(text[text.index('<script type="text/plain"') :]))
    assert len(details) == 2_000


def test_long_lists_are_cut_with_their_counts() -> None:
    warned = tuple(Execution(f"test.shop.t{i}", 5, "warn") for i in range(60))
    failed = tuple(Execution(f"model.shop.m{i}", 5, "error") for i in range(1_030))
    stale = tuple(Freshness(f"source.shop.raw.s{i}", "error") for i in range(52))
    problems = tuple(f"problem {i}" for i in range(21))
    steps = tuple(Step(i, f"step {i}", "Success") for i in range(103))
    changes = {"freshness": stale, "problems": problems, "steps": steps}
    text = Document(render_run(shop_page(executions=(*warned, *failed), **changes))).text
    assert "1,005 more nodes failed; the table of nodes has them all." in text
    assert "and 10 more; the table of nodes has them all" in text
    for count in (2, 1, 3):
        assert f"and {count} more " in text
    assert "Warnings 133" in text


def test_a_running_node_is_not_compared_with_its_median() -> None:
    page = shop_page()
    running = tuple(replace(each, status="running") for each in page.executions)
    text = Document(render_run(replace(page, executions=running))).text
    assert "+100 %" not in text
    assert "mart 1.00 s 5 runs · 0.50 s" in text


@pytest.mark.parametrize("status", ["Queued", "Running"])
def test_a_run_in_progress_has_no_critical_path(status: str) -> None:
    page = shop_page()
    ended = Document(render_run(page)).text
    assert "Critical path" in ended
    assert "not in this run yet" not in ended
    head = replace(page.run, status=status, finished_at=None)
    found = Document(render_run(replace(page, run=head)))
    assert "Critical path" not in found.text
    assert "not in this run yet" in found.text
    data = json.loads(found.content("application/json"))
    assert not any(each[-1] for each in data["executions"])


def test_a_step_that_failed_without_a_node_shows_its_log() -> None:
    step = Step(4, "Invoke dbt", "Error", "dbt build", BEGAN, BEGAN + 1, "Compilation Error: x")
    page = shop_page(executions=(), nodes=(), freshness=(), steps=(step,))
    text = Document(render_run(page)).text
    assert "Step 4, dbt build The step failed, but none of its nodes did." in text
    assert text.count("Compilation Error: x") == 2


def test_a_step_whose_nodes_explain_nothing_shows_its_log() -> None:
    log = "[error] No driver\n   0: <unknown>\n   1: start_thread\n             at ./nptl.c:1\nEnd"
    step = Step(5, "Invoke dbt", "Error", "dbt build", BEGAN, BEGAN + 1, log)
    failed = tuple(Execution(f"model.shop.m{i}", 5, "error", "Compilation Error") for i in "ab")
    page = shop_page(executions=failed, freshness=(), steps=(step,))
    text = Document(render_run(page)).text
    assert "The messages of its nodes do not explain it. The end of its log: [error] No dr" in text
    # the frames of a program help nobody
    assert "start_thread" not in text
    explained = (*failed, Execution("model.shop.c", 5, "error", "No column x"))
    assert "do not explain it" not in render_run(shop_page(executions=explained, steps=(step,)))


def test_stale_sources_explain_their_step() -> None:
    step = Step(4, "x", "Error", "dbt source freshness", BEGAN, BEGAN + 1, "1 of 1 ERROR STALE")
    stale = (Freshness("source.a.b.c", "error"),)
    for freshness, is_broken in ((stale, False), ((), True)):
        page = shop_page(executions=(), steps=(step,), freshness=freshness)
        assert ("none of its nodes did" in render_run(page)) is is_broken


def test_a_test_without_a_message_has_its_failures() -> None:
    failed = Execution("test.shop.recent.2", 5, "fail", "Error", failures=1_234)
    document = Document(render_run(shop_page(executions=(failed,))))
    assert "Got 1,234 results" in document.text
    assert "Got 1,234 results" in json.dumps(details_of(document))


def test_sparse_and_strange_runs_have_a_page() -> None:
    for page in [
        RunPage(RunHead(None, ""), 0.0),
        RunPage(RunHead(1, "Queued", created_at=BEGAN), BEGAN + 5),
        RunPage(RunHead(1, "Cancelled"), BEGAN, (Step(1, "", "Cancelled"),)),
        RunPage(RunHead(1, "Success"), BEGAN, nodes=(Node("a", "", ""),)),
        RunPage(RunHead(1, "?"), BEGAN, executions=(Execution("x", 1, "brand new"),)),
        RunPage(RunHead(1, "Success"), BEGAN, freshness=(Freshness("source.a.b.c", "error"),)),
        RunPage(
            RunHead(1, "Success", created_at=1e300, finished_at=float("nan")),
            BEGAN,
            executions=(Execution("model.a.b", 1, "success", None, BEGAN, float("inf")),),
        ),
    ]:
        document = Document(render_run(page))
        assert json.loads(document.content("application/json"))["nodes"] is not None


def test_arbitrary_data_have_a_page_that_is_valid_json_and_unicode() -> None:
    # these reach every step from a line to another that the first sixty seeds reach
    for seed in (0, 3, 5, 8, 10, 18, 31, 38, 41, 46, 49):
        text = render_run(strange_page(seed))
        text.encode()
        document = Document(text)
        assert len(details_of(document)) == len(
            json.loads(document.content("application/json"), parse_constant=refuse)["nodes"]
        )
        render_trend(strange_trend(seed)).encode()


def test_medians_that_overflow_are_not_medians() -> None:
    page = shop_page(past={MART: PastTime(float("inf"), 5), STAGED: PastTime(1e-320, 5)})
    document = Document(render_run(page))
    assert "inf" not in json.dumps(details_of(document)).lower()


def test_ten_megabytes_of_text_are_cut() -> None:
    long = "<&'\"\u202e" * 2_000_000
    node = replace(shop_page().nodes[4], code=long, description=long, path=long, name=long)
    execution = replace(shop_page().executions[4], message=long)
    step = Step(5, long, "Error", long, BEGAN, BEGAN, long)
    page = shop_page(
        nodes=(node,), executions=(execution,), steps=(step,), run=RunHead(1, long, long)
    )
    text = render_run(page)
    assert len(text) < 400_000
    assert "more characters were cut" in text


def test_secrets_do_not_reach_the_page() -> None:
    def redact(text: str) -> str:
        return text.replace("s3cr3t", "***")

    page = shop_page()
    nodes = [replace(each, code="s3cr3t", description="s3cr3t") for each in page.nodes]
    executions = [replace(each, message="by s3cr3t") for each in page.executions]
    steps = [replace(each, log="s3cr3t", command="dbt s3cr3t") for each in page.steps]
    page = shop_page(nodes=tuple(nodes), executions=tuple(executions), steps=tuple(steps))
    text = render_run(page, redact)
    assert "s3cr3t" not in text + str(details_of(Document(text)))
    assert "by ***" in text


def test_a_page_is_the_same_each_time() -> None:
    assert render_run(shop_page()) == render_run(shop_page())


def noise(seed: str) -> str:
    """Return a text that does not get smaller."""
    return "".join(hashlib.sha256(f"{seed}{i}".encode()).hexdigest() for i in range(60))


def test_the_details_of_a_failed_node_come_before_those_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pages, "_DETAILS", 8_000)
    nodes = tuple(
        each if each.unique_id == MART else replace(each, code=noise(each.name))
        for each in shop_page().nodes
    )
    details = details_of(Document(render_run(shop_page(nodes=nodes))))
    of = {detail[0]: detail for detail in details}
    assert of[MART][7] == "select amout from staging.stg"
    assert of[STAGED][7] == ""
    assert of[STAGED][-1] == 1


def test_a_missing_jinja_is_an_error_that_names_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pages._environment.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match=re.escape('pip install "dlt-dbtcloud[report]"')):
        render_run(shop_page())
