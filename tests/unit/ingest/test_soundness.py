"""Answers looked at together: what is not in doubt keeps every rule, whatever stands beside it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pyarrow as pa
import pytest

from ingest.simulator.eastmoney import Spoiling, kline
from ingest.simulator.seeded.market import SeededMarket
from ingest.soundness import Series, in_doubt
from ingest.sources.kline_lines import KLINE_FIELDS, Asked, read_lines
from ingest.validation import Evidence, validate_bars
from market.bars import Dataset
from market.periods import Period
from market.sessions import SETTLED_AT, Window, exchange_calendar
from market.symbols import parse_stock

WINDOW = Window(date(2025, 6, 2), date(2025, 12, 30))
CALENDAR = exchange_calendar()
FIRST, MIDDLE = 0, 40

Spoil = Callable[[pa.Table], pa.Table]


def answers(period: Period = Period.DAILY) -> list[Series]:
    """What some symbols are answered, suspended and newly listed ones among them."""
    market, now = (
        SeededMarket(symbols=40, start=WINDOW.start),
        datetime(2025, 12, 31, 8, tzinfo=UTC),
    )
    klt = "101" if period is Period.DAILY else "5"
    found = []
    for code in market.listing(WINDOW.end):
        secid = f"{1 if code.startswith('6') else 0}.{code}"
        query = {"secid": secid, "klt": klt, "end": f"{WINDOW.end:%Y%m%d}", "beg": "20250602"}
        body = cast("dict[str, Any]", kline(market, query, now, Spoiling())["data"])
        asked = Asked(Dataset.KLINE, str(parse_stock(code)), period, now, "simulator", SETTLED_AT)
        bars = read_lines(asked, body["klines"], KLINE_FIELDS, WINDOW)
        if bars.table.num_rows > MIDDLE + 1:
            found.append(Series(bars.table, Evidence(WINDOW, bars.changes)))
    return found


def replaced(name: str, row: int, value: Callable[[object], object]) -> Spoil:
    """A bar with another value."""

    def spoil(bars: pa.Table) -> pa.Table:
        field = bars.schema.field(name)
        values = bars[name].to_pylist()
        values[row] = value(values[row])
        column = pa.array(values, field.type)
        return bars.set_column(bars.schema.get_field_index(name), field, column)

    return spoil


def times(factor: float) -> Callable[[object], object]:
    return lambda value: type(value)(value * factor)  # type: ignore[call-arg,operator]


SPOILT: dict[str, Spoil] = {
    "a price of zero": replaced("low", MIDDLE, lambda _: 0.0),
    "high below close": replaced("high", MIDDLE, lambda value: value * 0.5),  # type: ignore[operator]
    "a negative volume": replaced("volume", MIDDLE, lambda _: -100),
    "no trade": lambda bars: replaced("amount", MIDDLE, lambda _: 0.0)(
        replaced("volume", MIDDLE, lambda _: 0)(bars)
    ),
    "no amount": replaced("amount", MIDDLE, lambda _: 0.0),
    "shares for lots": replaced("volume", MIDDLE, times(100)),
    "an average price outside": replaced("amount", MIDDLE, times(1.5)),
    "a close that nothing continues": replaced("close", MIDDLE, lambda v: v + 0.02),  # type: ignore[operator]
    "nothing": replaced("close", MIDDLE, times(1.0)),
    "a weekend": replaced(
        "session", MIDDLE, lambda day: day - timedelta(days=day.weekday() + 1)  # type: ignore[attr-defined,operator]
    ),
    "another end": replaced("end_at", MIDDLE, lambda at: at - timedelta(minutes=5)),  # type: ignore[operator]
    "a row twice": lambda bars: pa.concat_tables([bars, bars.slice(MIDDLE, 1)]),
    "before the window": replaced("session", FIRST, lambda _: WINDOW.start - timedelta(days=3)),
}  # fmt: skip


def refused(series: Series) -> bool:
    verdict = validate_bars(Dataset.KLINE, Period.DAILY, series.bars, CALENDAR, series.evidence)
    return bool(verdict.rejected.num_rows)


def test_whole_answers_are_in_no_doubt() -> None:
    """They are most, and each that is would be looked at a second time."""
    series = answers()
    assert len(series) > 20
    assert in_doubt(Dataset.KLINE, Period.DAILY, series, CALENDAR) == [False] * len(series)
    assert not any(map(refused, series))
    assert in_doubt(Dataset.KLINE, Period.DAILY, [], CALENDAR) == []


@pytest.mark.parametrize("fault", SPOILT)
def test_a_spoilt_answer_is_in_doubt_and_no_other(fault: str) -> None:
    """Wherever it stands among them; and never is one good here that is refused there."""
    series = answers()
    for place in (0, 7, len(series) - 1):
        bars = SPOILT[fault](series[place].bars)
        changes = series[place].evidence.changes
        if bars.num_rows > series[place].bars.num_rows:
            changes = pa.chunked_array([[*changes.to_pylist(), None]], pa.float64())  # type: ignore[union-attr]
        mixed = [*series]
        mixed[place] = Series(bars, Evidence(WINDOW, changes))
        doubted = in_doubt(Dataset.KLINE, Period.DAILY, mixed, CALENDAR)
        expected = [False] * len(series)
        expected[place] = fault != "nothing"
        assert doubted == expected
        assert refused(mixed[place]) == expected[place]


def test_the_first_bar_is_held_against_the_close_before_it() -> None:
    """A symbol's first bar continues nothing that stands before it in another answer."""
    series = answers()[:5]
    first = series[2].bars["close"][0].as_py()
    changes = pa.chunked_array([[0.10, *series[2].evidence.changes.to_pylist()[1:]]], pa.float64())  # type: ignore[union-attr]
    for held, expected in ((first - 0.10, False), (first - 0.20, True), (None, False)):
        one = Series(series[2].bars, Evidence(WINDOW, changes, held))
        mixed = [*series[:2], one, *series[3:]]
        doubted = in_doubt(Dataset.KLINE, Period.DAILY, mixed, CALENDAR)
        assert doubted == [False, False, expected, False, False]
        assert refused(one) == expected


def test_minutes_without_trade_are_judged_singly() -> None:
    """Some are a fact, a session of them is a suspension filled in: a single answer tells."""
    minutes = answers(Period.M5)[:3]
    still = minutes[1].bars
    for name in ("volume", "amount"):
        field = still.schema.field(name)
        column = pa.array([0] * still.num_rows, field.type)
        still = still.set_column(still.schema.get_field_index(name), field, column)
    mixed = [minutes[0], Series(still, minutes[1].evidence), minutes[2]]
    doubted = in_doubt(Dataset.KLINE, Period.M5, mixed, CALENDAR)
    for series, doubt in zip(mixed, doubted, strict=True):
        verdict = validate_bars(Dataset.KLINE, Period.M5, series.bars, CALENDAR, series.evidence)
        assert doubt or not verdict.rejected.num_rows
    assert doubted[1]
    assert not all(doubted)
