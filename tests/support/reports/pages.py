"""The page of a small run, as plain data."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
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

__all__ = ["BEGAN", "hostile", "shop_page", "texts_of"]


BEGAN = 1_790_000_000.0
ORDERS, ITEMS = "source.shop.raw.orders", "source.shop.raw.items"
STAGED, SEED, MART, LATE = "model.shop.stg", "seed.shop.codes", "model.shop.mart", "model.shop.late"
BOARD = "exposure.shop.board"
UNIQUE, RECENT = "test.shop.unique_stg_id.1", "test.shop.recent.2"


def shop_page(**changes: Any) -> RunPage:
    """Return a run with a failed model, a skipped one, a warned test and a stale source."""
    nodes = (
        Node(ORDERS, "orders", "source", "shop", "models/raw.yml", "source raw"),
        Node(ITEMS, "items", "source", "shop", "models/raw.yml", "source raw"),
        Node(
            *(STAGED, "stg", "model", "shop", "models/staging/stg.sql", "models/staging"),
            parents=(ORDERS, ITEMS),
            description="Orders with their items.",
            relation='"shop"."staging"."stg"',
            materialized="view",
            columns=(Column("id", "INTEGER", "The key."), Column("amount", "DECIMAL")),
            code="select id, amount from raw.orders",
            owners=("data@shop.example",),
            tags=("nightly",),
        ),
        Node(SEED, "codes", "seed", "shop", "seeds/codes.csv", "seeds"),
        Node(
            *(MART, "mart", "model", "shop", "models/marts/mart.sql", "models/marts"),
            parents=(STAGED, SEED),
            code="select amout from staging.stg",
        ),
        Node(LATE, "late", "model", "shop", "models/marts/late.sql", "models/marts", (MART,)),
        Node(BOARD, "board", "exposure", "shop", "models/marts/board.yml", "models/marts", (LATE,)),
        Node(UNIQUE, "unique_stg_id", "test", "shop", "models/staging/stg.yml", None, (STAGED,)),
        Node(RECENT, "recent", "test", "shop", "tests/recent.sql", "tests", (SEED,)),
        Node("model.shop.old", "old", "model", "shop", "models/old.sql", "models", (ITEMS,)),
    )
    worker = "Thread-1 (worker)"
    executions = (
        Execution(SEED, 4, "success", "INSERT 9", BEGAN + 10, 0.5, worker, None, 9),
        Execution(STAGED, 5, "success", "OK", BEGAN + 12, 2.0, worker),
        Execution(UNIQUE, 5, "pass", None, BEGAN + 14, 0.5, worker, 0),
        Execution(RECENT, 5, "warn", "Got 2 results", BEGAN + 12.5, 0.25, "Thread-2 (worker)", 2),
        Execution(MART, 5, "error", "No column amout", BEGAN + 15, 1.0, "Thread-2 (worker)"),
        Execution(LATE, 5, "skipped", None, None, 0.0),
    )
    step = dict(zip(("index", "name", "status"), (5, "Invoke dbt", "Error"), strict=True))
    page = RunPage(
        RunHead(
            id=77,
            status="Error",
            job="Nightly",
            job_id=3,
            message="It failed.",
            created_at=BEGAN,
            started_at=BEGAN + 4,
            finished_at=BEGAN + 20,
            cause="Triggered via API",
            url="https://cloud.getdbt.com/deploy/1/projects/2/runs/77/",
            engine="dbt Core 1.11.16",
            adapter="duckdb",
            git_branch="main",
            git_sha="0123456789abcdef",
            pull_request=12,
            retries=76,
        ),
        made_at=BEGAN + 30,
        steps=(
            Step(1, "Clone git repository", "Success", None, BEGAN + 4, BEGAN + 7, "Cloned."),
            Step(4, "Invoke dbt", "Success", "dbt seed", BEGAN + 7, BEGAN + 11, "Seeded."),
            Step(
                **step,  # type: ignore[arg-type]  # texts and a number, as the fields need
                command="dbt build",
                started_at=BEGAN + 11,
                finished_at=BEGAN + 19,
                log="Running.\nDone.",
                log_url="https://logs.example/5",
                files=(("manifest.json", "https://files.example/manifest.json"),),
            ),
        ),
        nodes=nodes,
        executions=executions,
        freshness=(
            Freshness(ORDERS, "error", "2026-11-26T00:00:00Z", 90000.0, "warn after 1 day", "old"),
            Freshness(ITEMS, "pass", "2026-11-27T00:00:00Z", 60.0),
        ),
        load=Load("shop", "1790000000.25", (LoadedTable("orders", 12_345, (ORDERS,)),)),
        past={MART: PastTime(0.5, 5), STAGED: PastTime(2.0, 4)},
        problems=("there is no `catalog.json`",),
    )
    return _with(page, changes) if changes else page


def hostile(value: Any, prefix: str = "") -> Any:
    """Return a value with markup, quotes and control characters in each text, ids excepted."""
    if is_dataclass(value) and not isinstance(value, type):
        kept = {"unique_id", "parents", "sources", "resource_type", "status"}
        kept |= {"url", "log_url", "files", "git_sha"}
        changed = {
            each.name: hostile(getattr(value, each.name), f"{type(value).__name__}.{each.name}")
            for each in fields(value)
            if each.name not in kept
        }
        return _with(value, changed)
    if isinstance(value, tuple):
        return tuple(hostile(each, prefix) for each in value)
    if isinstance(value, str):
        return (
            f"<script>hit('{prefix}')</script>{value}\"'><img src=x onerror=hit('{prefix}')>"
            "</script><!--{{7*7}}\x00\x1b[31m\u202e&lt;\u2028שמש"
        )
    return value


def texts_of(page: RunPage) -> list[str]:
    """Return the words by which each text of `hostile` can be found."""
    return sorted({*_words(hostile(page))})


def _words(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from _words(getattr(value, each.name))
    elif isinstance(value, tuple):
        for each in value:
            yield from _words(each)
    elif isinstance(value, str) and "<script>hit('" in value:
        yield value.partition("<script>hit('")[2].partition("'")[0]


def _with(value: Any, changes: dict[str, Any]) -> Any:
    from dataclasses import replace

    return replace(value, **changes)
