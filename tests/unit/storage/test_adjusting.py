"""Adjustment on read: what must hold whatever the prices and the ex-rights are."""

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.adjustments import Adjustment, AdjustMethod, ExRight
from market.clock import EXCHANGE_TZ
from market.sessions import Window, exchange_calendar
from storage.adjusting import adjust
from tests.fixtures.bars import bars_of, daily_bar

SESSIONS = exchange_calendar().sessions_in(Window(date(2024, 6, 3), date(2024, 6, 28)))
LONGI, MOUTAI = "601012.SH", "600519.SH"
QFQ, HFQ = Adjustment.QFQ, Adjustment.HFQ
RATIO, EASTMONEY = AdjustMethod.RATIO, AdjustMethod.EASTMONEY


def bars(closes: list[float], name: str = LONGI) -> pa.Table:
    return bars_of([daily_bar(name, d, close=c) for d, c in zip(SESSIONS, closes, strict=False)])


def event(place: int, previous_close: float, name: str = LONGI, **given: float) -> ExRight:
    return ExRight(name, SESSIONS[place], previous_close, **given)


def closes(table: pa.Table) -> list[float]:
    return table["close"].to_pylist()  # type: ignore[no-any-return]


def test_a_split_a_bonus_a_rights_issue_and_cash_adjust_as_computed_by_hand() -> None:
    raw = bars([20.0, 10.0, 8.0, 8.0, 7.0])
    events = [
        event(1, 20.0, bonus=1.0),  # reference 10.00, factor 2
        event(2, 10.0, bonus=0.25),  # reference 8.00, factor 1.25
        event(3, 8.0, rights=0.5, rights_price=5.0),  # (8 + 2.5) / 1.5 = 7.00, factor 8 / 7
        event(4, 8.0, cash=1.0),  # reference 7.00, factor 8 / 7
    ]
    qfq = closes(adjust(raw, events, QFQ, RATIO))
    assert qfq == pytest.approx([6.125, 6.125, 6.125, 7.0, 7.0])
    hfq = closes(adjust(raw, events, HFQ, RATIO))
    assert hfq == pytest.approx([20.0, 20.0, 20.0, 20 * 8 / 7, 20 * 8 / 7])
    # Affine: p → (p - 1), → (p + 2.5) / 1.5, → p / 1.25, → p / 2, composed backwards.
    assert closes(adjust(raw, events, QFQ, EASTMONEY)) == [6.0, 6.0, 6.0, 7.0, 7.0]
    assert closes(adjust(raw, events, HFQ, EASTMONEY)) == [20.0, 20.0, 20.0, 23.75, 23.75]


def test_affine_prices_may_fall_below_zero_and_are_rounded_to_cents() -> None:
    raw = bars([1.0, 30.0])
    events = [event(1, 29.0, cash=2.004)]
    assert closes(adjust(raw, events, QFQ, EASTMONEY)) == [-1.0, 30.0]
    assert closes(adjust(raw, events, QFQ, RATIO))[0] > 0


def test_bars_of_a_suspended_ex_day_change_at_the_first_bar_after_it() -> None:
    """The event falls on a session (or a day off) of which there is no bar."""
    rows = [daily_bar(LONGI, SESSIONS[i], close=c) for i, c in ((0, 20.0), (5, 10.0), (6, 11.0))]
    for day in (SESSIONS[3], date(2024, 6, 8), SESSIONS[5]):
        assert not any(SESSIONS[1] <= row["session"] < SESSIONS[5] for row in rows)  # type: ignore[operator]
        split = ExRight(LONGI, day, 20.0, bonus=1.0)
        assert closes(adjust(bars_of(rows), [split], QFQ, RATIO)) == [10.0, 10.0, 11.0]


def test_two_events_of_one_day_adjust_once_by_their_common_reference_price() -> None:
    raw = bars([20.0, 15.0])
    two = [event(1, 20.0, cash=2.0), event(1, 20.0, bonus=0.2)]
    assert closes(adjust(raw, two, QFQ, RATIO)) == [15.0, 15.0]


def test_volume_amount_and_a_missing_open_stay_as_they_are() -> None:
    raw = bars_of([daily_bar(LONGI, SESSIONS[0], open=None), daily_bar(LONGI, SESSIONS[1])])
    split = [event(1, 10.0, bonus=1.0)]
    for method in AdjustMethod:
        got = adjust(raw, split, QFQ, method)
        assert got["open"].to_pylist() == [None, 10.0]
        assert got.drop_columns(["open", "high", "low", "close"]) == raw.drop_columns(
            ["open", "high", "low", "close"]
        )
        assert got.column_names == raw.column_names


