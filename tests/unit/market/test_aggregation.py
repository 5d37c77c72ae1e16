"""Aggregation: the session's grid, weeks cut by holidays, and what makes a longer bar final."""

from collections.abc import Sequence
from datetime import date, datetime, time

import pyarrow as pa
import pytest

from market.aggregation import AGGREGATED_FROM, Evidence, aggregate, whole_periods
from market.bars import Dataset, bar_schema
from market.clock import EXCHANGE_TZ
from market.periods import FETCHED_PERIODS, Period
from market.sessions import TradingCalendar, Window, bar_end, bar_end_times, exchange_calendar
from tests.fixtures.bars import bars_of, daily_bar

MOUTAI, PINGAN = "600519.SH", "000001.SZ"
SESSION = date(2025, 12, 30)
LATER = datetime(2026, 6, 1, tzinfo=EXCHANGE_TZ)


def at(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), tzinfo=EXCHANGE_TZ)


def fives(ends: Sequence[time] = (), session: date = SESSION, **changes: object) -> pa.Table:
    """5m bars; the n-th of a session closes at 10 + n cents and trades 100 × n shares."""
    whole = bar_end_times(Period.M5)
    rows = []
    for end in ends or whole:
        number = whole.index(end) + 1
        bar = daily_bar(MOUTAI, session, close=10 + number / 100, volume=100 * number)
        rows.append({**bar, "end_at": bar_end(session, end), "turnover_rate": 0.25, **changes})
    return bars_of(rows)


def dailies(days: Sequence[date], state: str = "final") -> pa.Table:
    """Daily bars; all but the last are final."""
    states = ["final"] * (len(days) - 1) + [state]
    return bars_of([daily_bar(MOUTAI, d, state=s) for d, s in zip(days, states, strict=True)])


def sessions(first: date, last: date) -> tuple[date, ...]:
    return exchange_calendar().sessions_in(Window(first, last))


def states(
    period: Period,
    parts: pa.Table,
    now: datetime = LATER,
    covered: Sequence[Window] | None = None,
    calendar: TradingCalendar | None = None,
) -> list[str]:
    known = None if covered is None else {MOUTAI: covered}
    evidence = Evidence(now, covered=known, calendar=calendar)
    found: list[str] = aggregate(Dataset.KLINE, period, parts, evidence)["state"].to_pylist()
    return found


def test_every_period_is_fetched_or_made_of_one_that_is() -> None:
    assert set(AGGREGATED_FROM) | set(FETCHED_PERIODS) == set(Period)
    assert set(AGGREGATED_FROM.values()) <= set(FETCHED_PERIODS)
    assert not set(AGGREGATED_FROM) & set(FETCHED_PERIODS)


@pytest.mark.parametrize(
    ("period", "ends"),
    [
        (Period.M60, ["10:30", "11:30", "14:00", "15:00"]),
        (
            Period.M30,
            ["10:00", "10:30", "11:00", "11:30", "13:30", "14:00", "14:30", "15:00"],
        ),
    ],
)
def test_minute_bars_end_on_the_grid_that_stands_still_over_lunch(
    period: Period, ends: list[str]
) -> None:
    """The 11:30 bar ends the morning; no bar spans the break."""
    bars = aggregate(Dataset.KLINE, period, fives(), Evidence(LATER))

    assert [f"{end:%H:%M}" for end in bars["end_at"].to_pylist()] == ends
    assert bars.schema.equals(bar_schema(Dataset.KLINE), check_metadata=True)


def test_a_bar_opens_with_its_first_part_and_closes_with_its_last() -> None:
    """High and low are the extremes; volume, amount and turnover add up, to the cent."""
    bars = aggregate(Dataset.KLINE, Period.M60, fives(), Evidence(LATER))

    second = bars.to_pylist()[1]  # 5m bars 13 to 24 of the session
    assert (second["open"], second["close"]) == (10.13, 10.24)
    assert (second["high"], second["low"]) == (10.24 + 0.1, 10.13 - 0.1)
    assert second["volume"] == 100 * sum(range(13, 25))
    exact = sum((1000 + n) * n for n in range(13, 25))  # cents times lots
    assert second["amount"] == exact
    assert second["turnover_rate"] == 3.0


