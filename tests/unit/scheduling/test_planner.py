"""Plans: which sessions a request means, what is missing, and how it is cut into waves."""

from collections.abc import Collection
from datetime import date, datetime

import pytest

from market.clock import EXCHANGE_TZ
from market.errors import CalendarRangeError, InvalidWindowError
from market.periods import Period
from market.sessions import Window, exchange_calendar
from scheduling.planner import BatchSizing, Subject, WindowPlan, plan_klines, plan_window
from storage.coverage import Coverage, join_ranges
from storage.run_records import Work

CALENDAR = exchange_calendar()
NOW = datetime(2025, 12, 31, 16, 0, tzinfo=EXCHANGE_TZ)
YEAR = Window(date(2025, 1, 2), date(2025, 12, 31))


def settle(
    start: date | None = None,
    end: date | None = None,
    period: Period = Period.DAILY,
    now: datetime = NOW,
) -> WindowPlan:
    """The window meant by a request."""
    return plan_window(
        start=start,
        end=end,
        period=period,
        history_from=date(2015, 1, 5),
        calendar=CALENDAR,
        now=now,
    )


def test_without_dates_the_window_is_all_history_to_the_latest_session() -> None:
    """Nothing asked means everything configured."""
    assert settle().window == Window(date(2015, 1, 5), date(2025, 12, 31))


def test_before_the_open_the_latest_session_is_yesterdays() -> None:
    """A session that has not begun has no bars."""
    early = datetime(2025, 12, 31, 9, 29, tzinfo=EXCHANGE_TZ)
    assert settle(now=early).window.end == date(2025, 12, 30)


def test_a_window_in_the_future_is_refused_with_the_latest_session() -> None:
    """The message says from when on there can be no bars."""
    with pytest.raises(InvalidWindowError, match=r"in the future.*2025-12-31"):
        settle(start=date(2026, 3, 2))


def test_an_end_in_the_future_is_cut_and_said() -> None:
    """What can be had is fetched, and the asker learns about the rest."""
    plan = settle(start=date(2025, 12, 1), end=date(2026, 3, 2))

    assert plan.window.end == date(2025, 12, 31)
    assert "2026-03-02" in plan.notices[0]


def test_minutes_beyond_the_upstreams_reach_are_said_not_guessed() -> None:
    """1m reaches back five sessions."""
    plan = settle(start=date(2025, 12, 1), period=Period.M1)

    assert CALENDAR.sessions_in(plan.window)[0] == date(2025, 12, 25)
    assert "5 sessions" in plan.notices[0]
    with pytest.raises(InvalidWindowError, match="nothing of"):
        settle(start=date(2025, 1, 2), end=date(2025, 1, 31), period=Period.M1)


def test_a_weekend_is_no_window() -> None:
    """A window without a session is a mistake, not an empty success."""
    with pytest.raises(InvalidWindowError, match="no trading session"):
        settle(start=date(2025, 12, 27), end=date(2025, 12, 28))


def test_beyond_the_recorded_calendar_is_said() -> None:
    """Sessions of a year that is not announced are never guessed."""
    with pytest.raises(CalendarRangeError, match="upgrade exchange_calendars"):
        CALENDAR.sessions_in(Window(date(2026, 1, 5), date(2031, 1, 2)))


def waves_for(
    coverage: dict[str, Coverage], count: int = 3, first: Collection[str] = ()
) -> list[tuple[str, date, date]]:
    """What would be fetched of so many symbols over 2025."""
    waves, _ = plan_klines(
        work=Work.KLINE,
        subjects=[Subject(f"60000{n}.SH") for n in range(count)],
        coverage=coverage,
        window=YEAR,
        period=Period.DAILY,
        calendar=CALENDAR,
        queue="quant_stock_queues",
        sizing=BatchSizing(2, 4),
        first=first,
    )
    items = [item for wave in waves for batch in wave.batches for item in batch.items]
    return [(i.subject, i.start, i.end) for i in items if i.start and i.end]


