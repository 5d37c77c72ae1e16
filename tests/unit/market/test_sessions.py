"""Sessions: holidays, the clock's edges, bar ends, windows, and questions nobody can answer yet."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from market import closed_days
from market.clock import EXCHANGE_TZ, parse_instant
from market.errors import CalendarRangeError, InvalidWindowError
from market.periods import Period
from market.sessions import (
    TradingCalendar,
    Window,
    bar_end,
    bar_end_times,
    calculated_calendar,
    exchange_calendar,
    recorded_calendar,
)
from tests.record_sessions import recorded

# Around the Spring Festival of 2026: off from Sunday the 15th to Monday the 23rd of February.
FRIDAY, TUESDAY, WEDNESDAY = date(2026, 2, 13), date(2026, 2, 24), date(2026, 2, 25)


@pytest.fixture(scope="module")
def calendar() -> TradingCalendar:
    return exchange_calendar()


@pytest.fixture
def week() -> TradingCalendar:
    """Three sessions, of which the last one closes the recorded year."""
    return TradingCalendar([date(2025, 12, 29), date(2025, 12, 30), date(2025, 12, 31)])


def test_the_calendar_starts_with_the_exchange_and_ends_with_an_announced_year(
    calendar: TradingCalendar,
) -> None:
    assert calendar.first_session == date(1990, 12, 19)
    assert calendar.last_session >= date(2026, 12, 31)
    assert calendar.last_session.month == 12, "no year may be recorded in part"


def test_the_calendar_is_recorded_as_the_installed_exchange_calendars_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A version that was not recorded is asked itself."""
    calculated = calculated_calendar()
    window = Window(calculated.first_session, calculated.last_session)
    text = Path(closed_days.__file__).read_text(encoding="utf-8")

    assert text == recorded(calculated), "run `python -m tests.record_sessions`"
    assert recorded_calendar().sessions_in(window) == calculated.sessions_in(window)

    monkeypatch.setattr(closed_days, "CLOSED", "1991: 0101")
    asked = exchange_calendar.__wrapped__
    assert asked().is_session(date(2026, 1, 1)), "what is recorded was not used"
    monkeypatch.setattr(closed_days, "RECORDED_FROM", "4.0")
    assert asked().sessions_in(window) == calculated.sessions_in(window)


@pytest.mark.parametrize(
    ("day", "trades"),
    [
        ("2026-02-13", True),
        ("2026-02-16", False),  # a Monday of the Spring Festival
        ("2026-02-24", True),
        ("2026-01-01", False),
        ("2026-02-14", False),  # a Saturday on which offices work and the exchange does not
        ("2026-02-28", False),
        ("2025-10-08", False),
        ("2025-10-09", True),
        ("2020-01-31", False),  # the festival that was prolonged
        ("1990-12-19", True),
    ],
)
def test_holidays_are_no_sessions(calendar: TradingCalendar, day: str, *, trades: bool) -> None:
    assert calendar.is_session(date.fromisoformat(day)) is trades


def test_a_year_has_the_sessions_that_the_exchange_published(calendar: TradingCalendar) -> None:
    counts = {
        year: len(calendar.sessions_in(Window(date(year, 1, 1), date(year, 12, 31))))
        for year in (2019, 2020, 2023, 2024, 2025)
    }
    assert counts == {2019: 244, 2020: 243, 2023: 242, 2024: 242, 2025: 243}


def test_a_window_holds_both_its_ends(calendar: TradingCalendar) -> None:
    assert calendar.sessions_in(Window(FRIDAY, WEDNESDAY)) == (FRIDAY, TUESDAY, WEDNESDAY)
    assert calendar.sessions_in(Window(FRIDAY, FRIDAY)) == (FRIDAY,)
    assert calendar.sessions_in(Window(date(2026, 2, 14), date(2026, 2, 23))) == ()
    assert str(Window(FRIDAY, TUESDAY)) == "2026-02-13..2026-02-24"


def test_a_reversed_window_is_refused() -> None:
    with pytest.raises(InvalidWindowError, match="swap --from and --to"):
        Window(TUESDAY, FRIDAY)


def test_neighbours_of_a_day_off_and_of_a_session(calendar: TradingCalendar) -> None:
    holiday = date(2026, 2, 18)
    assert calendar.session_on_or_before(holiday) == FRIDAY
    assert calendar.session_on_or_after(holiday) == TUESDAY
    assert calendar.session_on_or_before(TUESDAY) == TUESDAY
    assert calendar.session_on_or_after(TUESDAY) == TUESDAY
    assert calendar.offset(TUESDAY, -1) == FRIDAY
    assert calendar.offset(FRIDAY, 2) == WEDNESDAY
    assert calendar.offset(FRIDAY, 0) == FRIDAY


def test_days_off_at_the_end_of_the_last_year_are_still_known() -> None:
    calendar = TradingCalendar([date(2027, 12, 30)])
    assert not calendar.is_session(date(2027, 12, 31))
    assert calendar.session_on_or_before(date(2027, 12, 31)) == date(2027, 12, 30)