def test_parts_may_come_in_any_order_and_of_many_symbols() -> None:
    """Each symbol's bars are its own."""
    days = sessions(date(2025, 12, 1), date(2025, 12, 31))
    rows = [daily_bar(s, d, close=c) for s, c in ((PINGAN, 11.0), (MOUTAI, 10.0)) for d in days]

    bars = aggregate(Dataset.KLINE, Period.MONTHLY, bars_of(rows[::-1]), Evidence(LATER))

    assert bars["symbol"].to_pylist() == [PINGAN, MOUTAI]
    assert bars["close"].to_pylist() == [11.0, 10.0]
    assert bars["volume"].to_pylist() == [100_000 * len(days)] * 2


def test_a_halt_leaves_the_bar_at_the_end_of_the_grid() -> None:
    """Traded until 10:40 only: the second hour's bar still ends at 11:30."""
    morning = [end for end in bar_end_times(Period.M5) if end <= time(10, 40)]

    bars = aggregate(Dataset.KLINE, Period.M60, fives(morning), Evidence(LATER))

    assert [f"{end:%H:%M}" for end in bars["end_at"].to_pylist()] == ["10:30", "11:30"]
    assert bars["close"].to_pylist()[-1] == 10.14


def test_what_a_part_does_not_know_the_whole_does_not_know() -> None:
    """An open of the second part is not the bar's; a sum of some rates is not its rate."""
    first, second = bar_end_times(Period.M5)[:2]
    parts = pa.concat_tables([fives([first], open=None, turnover_rate=None), fives([second])])

    bar = aggregate(Dataset.KLINE, Period.M15, parts, Evidence(LATER)).to_pylist()[0]

    assert (bar["open"], bar["turnover_rate"]) == (None, None)
    assert bar["volume"] == 300


def test_a_bar_off_the_grid_is_refused() -> None:
    """The auction row belongs to 1m klines, which are not aggregated."""
    parts = fives([time(9, 35)]).set_column(
        2, "end_at", pa.array([at(SESSION, "09:30")], pa.timestamp("s", tz="Asia/Shanghai"))
    )
    with pytest.raises(ValueError, match="09:30, where no 5m bar ends"):
        aggregate(Dataset.KLINE, Period.M15, parts, Evidence(LATER))


def test_no_parts_make_no_bars() -> None:
    """An empty table of the same schema."""
    empty = bar_schema(Dataset.BOARD_KLINE).empty_table()
    for period in AGGREGATED_FROM:
        assert aggregate(Dataset.BOARD_KLINE, period, empty, Evidence(LATER)).equals(empty)


def test_weeks_and_months_carry_the_last_session_that_traded() -> None:
    """The week of the Spring Festival has no bar, the one before ends on Friday the 13th."""
    days = [d for d in sessions(date(2026, 2, 2), date(2026, 3, 6)) if d != date(2026, 2, 27)]

    weekly = aggregate(Dataset.KLINE, Period.WEEKLY, dailies(days), Evidence(LATER))
    monthly = aggregate(Dataset.KLINE, Period.MONTHLY, dailies(days), Evidence(LATER))

    ends = [date(2026, 2, 6), date(2026, 2, 13), date(2026, 2, 26), date(2026, 3, 6)]
    assert weekly["session"].to_pylist() == ends
    assert weekly["end_at"].to_pylist() == [bar_end(day) for day in ends]
    assert weekly["volume"].to_pylist() == [500_000, 500_000, 300_000, 500_000]
    assert monthly["session"].to_pylist() == [date(2026, 2, 26), date(2026, 3, 6)]


WEEK = sessions(date(2025, 12, 22), date(2025, 12, 26))
HOLIDAY_WEEK = sessions(date(2025, 12, 29), date(2026, 1, 4))  # Monday to Wednesday


@pytest.mark.parametrize(
    ("days", "now", "state"),
    [
        (WEEK, at(WEEK[-1], "15:04"), "provisional"),
        (WEEK, at(WEEK[-1], "15:05"), "final"),
        (WEEK[:4], at(WEEK[3], "16:00"), "provisional"),
        (HOLIDAY_WEEK, at(HOLIDAY_WEEK[-1], "15:05"), "final"),
    ],
)
def test_a_week_is_final_once_its_last_session_has_settled(
    days: Sequence[date], now: datetime, state: str
) -> None:
    """The calendar says which session that is: before a holiday it may be a Wednesday."""
    assert states(Period.WEEKLY, dailies(days), now) == [state]


