"""Ids rise, begin from the clock, and are not used by any other emulator."""

from __future__ import annotations

from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.emulator.state import LANES, Ids, State
from tests.support.servers.emulator_api import Api

# 26 November 2026
TODAY = 1_795_651_200.0


def many(ids: Ids, count: int = 1000) -> list[int]:
    return [ids.next() for _ in range(count)]


def test_ids_rise_even_if_the_clock_is_set_back() -> None:
    moments = [TODAY, TODAY, TODAY - 3600, TODAY + 0.01, TODAY + 60]
    clock = iter(moments)
    ids = many(Ids(lambda: next(clock)), len(moments))
    assert ids == sorted({*ids})


def test_a_later_emulator_begins_with_greater_ids() -> None:
    earlier = many(Ids(lambda: TODAY, lane=LANES - 1), 100)
    assert Ids(lambda: TODAY + 1.01, lane=0).next() > max(earlier)


def test_emulators_at_the_same_time_have_no_id_in_common() -> None:
    one, other = (many(Ids(lambda: TODAY, lane=lane)) for lane in (7, 8))
    assert not {*one} & {*other}
    # two may have one lane by chance
    assert len({Ids(lambda: TODAY).next() for _ in range(20)}) > 10


def test_ids_exceed_32_bits_and_are_exact_in_json() -> None:
    in_thirty_years = TODAY + 30 * 365.25 * 86400
    for clock in (TODAY, in_thirty_years):
        assert 2**32 < Ids(lambda clock=clock: clock, lane=LANES - 1).next() < 2**53  # type: ignore[misc]  # mypy cannot infer this lambda


def test_the_state_takes_its_ids_from_a_clock() -> None:
    tick, lane = divmod(State(Ids(lambda: TODAY, lane=5)).new_id(), LANES)
    assert lane == 5
    # a new state may have used a few ids
    assert 0 <= tick - int(TODAY * 100) < 10


def test_two_emulators_at_once_never_share_the_id_of_a_run() -> None:
    with DBTCloudEmulator() as one, DBTCloudEmulator() as other:
        for cloud in (one, other):
            api = Api(cloud)
            with api.session:
                job = cloud.create_job("Any")
                for _ in range(5):
                    api.trigger(job)
        ids = [run["id"] for cloud in (one, other) for run in cloud.runs]
    assert len({*ids}) == 10
