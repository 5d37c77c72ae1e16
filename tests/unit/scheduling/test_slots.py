"""Slots: which instants of a session are due, and how many were missed."""

from datetime import datetime, timedelta

import pytest

from market.clock import EXCHANGE_TZ
from market.errors import CalendarRangeError
from market.sessions import exchange_calendar
from scheduling.slots import FIVE_MINUTES, SlotRule


def on(day: str, clock: str) -> datetime:
    """An instant in Shanghai."""
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=EXCHANGE_TZ)


@pytest.mark.parametrize(
    ("now", "slot"),
    [
        ("09:34:59", None),
        ("09:35:00", "09:35"),
        ("10:32:00", "10:30"),
        ("11:34:00", "11:30"),
        ("12:59:00", "11:30"),
        ("13:05:00", "13:05"),
        ("15:10:00", "15:10"),
        ("23:59:00", "15:10"),
    ],
)
def test_the_slot_that_is_due_is_the_latest_of_the_session(now: str, slot: str | None) -> None:
    """None before the first bar has ended, none in the lunch break, two after the close."""
    due = FIVE_MINUTES.due(on("2025-12-31", now), exchange_calendar())

    assert due == (None if slot is None else on("2025-12-31", f"{slot}:00"))


def test_a_session_has_a_slot_for_each_of_its_bars_and_two_more() -> None:
    """48 bars end at 09:35 … 11:30 and 13:05 … 15:00; 15:05 and 15:10 see them final."""
    slots = FIVE_MINUTES.of_session(on("2025-12-31", "12:00:00"))

    assert len(slots) == 50
    assert slots == sorted(set(slots))


def test_nothing_is_due_on_a_day_off_and_a_day_nobody_knows_is_an_error() -> None:
    """A weekend and a holiday have no slots; beyond the calendar nothing is guessed."""
    for day in ("2025-12-28", "2025-10-01"):
        assert FIVE_MINUTES.due(on(day, "10:30:00"), exchange_calendar()) is None
    with pytest.raises(CalendarRangeError):
        FIVE_MINUTES.due(on("2199-01-05", "10:30:00"), exchange_calendar())


def test_an_instant_of_another_zone_means_the_same_slot() -> None:
    """New York's evening is Shanghai's morning."""
    elsewhere = on("2025-12-31", "10:32:00").astimezone(tz=None)

    assert FIVE_MINUTES.due(elsewhere, exchange_calendar()) == on("2025-12-31", "10:30:00")


@pytest.mark.parametrize(
    ("served", "due", "missed"),
    [
        (None, "09:35", 0),
        (None, "09:50", 3),
        ("10:35", "10:40", 0),
        ("10:35", "10:50", 2),
        ("11:30", "13:10", 1),
    ],
)
def test_missed_slots_lie_between_the_one_served_and_the_one_due(
    served: str | None, due: str, missed: int
) -> None:
    """The lunch break is none."""
    before = None if served is None else on("2025-12-31", f"{served}:00")

    assert FIVE_MINUTES.missed(before, on("2025-12-31", f"{due}:00")) == missed


def test_yesterdays_slot_counts_for_nothing_today() -> None:
    """All slots of today before the due one were missed."""
    yesterday = on("2025-12-30", "15:10:00")

    assert FIVE_MINUTES.missed(yesterday, on("2025-12-31", "09:45:00")) == 2


def test_a_rule_of_another_length_keeps_its_ends() -> None:
    """First and last belong to it."""
    first = on("2025-12-31", "10:00:00")
    rule = SlotRule(every_min=30, first=first.time(), last=(first + timedelta(hours=1)).time())

    assert [slot.strftime("%H:%M") for slot in rule.of_session(first)] == [
        "10:00",
        "10:30",
        "11:00",
    ]
