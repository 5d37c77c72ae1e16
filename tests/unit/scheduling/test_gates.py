"""The gate of a tick: when a slot is served, and every reason why none is."""

from datetime import datetime

import pytest

from market.clock import EXCHANGE_TZ
from market.errors import CalendarRangeError
from market.sessions import exchange_calendar
from scheduling.gates import Gate, judge
from scheduling.slots import AFTER_CLOSE, FIVE_MINUTES


def on(day: str, clock: str) -> datetime:
    """An instant in Shanghai."""
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=EXCHANGE_TZ)


@pytest.mark.parametrize(
    ("day", "now", "served", "gate", "says"),
    [
        ("2025-12-31", "09:31", None, Gate.BEFORE_FIRST, "before the first slot, 09:35"),
        ("2025-12-31", "10:36", "10:30", Gate.SERVES, "serves slot 10:35"),
        ("2025-12-31", "10:36", "10:35", Gate.SERVED, "slot 10:35 is served"),
        ("2025-12-31", "10:36", "10:20", Gate.SERVES, "serves slot 10:35 and 2 missed before it"),
        ("2025-12-31", "12:00", "11:30", Gate.LUNCH, "lunch"),
        ("2025-12-31", "12:00", "11:25", Gate.SERVES, "serves slot 11:30"),
        ("2025-12-31", "20:00", "15:10", Gate.AFTER_LAST, "after the last slot, 15:10"),
        ("2025-12-28", "10:36", None, Gate.WEEKEND, "no session: weekend"),
        ("2025-10-01", "10:36", None, Gate.HOLIDAY, "no session: holiday"),
    ],
)
def test_a_tick_serves_a_slot_that_has_come_and_else_says_why_not(
    day: str, now: str, served: str | None, gate: Gate, says: str
) -> None:
    before = None if served is None else on(day, served)

    verdict = judge(FIVE_MINUTES, on(day, now), before, exchange_calendar())

    assert (verdict.gate, verdict.says) == (gate, says)
    assert (verdict.slot is not None) == (gate is Gate.SERVES)


def test_the_slot_after_the_close_is_served_once() -> None:
    """In the evening a stack that was down serves it still."""
    late = judge(AFTER_CLOSE, on("2025-12-31", "23:00"), None, exchange_calendar())
    assert late.slot == on("2025-12-31", "15:15")

    again = judge(AFTER_CLOSE, on("2025-12-31", "23:05"), late.slot, exchange_calendar())
    assert again.gate is Gate.AFTER_LAST


def test_beyond_the_calendar_nothing_is_guessed() -> None:
    with pytest.raises(CalendarRangeError):
        judge(FIVE_MINUTES, on("2199-01-05", "10:36"), None, exchange_calendar())
