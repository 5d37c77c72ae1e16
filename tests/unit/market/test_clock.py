"""The exchange clock: Shanghai's time, on whatever machine."""

from datetime import UTC, datetime, timedelta

import pytest

from market.clock import EXCHANGE_TZ, Clock, FixedClock, SystemClock, parse_instant


@pytest.mark.parametrize("clock", [SystemClock(), FixedClock(datetime(2026, 1, 5, tzinfo=UTC))])
def test_every_clock_shows_shanghai_time(clock: Clock) -> None:
    assert clock.now().tzinfo is EXCHANGE_TZ


def test_the_system_clock_shows_the_machines_instant() -> None:
    assert abs(SystemClock().now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_fixed_clock_stands_still() -> None:
    clock = FixedClock(datetime(2026, 1, 5, 2, 32, tzinfo=UTC))
    assert clock.now() == clock.now()
    assert clock.now().isoformat() == "2026-01-05T10:32:00+08:00"


def test_a_fixed_clock_needs_a_zone() -> None:
    clock = FixedClock(datetime(2026, 1, 5, 10))  # noqa: DTZ001  (that is the point)
    with pytest.raises(ValueError, match="has no time zone"):
        clock.now()


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-05T10:32", "2026-01-05T10:32:00+08:00"),
        ("2026-01-05 10:32:05", "2026-01-05T10:32:05+08:00"),
        ("2026-01-05", "2026-01-05T00:00:00+08:00"),
        ("2026-01-05T02:32Z", "2026-01-05T10:32:00+08:00"),
    ],
)
def test_an_instant_without_an_offset_is_shanghai_time(text: str, instant: str) -> None:
    assert parse_instant(text) == datetime.fromisoformat(instant)


def test_what_is_no_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="half past ten"):
        parse_instant("half past ten")


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59"])
def test_an_instant_with_which_nothing_can_be_counted_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="1900 to 2999"):
        parse_instant(text)
