"""Time and size of the page of a run with 2,000 and 10,000 nodes, and its start in Chromium."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from dlt_dbtcloud.report import (
    Column,
    Execution,
    Load,
    LoadedTable,
    Node,
    PastTime,
    RunHead,
    RunPage,
    Step,
    render_run,
)
from tests.support.reports.browser import find_chromium, open_page

# nodes, seconds to render, bytes
LIMITS = ((2_000, 1.0, 2_000_000), (10_000, 5.0, None))
# milliseconds from the begin of the navigation until the page reacts
INTERACTIVE = 1_000.0

_BEGAN = 1_790_000_000.0
_SQL = """with orders as (

    select * from "warehouse"."staging"."stg_orders_{n}"

),

customers as (

    select * from "warehouse"."staging"."stg_customers_{n}" where country_code in ({codes})

)

select
{columns},
    row_number() over (partition by customers.customer_id order by orders.ordered_at) as number_{n}
from orders
left join customers on orders.customer_id = customers.customer_id
where orders.amount > {amount}
"""


def made_page(count: int, seed: int = 7) -> RunPage:
    """Return the page of a project with some nodes: a third models, most others tests.

    Args:
        count: The number of nodes.
        seed: The seed of its graph and times.
    """
    chance = random.Random(seed)
    sources = [f"source.shop.raw.table_{i}" for i in range(max(1, count // 40))]
    models = [f"model.shop.model_{i}" for i in range(max(1, count // 3))]
    tests = [f"test.shop.test_{i}.{i:08x}" for i in range(count - len(sources) - len(models))]
    nodes = [
        Node(key, f"table_{i}", "source", "shop", "models/sources.yml", f"source raw_{i % 5}")
        for i, key in enumerate(sources)
    ]
    nodes += [_model(key, i, [*sources, *models[:i]], chance) for i, key in enumerate(models)]
    nodes += [
        Node(
            key,
            f"not_null_model_{i % len(models)}_column_{i}",
            "test",
            "shop",
            "models/models.yml",
            "models",
            (models[i % len(models)],),
            code=f"select column_{i} from model_{i % len(models)} where column_{i} is null",
        )
        for i, key in enumerate(tests)
    ]
    ends = [0.0] * 16
    executions = []
    for node in nodes[len(sources) :]:
        thread = ends.index(min(ends))
        took = chance.expovariate(1 / 3)
        status = chance.choices(("success", "error", "warn", "skipped"), (96, 1, 1, 2))[0]
        message = (
            "Database Error: column not found\n  LINE 4: select" if status == "error" else "OK"
        )
        executions.append(
            Execution(
                *(node.unique_id, 4, status, message, _BEGAN + ends[thread], took),
                thread=f"Thread-{thread + 1} (worker)",
            )
        )
        ends[thread] += took
    return RunPage(
        RunHead(
            *(7, "Error", "Nightly", 1, None, _BEGAN - 30, _BEGAN - 20, _BEGAN + max(ends) + 3),
            cause="Triggered via API",
        ),
        made_at=_BEGAN + max(ends) + 10,
        steps=(Step(4, "dbt build", "Error", "dbt build", _BEGAN - 5, _BEGAN + max(ends) + 2),),
        nodes=tuple(nodes),
        executions=tuple(executions),
        load=Load(
            "shop",
            "1790000000.1",
            tuple(LoadedTable(f"table_{i}", 1000 * i, (s,)) for i, s in enumerate(sources)),
        ),
        past={key: PastTime(chance.expovariate(1 / 3), 5) for key in models},
    )


def main() -> int:
    """Measure the page, and return 1 if it is above a limit."""
    failed = False
    for count, most_seconds, most_bytes in LIMITS:
        page = made_page(count)
        render_run(page)
        began = time.perf_counter()
        text = render_run(page)
        seconds, size = time.perf_counter() - began, len(text.encode())
        print(f"{count:6,} nodes: {seconds:.2f} s, {size / 1e6:.2f} MB", end="")
        failed |= seconds > most_seconds or (most_bytes is not None and size > most_bytes)
        if find_chromium():
            started = _start_in_browser(text)
            print(f", interactive after {started:.0f} ms", end="")
            failed |= count == LIMITS[0][0] and started > INTERACTIVE
        print()
    return int(failed)


def _start_in_browser(text: str) -> float:
    """Return the milliseconds until a page reacts."""
    with tempfile.TemporaryDirectory() as folder, open_page() as page:
        file = Path(folder, "run.html")
        file.write_text(text, encoding="utf-8")
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]")
        # the next frame has drawn all, and no script is running
        passed: float = page.evaluate(
            "new Promise(done => requestAnimationFrame("
            "() => setTimeout(() => done(performance.now()))))"
        )
        return passed


def _model(key: str, number: int, earlier: list[str], chance: random.Random) -> Node:
    parents = {chance.choice(earlier[-200:]) for _ in range(chance.choice((1, 1, 2, 3)))}
    columns = tuple(
        Column(f"column_{i}_of_{number % 50}", "VARCHAR", f"The value {i} of order {number}.")
        for i in range(12)
    )
    listed = ",\n".join(f"    orders.{column.name}" for column in columns)
    codes = ", ".join(f"'{chance.getrandbits(24):06x}'" for _ in range(8))
    return Node(
        key,
        f"model_{number}",
        "model",
        "shop",
        f"models/area_{number % 12}/model_{number}.sql",
        f"models/area_{number % 12}",
        tuple(sorted(parents)),
        f"Orders of area {number % 12}, with one row per order and customer.",
        f'"warehouse"."analytics"."model_{number}"',
        "table",
        columns,
        _SQL.format(n=number, codes=codes, columns=listed, amount=chance.randint(1, 999)),
        ("data@shop.example",),
        ("nightly",),
    )


if __name__ == "__main__":
    sys.exit(main())
