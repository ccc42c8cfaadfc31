"""Many calls with 30 % faulty responses, and a count of duplicate and lost runs.

make soak
.venv/bin/python -m benchmarks.soak --seed 7 --calls 2000
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from dlt_dbtcloud import DBTCloudClientV2, DBTCloudConfiguration, DBTCloudException
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.faults import Kind, When
from dlt_dbtcloud.emulator.models import Outcome
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.runs.lifecycle import Lifecycle
from dlt_dbtcloud.runs.trigger import Trigger
from dlt_dbtcloud.typing import Run
from tests.support.clock import FastClock

WORKERS = 8
FAULTY = 0.3
LIMIT = 300.0
# the clock's speed relative to real time
SPEED = 100.0
ROUTES = ("trigger_job", "get_run", "list_runs", "cancel_run")
KINDS: tuple[Kind, ...] = ("status", "html", "half", "cut", "hang", "slow", "late", "rate_limit")
WHENS: tuple[When, ...] = ("before", "after")
STATUSES = (500, 502, 503, 504)


@dataclass
class Soak:
    """Workers, each with its own embedded dbt Cloud, and their counts."""

    seed: int
    calls: int
    counts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop_at: float = field(default_factory=lambda: time.monotonic() + LIMIT)

    def run(self) -> None:
        """Run all workers."""
        workers = [threading.Thread(target=self._work, args=(i,)) for i in range(WORKERS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _work(self, number: int) -> None:
        chance = random.Random(f"{self.seed}/{number}")
        with DBTCloudEmulator() as cloud:
            client = DBTCloudClientV2(
                cloud.api_token, cloud.account_id, cloud.url, clock=FastClock(SPEED)
            )
            with client:
                for call in range(self.calls // WORKERS):
                    if time.monotonic() > self.stop_at:
                        return
                    self._call(chance, cloud, client, call)
                    cloud.reset()

    def _call(
        self, chance: random.Random, cloud: DBTCloudEmulator, client: DBTCloudClientV2, call: int
    ) -> None:
        outcome: Outcome = "success" if chance.random() < 0.7 else "error"
        job = cloud.create_job("Soak", outcome=outcome, duration=chance.choice([0.5, 0.8]))
        _spoil(chance, cloud)
        load = LastLoad("soak", str(time.time() + call)) if chance.random() < 0.5 else None
        trigger = Trigger(str(job), {"cause": "a soak"}, load)
        config = DBTCloudConfiguration(cloud.api_token, str(cloud.account_id), cloud.url)
        ended: Run = {}
        try:
            (ended,) = Lifecycle(client, config).run_all([trigger])
        except DBTCloudException as error:
            print(f"call {call}: {type(error).__name__}: {error}", file=sys.stderr)
        self._count(cloud, ended, outcome)

    def _count(self, cloud: DBTCloudEmulator, ended: Run, outcome: str) -> None:
        runs = cloud.runs
        kept = [run["id"] for run in runs if not run["is_cancelled"]]
        with self.lock:
            self.counts["calls"] += 1
            self.counts["requests"] += len(cloud.requests)
            self.counts["faulty responses"] += len(cloud.struck)
            self.counts["late runs that were cancelled"] += len(runs) - len(kept)
            self.counts["duplicates"] += len(kept) > 1
            self.counts["lost runs"] += len(kept) == 1 and kept != [ended.get("id")]
            self.counts["calls without a run"] += not kept
            self.counts["wrong ends"] += ended.get("is_success") is not (outcome == "success")


def _spoil(chance: random.Random, cloud: DBTCloudEmulator) -> None:
    """Make 30 % of the next responses faulty, in random ways."""
    for route in ROUTES:
        for number in range(30):
            if chance.random() < FAULTY:
                cloud.fail(
                    route,
                    chance.choice(KINDS),
                    when=chance.choice(WHENS),
                    skip=number,
                    status=chance.choice(STATUSES),
                    retry_after=chance.choice([None, 1, 5]),
                    seconds=chance.uniform(0.0, 0.24),
                )


def main() -> None:
    """Run the soak, print the counts, and fail on any error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--calls", type=int, default=1000)
    options = parser.parse_args()
    # short timeouts for hanging responses, and no log
    os.environ |= {"RUNTIME__REQUEST_TIMEOUT": "0.1", "RUNTIME__LOG_LEVEL": "CRITICAL"}
    print(f"seed {options.seed}, {options.calls} calls")
    soak = Soak(options.seed, options.calls)
    began = time.monotonic()
    soak.run()
    counts = soak.counts
    for name, number in counts.items():
        print(f"{number:>8,} {name}")
    print(f"{time.monotonic() - began:>8,.0f} seconds")
    wrong = sum(counts[name] for name in ("duplicates", "lost runs", "wrong ends"))
    sys.exit(bool(wrong) or counts["calls"] < options.calls // WORKERS * WORKERS)


if __name__ == "__main__":
    main()