def test_only_what_is_missing_is_fetched() -> None:
    """Whole: nothing; behind: the tail; with a hole: one window that spans what is missing."""
    coverage = {
        "600000.SH": Coverage((YEAR,)),
        "600001.SH": Coverage((Window(YEAR.start, date(2025, 12, 26)),)),
        "600002.SH": Coverage(
            (Window(YEAR.start, date(2025, 3, 3)), Window(date(2025, 3, 7), YEAR.end))
        ),
    }
    assert waves_for(coverage) == [
        ("600002.SH", date(2025, 3, 4), date(2025, 3, 6)),
        ("600001.SH", date(2025, 12, 29), date(2025, 12, 31)),
    ]


def test_the_watch_list_comes_first_and_then_what_lacks_the_oldest_session() -> None:
    """What is asked last may be lost, or stay stale."""
    coverage = {
        "600000.SH": Coverage((Window(YEAR.start, date(2025, 12, 30)),)),
        "600001.SH": Coverage((Window(YEAR.start, date(2025, 12, 26)),)),
    }
    order = [name for name, _, _ in waves_for(coverage)]
    assert order == ["600002.SH", "600001.SH", "600000.SH"]
    watched = [name for name, _, _ in waves_for(coverage, first={"600000.SH"})]
    assert watched == ["600000.SH", "600002.SH", "600001.SH"]


def test_a_watermark_never_passes_a_gap() -> None:
    """It is the end of the first range, however much lies beyond."""
    held = Coverage((Window(YEAR.start, date(2025, 3, 3)), Window(date(2025, 3, 7), YEAR.end)))
    assert held.watermark == date(2025, 3, 3)
    assert Coverage(()).watermark is None


def test_ranges_that_touch_by_the_calendar_become_one() -> None:
    """Friday and Monday are adjacent; Friday and Tuesday are not."""
    friday, monday, tuesday = date(2025, 3, 7), date(2025, 3, 10), date(2025, 3, 11)
    start = Window(date(2025, 3, 3), friday)

    assert join_ranges([start, Window(monday, tuesday)], CALENDAR) == (
        Window(date(2025, 3, 3), tuesday),
    )
    assert len(join_ranges([start, Window(tuesday, tuesday)], CALENDAR)) == 2


def test_batches_and_waves_are_bounded() -> None:
    """Items are cut into batches, batches into waves."""
    waves, complete = plan_klines(
        work=Work.KLINE,
        subjects=[Subject(f"{600000 + n}.SH") for n in range(11)],
        coverage={},
        window=YEAR,
        period=Period.DAILY,
        calendar=CALENDAR,
        queue="quant_stock_queues",
        sizing=BatchSizing(2, 4),
    )

    assert complete == []
    assert [[len(b.items) for b in w.batches] for w in waves] == [[2, 2], [2, 2], [2, 1]]


@pytest.mark.parametrize(("rate", "size"), [(0.1, 5), (1.6, 5), (4.0, 12), (50.0, 50)])
def test_a_batch_is_sized_by_time(rate: float, size: int) -> None:
    """About 25 seconds while eight threads share the permitted rate, within bounds."""
    assert BatchSizing.for_rate(rate).items_per_batch == size


@pytest.mark.parametrize(
    ("rate", "sessions", "items"),
    [
        (0.6, 1, 400),  # at a live rate a minute brings 36: waves are what they were
        (50.0, 1, 3_000),  # what a minute brings
        (10_000.0, 250, 1_200),  # what 300,000 bars are
        (10_000.0, 2_500, 400),  # a long history: never less than some hundred
    ],
)
def test_a_wave_of_fast_and_small_fetches_has_more(rate: float, sessions: int, items: int) -> None:
    """Each wave rewrites what it touches: a market of one-day fetches need not do so often."""
    assert BatchSizing.for_rate(rate).of_bars(sessions).items_per_wave == items
    assert BatchSizing.for_rate(rate, wave_items=20).of_bars(sessions).items_per_wave == 20
