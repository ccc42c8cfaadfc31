"""An outage is logged at once and waited out until the timeout."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dlt_dbtcloud import DBTCloudNotFoundError, DBTCloudServerError
from dlt_dbtcloud.client.outages import Clock, Patience, RateLimiter, Throttle, outage_pause
from dlt_dbtcloud.exceptions import DBTCloudException, DBTCloudRateLimitError
from tests.support.clock import FakeClock

OUTAGE = DBTCloudServerError("GET", "/runs/1/", 503, "The service is not well.")


def failing(error: DBTCloudException, times: int, *others: DBTCloudException) -> Callable[[], str]:
    """Return a function that raises an error a number of times, then others, then responds."""
    errors = iter([*[error] * times, *others])

    def ask() -> str:
        error = next(errors, None)
        if error:
            raise error
        return "an answer"

    return ask


def wait_out(
    send: Callable[[], str], *, timeout: float = 120, cool_down: float = 0, clock: Clock
) -> str:
    return Patience(timeout, cool_down).request(lambda _within: send(), clock)


def test_an_outage_is_waited_out_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    assert wait_out(failing(OUTAGE, 5), timeout=100, clock=clock) == "an answer"
    (warning,) = [each.message for each in caplog.records]
    assert "not well" in warning
    assert "Retrying for up to 100 seconds" in warning
    assert len(clock.sleeps) == 5


def test_the_last_attempt_is_made_when_the_time_is_up() -> None:
    clock = FakeClock()
    with pytest.raises(DBTCloudServerError):
        wait_out(failing(OUTAGE, 1000), timeout=100, clock=clock)
    assert sum(clock.sleeps) == 100


def limited(retry_after: float) -> DBTCloudRateLimitError:
    error = DBTCloudRateLimitError("GET", "/runs/1/", 429, "Too many.")
    error.retry_after = retry_after
    return error


def test_retry_after_is_respected() -> None:
    clock = FakeClock()
    assert wait_out(failing(limited(30.0), 1), timeout=100, clock=clock) == "an answer"
    assert 30 <= clock.now <= 33


def test_a_retry_after_beyond_the_timeout_is_an_error_at_once() -> None:
    clock = FakeClock()
    with pytest.raises(DBTCloudRateLimitError):
        wait_out(failing(limited(101.0), 1), timeout=100, clock=clock)
    assert clock.sleeps == []


def test_clients_that_are_to_retry_at_the_same_time_are_spread() -> None:
    pauses = [outage_pause(limited(300.0), 1) for _ in range(100)]
    assert 300 <= min(pauses) < 305
    assert 325 < max(pauses) <= 330


def test_a_cool_down_is_waited_out_beyond_the_timeout() -> None:
    clock, error = FakeClock(), limited(300.0)
    ask = failing(error, 1)
    assert wait_out(ask, timeout=60, cool_down=330, clock=clock) == "an answer"
    assert 300 <= clock.now <= 330
    with pytest.raises(DBTCloudRateLimitError):
        wait_out(failing(error, 2), timeout=60, cool_down=330, clock=clock)
    assert 600 <= clock.now <= 660
    before = clock.now
    with pytest.raises(DBTCloudServerError):
        wait_out(failing(OUTAGE, 100), timeout=60, cool_down=330, clock=clock)
    assert clock.now - before == pytest.approx(60)


def test_a_cool_down_does_not_use_up_the_time_for_an_outage() -> None:
    clock = FakeClock()
    ask = failing(limited(300.0), 1, OUTAGE, OUTAGE)
    assert wait_out(ask, timeout=60, cool_down=330, clock=clock) == "an answer"
    before = clock.now
    ask = failing(limited(300.0), 1, *[OUTAGE] * 100)
    with pytest.raises(DBTCloudServerError):
        wait_out(ask, timeout=60, cool_down=330, clock=clock)
    assert 360 <= clock.now - before <= 390.01


def test_each_cool_down_doubles_the_shortest_pause() -> None:
    throttle = Throttle()
    pauses = [throttle.pause]
    refusals = (True, True, True, False, False, True, False, True, False)
    for number, is_limited in enumerate(refusals):
        throttle.record(30.0 * number, is_limited=is_limited)
        pauses.append(throttle.pause)
    assert pauses == [0, 0, 0, 0, 30, 30, 30, 60, 60, 120]
    for number, is_limited in enumerate((True, False) * 1000, start=len(refusals)):
        throttle.record(30.0 * number, is_limited=is_limited)
    assert throttle.pause == 240


def test_a_refused_burst_is_not_a_cool_down() -> None:
    throttle = Throttle()
    for number, is_limited in enumerate((True, False) * 10):
        throttle.record(29.0 * number, is_limited=is_limited)
    assert throttle.pause == 0


def test_a_permanent_error_is_raised_at_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    with pytest.raises(DBTCloudNotFoundError):
        wait_out(failing(DBTCloudNotFoundError("GET", "/", 404, ""), 1), clock=clock)
    assert clock.sleeps == []
    assert caplog.records == []


def test_simultaneous_requests_are_spaced() -> None:
    clock = FakeClock()
    limiter = RateLimiter(60, clock)
    for _ in range(5):
        limiter.wait()
    assert clock.sleeps == [1.0] * 4


def test_a_late_request_does_not_wait() -> None:
    clock = FakeClock()
    limiter = RateLimiter(60, clock)
    limiter.wait()
    clock.now += 10
    limiter.wait()
    assert clock.sleeps == []
