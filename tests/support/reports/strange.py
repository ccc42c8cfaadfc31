"""Pages of arbitrary data: hostile texts also as ids, cycles, missing nodes, endless times."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from dlt_dbtcloud.report import (
    Column,
    Execution,
    Freshness,
    Load,
    LoadedTable,
    Node,
    PastTime,
    RunHead,
    RunPage,
    Step,
)
from dlt_dbtcloud.report.trend import NodeTime, SourceAge, Trend, TrendRun
from tests.support.dbt.results import MANIFEST, RUN_RESULTS

__all__ = ["COMMAND", "PASSWORD", "leaking_artifacts", "strange_page", "strange_trend"]


_TEXTS: Sequence[str] = (
    *("", " ", "\0", "\x000", "null", "nodes", "folder-0", "model.shop.orders", "x" * 5000),
    # names that every object of JavaScript has
    *("__proto__", "constructor", "toString", "hasOwnProperty"),
    *("</script><script>hit(1)</script>", "<!--<script>", "]]>", "\\u003c/script\\u003e"),
    *("' onmouseover='hit(1)", '" autofocus onfocus="hit(1)', "${hit(1)}", "{{7*7}}{% raw %}"),
    *("javascript:hit(1)", "data:text/html,<script>hit(1)</script>", "&lt;img onerror=hit(1)&gt;"),
    *("\u2028\u2029", "\ud800", "\udfff\ud83d", "\x9b31m\x90q\x9c", "\x1b]8;;http://a\x07b\x07"),
    *("\u202egpj.exe", "a\u0300" * 50, "نص عربي", "\ufeff", "\U000e0041"),
)
_NUMBERS: Sequence[float] = (
    *(0.0, -1.0, 1.5, 1e-320, 1.79e9, 253_370_764_799.0, 253_402_300_799.0, 1e18, 1e308),
    *(float("nan"), float("inf"), -float("inf")),
)
_KINDS = ("model", "test", "unit_test", "source", "exposure", "macro")
_STATUSES = ("success", "error", "skipped", "warn", "pass", "fail", "brand new")
_COUNTS = (None, 0, 1, -5, 10**18)


PASSWORD = "s3cretpw99"
COMMAND = f"dbt build --vars '{{password: {PASSWORD}}}'"
_LEAK = f"postgres://me:{PASSWORD}@db/x password={PASSWORD}"
# fields that say what the others mean
_KEPT = frozenset(
    ("unique_id", "status", "started_at", "completed_at", "nodes", "attached_node", "resource_type")
)


def leaking_artifacts() -> dict[str, Any]:
    """Return artifacts with a password in each of their texts that a page shows."""
    texts = ("original_file_path", "description", "compiled_code", "relation_name", "package_name")
    manifest = {
        section: {key: {**dict.fromkeys(texts, "x"), **entry} for key, entry in entries.items()}
        for section, entries in MANIFEST.items()
        if section != "metadata"
    }
    message = {**RUN_RESULTS["results"][0], "message": "x", "thread_id": "x"}
    found: dict[str, Any] = _leaking(
        {
            "manifest.json": {**MANIFEST, **manifest},
            "run_results.json": {"results": [message, *RUN_RESULTS["results"][1:]]},
        }
    )
    return found


def _leaking(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _leaking(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return value if name in _KEPT else [_leaking(each, name) for each in value]
    if isinstance(value, str) and name not in _KEPT:
        return f"{value}/{_LEAK}/{value}"
    return value


class _Source:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def one_of(self, *values: Any) -> Any:
        return self._random.choice(values)

    @property
    def text(self) -> str:
        return self._random.choice(_TEXTS)

    @property
    def number(self) -> float:
        return self._random.choice(_NUMBERS)

    @property
    def time(self) -> float | None:
        return self._random.choice((None, *_NUMBERS))

    def up_to(self, most: int) -> range:
        return range(self._random.randint(0, most))


def strange_page(seed: int) -> RunPage:
    """Return a page of a run."""
    a = _Source(seed)
    ids = [a.text for _ in a.up_to(15)]
    known = ids or ["lost"]
    return RunPage(
        RunHead(
            *(a.one_of(None, 1), a.text, a.text, a.one_of(None, 3), a.text),
            created_at=a.time,
            started_at=a.time,
            finished_at=a.time,
            cause=a.text,
            url=a.text,
            engine=a.text,
            adapter=a.text,
            git_branch=a.text,
            git_sha=a.text,
            retries=a.one_of(None, 1),
        ),
        a.number,
        tuple(_step(a) for _ in a.up_to(4)),
        tuple(_node(a, key, known) for key in ids),
        tuple(_execution(a, known) for _ in a.up_to(15)),
        tuple(
            Freshness(a.one_of(*known, a.text), a.text, a.text, a.time, a.text, a.text)
            for _ in a.up_to(3)
        ),
        a.one_of(None, Load(a.text, a.text, tuple(_table(a, known) for _ in a.up_to(3)))),
        {key: PastTime(a.number, a.one_of(0, 5)) for key in ids},
        (a.text,),
        a.one_of(None, 1.0),
    )


def strange_trend(seed: int) -> Trend:
    """Return the data of the page of a job."""
    a = _Source(seed)
    return Trend(
        *(1, a.one_of(1, 30), a.number, a.text, a.text),
        runs=tuple(
            TrendRun(
                i, a.one_of("Success", a.text), a.number, a.time, a.text, a.one_of(True, False)
            )
            for i in a.up_to(6)
        ),
        nodes=tuple(
            NodeTime(
                i % 6, a.text, a.text, a.one_of("model", "test"), a.one_of(*_STATUSES), a.number
            )
            for i in a.up_to(40)
        ),
        sources=tuple(SourceAge(i, a.text, a.text, a.time) for i in a.up_to(6)),
        problems=(a.text,),
    )


def _node(a: _Source, key: str, known: Sequence[str]) -> Node:
    return Node(
        *(key, a.text, a.one_of(*_KINDS, a.text), a.one_of(None, a.text), a.one_of(None, a.text)),
        folder=a.one_of(None, a.text),
        parents=tuple(a.one_of(*known, "missing") for _ in a.up_to(4)),
        description=a.text,
        relation=a.text,
        materialized=a.text,
        columns=tuple(Column(a.text, a.text, a.text) for _ in a.up_to(2)),
        code=a.text,
        owners=(a.text,),
        tags=(a.text,),
    )


def _execution(a: _Source, known: Sequence[str]) -> Execution:
    return Execution(
        *(a.one_of(*known, a.text), a.one_of(-1, 0, 1, 2), a.one_of(*_STATUSES, a.text), a.text),
        started_at=a.time,
        seconds=a.number,
        thread=a.one_of(None, a.text),
        failures=a.one_of(*_COUNTS),
        rows=a.one_of(*_COUNTS),
    )


def _step(a: _Source) -> Step:
    return Step(
        *(a.one_of(-1, 0, 1, 2), a.text, a.text, a.one_of(None, a.text), a.time, a.time),
        log=a.text * 10,
        log_url=a.text,
        files=((a.text, a.text),),
    )


def _table(a: _Source, known: Sequence[str]) -> LoadedTable:
    return LoadedTable(a.text, a.one_of(*_COUNTS), (a.one_of(*known), a.one_of(*known)))
