"""The seeded market's bars keep the exchanges' rules, and each period adds up to the next."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from ingest.simulator.bars import SHARES_PER_LOT, Bars, half_up
from ingest.simulator.draws import bits, key_of
from ingest.simulator.market import SecId
from ingest.simulator.seeded.adjusting import HFQ, QFQ, coefficients
from ingest.simulator.seeded.daily import ExRight, History, history_of
from ingest.simulator.seeded.intraday import partial, session_bars, split, split_index
from ingest.simulator.seeded.market import SeededMarket
from ingest.simulator.seeded.series import BarSeries
from ingest.simulator.seeded.timeline import Timeline
from ingest.simulator.seeded.universe import Stock, Tier, Universe
from market.clock import EXCHANGE_TZ

TIMELINE = Timeline(date(2015, 1, 5))
STOCKS = Universe(11, 150, TIMELINE).stocks
SESSION = date(2025, 12, 30)


def histories() -> list[tuple[Stock, History]]:
    return [(stock, h) for stock in STOCKS if len(h := history_of(stock, 11, TIMELINE))]


def assert_consistent(bars: Bars) -> None:
    shares = bars.lots * SHARES_PER_LOT
    assert (bars.low > 0).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.amount >= bars.low * shares).all()
    assert (bars.amount <= bars.high * shares).all()


def assert_equal(one: Bars, other: Bars) -> None:
    for mine, theirs in zip(one.columns(), other.columns(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_every_daily_bar_is_possible() -> None:
    for _, history in histories():
        assert_consistent(history.bars)
        assert (history.bars.lots >= 200).all()
        assert len(set(history.ordinals.tolist())) == len(history)


def test_prices_stay_within_the_daily_limits() -> None:
    limits = {Tier.SH_MAIN: 100, Tier.SZ_MAIN: 100, Tier.STAR: 200, Tier.CHINEXT: 200, Tier.BJ: 300}
    touched = 0
    for stock, history in histories():
        limit = (
            50 if stock.is_st and stock.tier in (Tier.SH_MAIN, Tier.SZ_MAIN) else limits[stock.tier]
        )
        old = slice(5, None)
        up = half_up(history.reference * (1000 + limit), 1000)[old]
        down = half_up(history.reference * (1000 - limit), 1000)[old]
        assert (history.bars.high[old] <= up).all(), stock.code
        assert (history.bars.low[old] >= down).all(), stock.code
        touched += int((history.bars.close[old] == up).sum())
    assert touched > 0


def test_one_minute_rows_add_up_exactly_to_the_daily_bar() -> None:
    for stock, history in histories():
        days = history.bars.take(slice(-60, None))
        rows = split(days, bits(key_of(stock.code), history.ordinals[-60:]))
        assert rows.close.shape == (len(days), 241)
        assert_consistent(rows)
        assert_equal(session_bars(rows), days)


def test_a_board_s_rows_add_up_exactly_to_its_daily_bar() -> None:
    _, history = histories()[0]
    days = history.bars.take(slice(-60, None))
    days = replace(days, amount=days.amount // 7)
    assert_equal(session_bars(split_index(days, bits(1, history.ordinals[-60:]))), days)


def test_longer_minute_bars_add_up_exactly_to_the_daily_bar(seeded_market: SeededMarket) -> None:
    for code in ("600519", "000001", "920002"):
        day = seeded_market.daily(code).to_pylist()[-2]
        assert day["session"] == SESSION
        for klt, count in ((1, 241), (5, 48), (15, 16), (30, 8), (60, 4)):
            bars = seeded_market.minutes(code, SESSION, klt).to_pylist()
            assert len(bars) == count
            assert bars[0]["open"] == day["open"]
            assert bars[-1]["close"] == day["close"]
            assert max(bar["high"] for bar in bars) == day["high"]
            assert min(bar["low"] for bar in bars) == day["low"]
            assert sum(bar["lots"] for bar in bars) == day["lots"]
            assert round(sum(bar["amount"] for bar in bars), 2) == day["amount"]


def test_the_auction_belongs_to_the_first_five_minutes(seeded_market: SeededMarket) -> None:
    rows = seeded_market.minutes("600519", SESSION).to_pylist()
    first, second = seeded_market.minutes("600519", SESSION, 5).to_pylist()[:2]
    assert first["label"].endswith("09:35")
    assert first["lots"] == sum(row["lots"] for row in rows[:6])
    assert second["lots"] == sum(row["lots"] for row in rows[6:11])
    assert second["open"] == rows[6]["open"]


def test_weeks_and_months_add_up_and_are_labelled_by_their_last_traded_day(
    seeded_market: SeededMarket,
) -> None:
    days = seeded_market.daily("603101").to_pylist()
    for klt, key in ((102, lambda d: d.isocalendar()[:2]), (103, lambda d: (d.year, d.month))):
        series = seeded_market.kline(SecId(1, "603101"), klt, 0, seeded_market.default_now)
        assert isinstance(series, BarSeries)
        groups: dict[object, list[dict[str, Any]]] = {}
        for day in days:
            groups.setdefault(key(day["session"]), []).append(day)
        assert list(series.labels) == [g[-1]["label"] for g in groups.values()]
        assert series.bars.lots.tolist() == [sum(d["lots"] for d in g) for g in groups.values()]
        assert [h / 100 for h in series.bars.high.tolist()] == [
            max(d["high"] for d in g) for g in groups.values()
        ]


def test_a_partial_row_never_leaves_the_whole_one() -> None:
    for stock, history in histories()[:40]:
        rows = split(
            history.bars.take(slice(-20, None)), bits(key_of(stock.code), history.ordinals[-20:])
        )
        so_far = partial(rows, 100, 0.4)
        assert so_far.close.shape[1] == 101
        assert_consistent(so_far)
        assert (so_far.lots[:, 100] <= rows.lots[:, 100]).all()
        assert (so_far.high[:, 100] <= rows.high[:, 100]).all()
        assert (so_far.low[:, 100] >= rows.low[:, 100]).all()


def test_a_session_only_grows_while_it_runs(seeded_market: SeededMarket) -> None:
    secid = SecId(1, "600519")
    at = datetime(2025, 12, 31, 9, 25, tzinfo=EXCHANGE_TZ)
    lots, high, low = 0, 0, 1 << 40
    while at.hour < 16:
        series = seeded_market.kline(secid, 101, 0, at)
        assert isinstance(series, BarSeries)
        bar = series.bars.take(slice(-1, None))
        assert_consistent(bar)
        assert bar.lots[0] >= lots
        assert bar.high[0] >= high
        assert bar.low[0] <= low
        lots, high, low = bar.lots[0], bar.high[0], bar.low[0]
        at += timedelta(minutes=7, seconds=13)
    assert lots == seeded_market.daily("600519").to_pylist()[-1]["lots"]


def test_adjusted_prices_follow_the_additive_rule() -> None:
    events = [ExRight(2, 0, cash=100, bonus=3), ExRight(4, 0, cash=50, bonus=0)]
    slope, intercept = coefficients(QFQ, 5, events)
    raw = 2_000.0
    assert (slope * raw + intercept)[4] == raw
    assert (slope * raw + intercept)[3] == pytest.approx(raw - 50)
    assert (slope * raw + intercept)[0] == pytest.approx((raw - 100) / 1.3 - 50)
    slope, intercept = coefficients(HFQ, 5, events)
    assert (slope * raw + intercept)[1] == raw
    assert (slope * raw + intercept)[2] == pytest.approx(raw * 1.3 + 100)
    assert (slope * raw + intercept)[4] == pytest.approx((raw + 50) * 1.3 + 100)


def test_forward_adjusted_history_is_rewritten_by_an_ex_right_only_from_its_day_on(
    seeded_market: SeededMarket,
) -> None:
    def first_close(day: int) -> tuple[float, float]:
        now = datetime(2025, 12, day, 16, tzinfo=EXCHANGE_TZ)
        forward = seeded_market.kline(SecId(1, "600519"), 101, QFQ, now)
        back = seeded_market.kline(SecId(1, "600519"), 101, HFQ, now)
        assert isinstance(forward, BarSeries)
        assert isinstance(back, BarSeries)
        return int(forward.bars.close[0]), int(back.bars.close[0])

    assert first_close(17) == first_close(18)
    assert first_close(19)[0] < first_close(18)[0]
    assert first_close(19)[1] == first_close(18)[1]


def test_forward_adjusted_closes_meet_at_the_reference_price() -> None:
    """On an ex-day the adjusted previous close is the ex-right reference price, to a tick."""
    for _, history in histories():
        for at, event in enumerate(history.ex_rights):
            slope, intercept = coefficients(QFQ, event.place + 1, history.ex_rights[: at + 1])
            before = event.place - 1
            adjusted = slope[before] * history.bars.close[before] + intercept[before]
            assert abs(adjusted - history.reference[event.place]) <= 1


def test_a_suspended_symbol_has_no_bar_between(seeded_market: SeededMarket) -> None:
    now = datetime(2026, 2, 27, 16, tzinfo=EXCHANGE_TZ)
    sessions = seeded_market.daily("603101", now)["session"].to_pylist()
    assert date(2025, 12, 19) in sessions
    assert date(2026, 1, 15) in sessions
    assert not any(date(2025, 12, 22) <= s <= date(2026, 1, 14) for s in sessions)


def test_a_five_minute_kline_reaches_back_44_sessions(seeded_market: SeededMarket) -> None:
    now = seeded_market.default_now
    for klt, sessions in ((1, 5), (5, 44), (60, 44)):
        series = seeded_market.kline(SecId(0, "000001"), klt, 0, now)
        assert series is not None
        assert len({label[:10] for label in series.labels}) == sessions