def test_questions_beyond_the_last_session_say_so(week: TradingCalendar) -> None:
    beyond = date(2026, 1, 5)
    questions = [
        lambda: week.is_session(beyond),
        lambda: week.sessions_in(Window(week.first_session, beyond)),
        lambda: week.session_on_or_before(beyond),
        lambda: week.session_on_or_after(beyond),
        lambda: week.offset(week.last_session, 1),
        lambda: week.latest_started(datetime(2026, 1, 5, 12, tzinfo=EXCHANGE_TZ)),
        lambda: week.latest_settled(datetime(2026, 1, 5, 12, tzinfo=EXCHANGE_TZ)),
    ]
    for question in questions:
        with pytest.raises(CalendarRangeError, match="is beyond 2025-12-31, the last session"):
            question()


def test_questions_before_the_first_session_say_so(week: TradingCalendar) -> None:
    before = date(2025, 12, 28)
    opening = datetime(2025, 12, 29, 9, tzinfo=EXCHANGE_TZ)
    questions = [
        lambda: week.is_session(before),
        lambda: week.sessions_in(Window(before, week.last_session)),
        lambda: week.session_on_or_before(before),
        lambda: week.offset(week.first_session, -1),
        lambda: week.latest_started(opening),
        lambda: week.latest_settled(opening),
    ]
    for question in questions:
        with pytest.raises(CalendarRangeError, match="is before 2025-12-29, the first session"):
            question()
    assert week.session_on_or_after(before) == week.first_session


def test_a_place_is_counted_from_sessions_only(calendar: TradingCalendar) -> None:
    with pytest.raises(CalendarRangeError, match="2026-02-18 is not a session"):
        calendar.offset(date(2026, 2, 18), 1)


def test_a_calendar_without_sessions_is_refused() -> None:
    with pytest.raises(CalendarRangeError, match="at least one session"):
        TradingCalendar([])


@pytest.mark.parametrize(
    ("now", "started", "settled"),
    [
        ("2026-02-24T00:00", FRIDAY, FRIDAY),  # the first session after nine days off
        ("2026-02-24T09:29:59", FRIDAY, FRIDAY),
        ("2026-02-24T09:30", TUESDAY, FRIDAY),
        ("2026-02-24T12:00", TUESDAY, FRIDAY),
        ("2026-02-24T15:00", TUESDAY, FRIDAY),
        ("2026-02-24T15:04:59", TUESDAY, FRIDAY),
        ("2026-02-24T15:05", TUESDAY, TUESDAY),
        ("2026-02-24T23:59:59", TUESDAY, TUESDAY),
        ("2026-02-25T09:29", TUESDAY, TUESDAY),
        ("2026-02-14T10:00", FRIDAY, FRIDAY),  # a Saturday
        ("2026-02-18T15:05", FRIDAY, FRIDAY),  # a holiday
    ],
)
def test_a_session_starts_at_0930_and_settles_at_1505(
    calendar: TradingCalendar, now: str, started: date, settled: date
) -> None:
    instant = parse_instant(now)
    assert calendar.latest_started(instant) == started
    assert calendar.latest_settled(instant) == settled
    # The same instant told in another zone, where it is another day.
    assert calendar.latest_started(instant.astimezone(UTC)) == started
    assert calendar.latest_settled(instant.astimezone(UTC)) == settled


def test_the_time_to_settle_can_be_set(calendar: TradingCalendar) -> None:
    now = parse_instant("2026-02-24T15:04")
    assert calendar.latest_settled(now, settled_at=time(15, 4)) == TUESDAY


def test_an_instant_without_a_zone_is_refused_rather_than_guessed(
    calendar: TradingCalendar,
) -> None:
    naive = datetime(2026, 2, 24, 10)  # noqa: DTZ001  (that is the point)
    for question in (calendar.latest_started, calendar.latest_settled):
        with pytest.raises(ValueError, match="has no time zone"):
            question(naive)


@pytest.mark.parametrize(
    ("period", "count", "first", "noon", "after_noon"),
    [
        ("1m", 240, time(9, 31), time(11, 30), time(13, 1)),
        ("5m", 48, time(9, 35), time(11, 30), time(13, 5)),
        ("15m", 16, time(9, 45), time(11, 30), time(13, 15)),
        ("30m", 8, time(10), time(11, 30), time(13, 30)),
        ("60m", 4, time(10, 30), time(11, 30), time(14)),
    ],
)
def test_bars_of_a_session_end_where_the_exchange_says(
    period: str, count: int, first: time, noon: time, after_noon: time
) -> None:
    ends = bar_end_times(Period(period))
    half = count // 2
    assert len(set(ends)) == len(ends) == count
    assert (ends[0], ends[half - 1], ends[half], ends[-1]) == (first, noon, after_noon, time(15))
    assert list(ends) == sorted(ends)


@pytest.mark.parametrize("period", [Period.DAILY, Period.WEEKLY, Period.MONTHLY])
def test_longer_bars_end_at_the_close(period: Period) -> None:
    assert bar_end_times(period) == (time(15),)


def test_a_bar_ends_at_an_instant_in_shanghai() -> None:
    assert bar_end(TUESDAY).isoformat() == "2026-02-24T15:00:00+08:00"
    assert bar_end(TUESDAY, time(9, 35)).astimezone(UTC).hour == 1
    # The one summer in which the exchange traded on summer time.
    assert bar_end(date(1991, 7, 1)).utcoffset() == timedelta(hours=9)