def test_each_symbol_is_adjusted_by_its_own_events_in_any_order_of_rows() -> None:
    mixed = pa.concat_tables([bars([20.0, 10.0]), bars([20.0, 10.0], MOUTAI)]).unify_dictionaries()
    shuffled = mixed.take([3, 0, 2, 1])
    events = [event(1, 20.0, bonus=1.0), event(1, 20.0, MOUTAI, cash=4.0)]
    assert closes(adjust(shuffled, events, QFQ, RATIO)) == [10.0, 10.0, 16.0, 10.0]
    assert closes(adjust(shuffled, events[:1], QFQ, RATIO)) == [10.0, 10.0, 20.0, 10.0]


def test_minute_bars_are_adjusted_by_session() -> None:
    """All bars of the ex-session, from its first on, and none of the session before."""
    ends = [datetime(2024, 6, day, 15, tzinfo=EXCHANGE_TZ) for day in (3, 4)]
    rows: list[dict[str, object]] = [
        daily_bar(LONGI, end.date(), close=20.0 - 10 * i, end_at=end - timedelta(minutes=minutes))
        for i, end in enumerate(ends)
        for minutes in (325, 5, 0)
    ]
    got = closes(adjust(bars_of(rows), [event(1, 20.0, bonus=1.0)], QFQ, RATIO))
    assert got == [10.0] * 6


def test_bars_without_a_symbol_column_cannot_take_events_of_two() -> None:
    raw = bars([20.0, 10.0]).drop_columns("symbol")
    split = event(1, 20.0, bonus=1.0)
    assert closes(adjust(raw, [split], QFQ, RATIO)) == [10.0, 10.0]
    with pytest.raises(ValueError, match="cannot be told apart"):
        adjust(raw, [split, event(1, 20.0, MOUTAI, bonus=1.0)], QFQ, RATIO)


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[float], list[ExRight]]:
    """Closes of a symbol with some ex-rights of any kind among them."""
    cents = draw(st.lists(st.integers(500, 20_000), min_size=len(SESSIONS), max_size=len(SESSIONS)))
    prices = [c / 100 for c in cents]
    places = draw(st.sets(st.integers(1, len(SESSIONS) - 1), max_size=4))
    share = st.integers(0, 20).map(lambda tenths: tenths / 10)
    events = [
        event(
            place,
            prices[place - 1],
            cash=draw(st.integers(0, 300)) / 100,
            bonus=draw(share),
            rights=draw(share),
            rights_price=draw(st.integers(1, 400)) / 100,
        )
        for place in places
    ]
    return prices, events


@given(market=markets(), adjustment=st.sampled_from([QFQ, HFQ]))
def test_ratio_keeps_every_return(
    market: tuple[list[float], list[ExRight]], adjustment: Adjustment
) -> None:
    """On an ex-day close / reference price - 1, on any other day that of the raw closes."""
    prices, events = market
    at = {e.ex_session: e for e in events}
    got = np.array(closes(adjust(bars(prices), events, adjustment, RATIO)))
    wanted = [
        prices[i] / (at[day].reference_price if day in at else prices[i - 1])
        for i, day in enumerate(SESSIONS)
        if i
    ]
    np.testing.assert_allclose(got[1:] / got[:-1], wanted, rtol=1e-12)


@given(market=markets(), method=st.sampled_from(list(AdjustMethod)))
def test_the_last_forward_prices_and_the_first_back_prices_are_raw_to_the_bit(
    market: tuple[list[float], list[ExRight]], method: AdjustMethod
) -> None:
    prices, events = market
    days = sorted(e.ex_session for e in events if not e.is_void)
    raw = bars(prices)
    last = [i for i, day in enumerate(SESSIONS) if not days or day >= days[-1]]
    first = [i for i, day in enumerate(SESSIONS) if not days or day < days[0]]
    assert adjust(raw, events, QFQ, method).take(last)["close"] == raw.take(last)["close"]
    assert adjust(raw, events, HFQ, method).take(first)["close"] == raw.take(first)["close"]


@given(market=markets())
def test_affine_forward_and_back_prices_are_one_line_apart(
    market: tuple[list[float], list[ExRight]],
) -> None:
    """As Eastmoney's are: hfq = A x qfq + B with one A and B for all of history."""
    prices, events = market
    qfq = np.array(closes(adjust(bars(prices), events, QFQ, EASTMONEY)))
    hfq = np.array(closes(adjust(bars(prices), events, HFQ, EASTMONEY)))
    slope = float(np.prod([e.share for e in sorted(events, key=lambda e: e.ex_session)]))
    apart = hfq - slope * qfq
    assert apart.max() - apart.min() <= 0.0101 * (1 + slope)


def test_nothing_is_asked_of_bars_that_have_no_events() -> None:
    raw = bars([20.0, 10.0])
    options: list[tuple[Any, Any]] = [([], QFQ), ([event(1, 20.0, bonus=1.0)], Adjustment.NONE)]
    for events, adjustment in options:
        assert adjust(raw, events, adjustment, RATIO) is raw
