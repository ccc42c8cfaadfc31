"""Many calls with 30 % faulty responses, and a count of duplicate and lost runs.

make soak
make soak SEED=7 CALLS=200

The time of each call passes by its sleeps alone: runs and late effects take as long as they would,
and a slow machine takes none of it.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from dlt_dbtcloud import (
    DBTCloudClientV2,
    DBTCloudConfiguration,
    DBTCloudException,
    DBTCloudTriggerUnknownError,
)
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.faults import Kind, When
from dlt_dbtcloud.emulator.models import Outcome
from dlt_dbtcloud.loads import LastLoad
from dlt_dbtcloud.runs.lifecycle import Lifecycle
from dlt_dbtcloud.runs.trigger.trigger import Trigger
from dlt_dbtcloud.typing import Run
from tests.support.clock import FakeClock, FakeTimer, clocked

WORKERS = 8
CALLS = 1000
FAULTY = 0.3
# seconds after which no further call begins
LIMIT = 300.0
# seconds until a request times out: real ones, as for one request of each worker
REQUEST_TIMEOUT = 20.0
# seconds in which every late effect has happened
SETTLED = 120.0
ROUTES = ("trigger_job", "get_run", "list_runs", "cancel_run")
KINDS: tuple[Kind, ...] = ("status", "html", "half", "cut", "hang", "slow", "late", "rate_limit")
WHENS: tuple[When, ...] = ("before", "after")
STATUSES = (500, 502, 503, 504)
ERRORS = ("duplicates", "lost runs", "calls without a run", "wrong ends")
# triggers that may have had an effect, for which the search failed again and again
NOT_KNOWN = "not known"
# at most this share of the calls
NOT_KNOWN_LIMIT = 0.005


@dataclass
class Soak:
    """Workers, each with its own embedded dbt Cloud, and their counts.

    Args:
        seed: The seed of the faults.
        calls: The number of calls.
        times_out: Whether the first request of each worker times out, in real time.
    """

    seed: int
    calls: int
    times_out: bool = True
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

    @property
    def has_failed(self) -> bool:
        """Whether a call had a wrong effect or a wrong outcome."""
        is_unknown = self.counts[NOT_KNOWN] > NOT_KNOWN_LIMIT * self.counts["calls"] + 1
        return is_unknown or not self.counts["calls"] or any(self.counts[name] for name in ERRORS)

    def _work(self, number: int) -> None:
        chance = random.Random(f"{self.seed}/{number}")
        clock = FakeClock()

        def new_timer(seconds: float, action: Callable[[], object]) -> FakeTimer:
            return FakeTimer(clock, seconds, action)

        with (
            DBTCloudEmulator(new_timer=new_timer) as cloud,
            DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url) as client,
        ):
            for call in range(number, self.calls, WORKERS):
                if time.monotonic() > self.stop_at:
                    return
                clock = FakeClock()
                if call == number and self.times_out:
                    cloud.fail("trigger_job", "hang", seconds=3600)
                self._call(chance, cloud, clocked(client, clock), call)
                cloud.reset()

    def _call(
        self, chance: random.Random, cloud: DBTCloudEmulator, client: DBTCloudClientV2, call: int
    ) -> None:
        outcome: Outcome = "success" if chance.random() < 0.7 else "error"
        job = cloud.create_job("Soak", outcome=outcome, duration=chance.uniform(50, 80))
        _spoil(chance, cloud)
        load = LastLoad("soak", f"{time.time() + call}") if chance.random() < 0.5 else None
        trigger = Trigger(str(job), {"cause": "a soak"}, load)
        config = DBTCloudConfiguration(cloud.api_token, str(cloud.account_id), cloud.url)
        ended: Run = {}
        is_known = True
        try:
            (ended,) = Lifecycle(client, config).run_all([trigger])
        except DBTCloudException as error:
            is_known = not isinstance(error, DBTCloudTriggerUnknownError)
            print(f"call {call}: {type(error).__name__}: {error}", file=sys.stderr)
        client.clock.sleep(SETTLED)
        self._count(cloud, ended, outcome, is_known=is_known)

    def _count(self, cloud: DBTCloudEmulator, ended: Run, outcome: str, *, is_known: bool) -> None:
        runs = cloud.runs
        kept = [run["id"] for run in runs if not run["is_cancelled"]]
        with self.lock:
            self.counts["calls"] += 1
            self.counts["requests"] += len(cloud.requests)
            self.counts["faulty responses"] += len(cloud.struck)
            self.counts["late runs that were cancelled"] += len(runs) - len(kept)
            self.counts[NOT_KNOWN] += not is_known
            self.counts["duplicates"] += len(kept) > 1
            if is_known:
                self.counts["lost runs"] += len(kept) == 1 and kept != [ended.get("id")]
                self.counts["calls without a run"] += not kept
                self.counts["wrong ends"] += ended.get("is_success") is not (outcome == "success")


def _spoil(chance: random.Random, cloud: DBTCloudEmulator) -> None:
    """Make 30 % of the next responses faulty, in random ways."""
    for route in ROUTES:
        kinds = (*KINDS, "lag") if route == "list_runs" else KINDS
        for number in range(30):
            if chance.random() < FAULTY:
                kind: Kind = chance.choice(kinds)
                cloud.fail(
                    route,
                    kind,
                    when=chance.choice(WHENS),
                    skip=number,
                    status=chance.choice(STATUSES),
                    retry_after=chance.choice([None, 1, 5]),
                    seconds=_seconds(chance, kind),
                )


def _seconds(chance: random.Random, kind: Kind) -> float:
    """Return the delay of a fault: of a late effect on the fake clock, of others in real time."""
    return {"late": chance.uniform(0, 24), "lag": 3600.0}.get(kind, chance.uniform(0, 0.05))


def main() -> None:
    """Run the soak, print the counts, and fail on any error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--calls", type=int, default=CALLS)
    options = parser.parse_args()
    # no log
    os.environ |= {
        "RUNTIME__REQUEST_TIMEOUT": f"{REQUEST_TIMEOUT:g}",
        "RUNTIME__LOG_LEVEL": "CRITICAL",
    }
    print(f"seed {options.seed}, {options.calls} calls", flush=True)
    soak = Soak(options.seed, options.calls)
    began = time.monotonic()
    soak.run()
    for name, number in soak.counts.items():
        print(f"{number:>8,} {name}")
    print(f"{time.monotonic() - began:>8,.0f} seconds")
    sys.exit(soak.has_failed)


if __name__ == "__main__":
    main()
