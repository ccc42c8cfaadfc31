"""An outage is logged at once and waited out until the timeout."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dlt_dbtcloud import DBTCloudNotFoundError, DBTCloudServerError
from dlt_dbtcloud.client.outages import Clock, Patience, RateLimiter
from dlt_dbtcloud.exceptions import DBTCloudException, DBTCloudRateLimitError
from tests.support.clock import FakeClock

OUTAGE = DBTCloudServerError("GET", "/runs/1/", 503, "The service is not well.")


def failing(error: DBTCloudException, times: int) -> Callable[[], str]:
    """Return a function that raises an error a number of times, then returns a response."""
    errors = iter([error] * times)

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


@pytest.mark.parametrize(("asked", "slept"), [(30.0, [30.0]), (101.0, [])])
def test_retry_after_is_respected(asked: float, slept: list[float]) -> None:
    clock, error = FakeClock(), DBTCloudRateLimitError("GET", "/runs/1/", 429, "Too many.")
    error.retry_after = asked
    if slept:
        assert wait_out(failing(error, 1), timeout=100, clock=clock) == "an answer"
    else:
        with pytest.raises(DBTCloudRateLimitError):
            wait_out(failing(error, 1), timeout=100, clock=clock)
    assert clock.sleeps == slept


def test_a_cool_down_is_waited_out_beyond_the_timeout() -> None:
    clock, error = FakeClock(), DBTCloudRateLimitError("GET", "/runs/1/", 429, "Too many.")
    error.retry_after = 300.0
    ask = failing(error, 1)
    assert wait_out(ask, timeout=60, cool_down=330, clock=clock) == "an answer"
    with pytest.raises(DBTCloudRateLimitError):
        wait_out(failing(error, 2), timeout=60, cool_down=330, clock=clock)
    with pytest.raises(DBTCloudServerError):
        wait_out(failing(OUTAGE, 100), timeout=60, cool_down=330, clock=clock)
    assert sum(clock.sleeps) == 300 + 300 + 60


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