def test_the_settling_time_can_be_set() -> None:
    """A quarter of an hour later, so is the week's end."""
    evidence = Evidence(at(WEEK[-1], "15:10"), settled_at=time(15, 20))

    bars = aggregate(Dataset.KLINE, Period.WEEKLY, dailies(WEEK), evidence)

    assert bars["state"].to_pylist() == ["provisional"]


def test_a_bar_with_a_provisional_part_is_provisional_however_late_it_is() -> None:
    """A noon value that was never fetched again is not a week's."""
    assert states(Period.WEEKLY, dailies(WEEK, "provisional")) == ["provisional"]
    assert states(Period.M60, fives(state="provisional")) == ["provisional"] * 4


def test_a_week_with_sessions_still_to_be_fetched_is_provisional() -> None:
    """Held up to Wednesday, read weeks later: Thursday and Friday are not there yet."""
    held = dailies(WEEK[:3])
    to_wednesday, to_friday = Window(WEEK[0], WEEK[2]), Window(WEEK[0], WEEK[4])

    assert states(Period.WEEKLY, held, covered=[to_wednesday]) == ["provisional"]
    assert states(Period.WEEKLY, held, covered=[]) == ["provisional"]
    assert states(Period.WEEKLY, held, covered=[to_friday]) == ["final"]  # suspended from Thursday


def test_without_coverage_only_bars_on_both_sides_prove_a_hole() -> None:
    """A fetch has passed there; at either end, nobody knows."""
    three_weeks = sessions(date(2025, 12, 8), date(2025, 12, 26))
    pierced = [three_weeks[1], *three_weeks[2:6], *three_weeks[8:14]]

    assert states(Period.WEEKLY, dailies(pierced)) == ["provisional", "final", "provisional"]


def test_minute_bars_are_final_a_minute_after_their_end() -> None:
    """The one under way, and the session's last until it settles, are not."""
    until = [end for end in bar_end_times(Period.M5) if end <= time(10, 30)]

    assert states(Period.M60, fives(until), at(SESSION, "10:30:59")) == ["provisional"]
    assert states(Period.M60, fives(until), at(SESSION, "10:31")) == ["final"]
    assert states(Period.M60, fives(), at(SESSION, "15:04:59"))[-2:] == ["final", "provisional"]
    assert states(Period.M60, fives(), at(SESSION, "15:05")) == ["final"] * 4


def test_a_minute_bar_that_lacks_parts_is_final_only_in_a_complete_session() -> None:
    """A halt and a bar that was not fetched look alike until the session is proven complete."""
    halted = fives([end for end in bar_end_times(Period.M5) if end <= time(10, 40)])
    today = [Window(SESSION, SESSION)]

    assert states(Period.M60, halted, covered=[]) == ["final", "provisional"]
    assert states(Period.M60, halted, covered=today) == ["final", "final"]


def test_a_week_that_leaves_the_recorded_calendar_stays_provisional() -> None:
    """Whether its Thursday and Friday trade is not announced yet; reading goes on all the same."""
    known = TradingCalendar([date(2025, 12, 29), date(2025, 12, 30), date(2025, 12, 31)])
    held = dailies(known.sessions_in(Window(date(2025, 12, 29), date(2025, 12, 31))))

    assert states(Period.WEEKLY, held, calendar=known) == ["provisional"]
    assert states(Period.MONTHLY, held, calendar=known, covered=[]) == ["final"]


@pytest.mark.parametrize(
    ("period", "window", "whole"),
    [
        (Period.WEEKLY, ("2025-12-31", "2026-01-05"), ("2025-12-29", "2026-01-11")),
        (Period.MONTHLY, ("2024-02-29", "2024-12-01"), ("2024-02-01", "2024-12-31")),
        (Period.M60, ("2025-12-31", "2025-12-31"), ("2025-12-31", "2025-12-31")),
        (Period.WEEKLY, ("0001-01-01", "9999-12-31"), ("0001-01-01", "9999-12-31")),
        (Period.MONTHLY, ("0001-01-01", "9999-12-31"), ("0001-01-01", "9999-12-31")),
    ],
)
def test_a_window_grows_to_whole_weeks_and_months(
    period: Period, window: tuple[str, str], whole: tuple[str, str]
) -> None:
    """A week of which only two days are asked for is still made of all of them."""
    asked, needed = (Window(*map(date.fromisoformat, days)) for days in (window, whole))

    assert whole_periods(period, asked) == needed
