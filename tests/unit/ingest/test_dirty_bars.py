"""Recorded dirt: every row is either named and kept out, or is a fact that is kept on purpose."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from ingest.validation import Evidence, Verdict, validate_bars
from market.bars import Dataset
from market.periods import Period
from market.sessions import Window, exchange_calendar
from tests.fixtures.dirty import EXCERPTS, by_symbol, daily_bars, quarter_hours, rows_of

RECORDED = Path(__file__).parents[2] / "data" / "replay" / "daily"


def judged(rows: Sequence[dict[str, str]], **evidence: object) -> Verdict:
    """Daily rows of one symbol as an answer with its change column."""
    bars, changes = daily_bars(rows)
    given = Evidence(changes=changes, **evidence)  # type: ignore[arg-type]
    return validate_bars(Dataset.KLINE, Period.DAILY, bars, exchange_calendar(), given)


def alone(rows: Sequence[dict[str, str]]) -> dict[tuple[str, str], str]:
    """The reasons of rows that are each an answer of their own, by date and code; none if good."""
    said = {}
    for row in rows:
        verdict = judged([row])
        reasons = verdict.rejected["reasons"].to_pylist()
        said[row["日期"], row["股票代码"]] = reasons[0] if reasons else ""
    return said


def counts(file: Path) -> tuple[int, Counter[str]]:
    """How many rows of a file of many symbols are kept out, and by which rules."""
    rejected, reasons = 0, Counter[str]()
    for _, rows in by_symbol(rows_of(file)):
        verdict = judged(rows)
        rejected += verdict.rejected.num_rows
        reasons.update(verdict.reasons)
    return rejected, reasons


def test_bars_with_prices_of_zero_are_kept_out() -> None:
    """Suspensions that a source filled with zeros, beside a close."""
    said = alone(rows_of(EXCERPTS / "ohlc_zero_bars.csv"))

    assert len(said) == 2
    assert set(said.values()) == {"price_not_positive,ohlc_order,no_trade"}


def test_days_without_trade_are_no_bars_and_odd_lots_are() -> None:
    """Amounts of 0 and 5.9e-39 are fillers; 215 CNY below one lot are a trade of 1992."""
    said = alone(rows_of(EXCERPTS / "zero_volume.csv"))

    assert [bool(reasons) for reasons in said.values()] == [True] * 5 + [False] * 4
    assert all("no_trade" in reasons for reasons in said.values() if reasons)


def test_volumes_and_amounts_of_before_1996_are_kept_as_recorded_and_later_ones_not() -> None:
    """The dated exemption: 47 lots for 3,340,819 CNY stay in 1995; in 2001 they would not."""
    said = alone(rows_of(EXCERPTS / "volume_amount.csv"))

    assert said == {
        ("1995-11-17", "000001"): "",
        ("1992-04-27", "000006"): "",
        ("1991-03-11", "600601"): "",
        ("1993-07-14", "000014"): "",
        ("2001-11-19", "000557"): "average_price",
        ("1995-06-14", "601607"): "amount_missing",
        ("1998-06-20", "000520"): "not_a_session",
    }


def test_weekends_on_which_shenzhen_traded_are_sessions_of_its_symbols_only() -> None:
    """The Saturday of 1998 with one bar at a third of its price is none; Shanghai never is."""
    rows = rows_of(EXCERPTS / "weekends.csv")

    assert [day for (day, _), reasons in alone(rows).items() if reasons] == ["1998-06-20"]
    assert "not_a_session" in alone([{**rows[0], "股票代码": "600601"}])["1991-04-06", "600601"]


def test_two_vintages_side_by_side_are_named_where_they_meet() -> None:
    """A qfq archive that went on after a dividend: its changes refer to closes it does not hold."""
    verdict = judged(rows_of(EXCERPTS / "qfq_seam.csv"))

    assert verdict.reasons == {"change_disagrees": 2, "average_price": 1}
    assert verdict.rejected["session"].to_pylist() == [date(2025, 12, 17), date(2025, 12, 18)]


def test_a_row_of_another_source_is_named_by_its_change() -> None:
    """000001 at 5.90 between 10.88 and 10.45; the bars beside it are not blamed."""
    odd, after = rows_of(EXCERPTS / "mixed_sources.csv")
    before = {**odd, "日期": "2026-03-19", "收盘": "10.88", "开盘": "10.9", "最高": "10.9",
              "最低": "10.8", "涨跌额": "0.02", "成交量": "100", "成交额": "108800"}  # fmt: skip

    verdict = judged([before, odd, after])

    assert verdict.reasons == {"change_disagrees": 1}
    assert verdict.rejected["session"].to_pylist() == [date(2026, 3, 20)]


def test_a_bar_that_was_frozen_half_formed_is_named_by_the_next_one() -> None:
    """The close of a moment within the session is not what the next change refers to."""
    (frozen,) = rows_of(EXCERPTS / "frozen.csv")
    rows = rows_of(RECORDED / "none" / "000001.csv")
    at = next(n for n, row in enumerate(rows) if row["日期"] == frozen["日期"])
    change = float(frozen["收盘_frozen"]) - float(rows[at - 1]["收盘"])
    names = ("开盘", "收盘", "最高", "最低", "成交量", "成交额")
    half = {name: frozen[f"{name}_frozen"] for name in names}
    rows[at] = {**rows[at], **half, "涨跌额": f"{change:.2f}"}

    verdict = judged(rows)

    assert verdict.reasons == {"change_disagrees": 2}
    assert verdict.rejected["session"].to_pylist() == [date(2025, 12, 2), date(2025, 12, 3)]


def test_adjusted_prices_are_kept_out_whole_where_raw_ones_were_asked_for() -> None:
    """Amount and volume give them away; those that would pass by luck go with the others."""
    rows = rows_of(EXCERPTS / "adjusted.csv")

    verdict = judged(rows)

    assert verdict.accepted.num_rows == 0
    assert verdict.reasons["adjusted_prices"] == len(rows)
    assert 0 < verdict.reasons["average_price"] < len(rows)


def test_adjusted_prices_that_hide_in_the_bar_are_named_by_what_is_held() -> None:
    """Their change refers to an adjusted close; the bars after the held one all hang on it."""
    rows = rows_of(RECORDED / "none" / "000001.csv")
    close = float(rows[0]["收盘"])

    good = judged(rows[1:], held_close=close)
    bad = judged(rows[1:], held_close=close + 0.04)

    assert good.reasons == {}
    assert bad.reasons == {"held_close_disagrees": len(rows) - 1}


def test_rows_in_reverse_order_are_the_same_rows() -> None:
    """Newest first is no fault: places follow from the ends of the bars."""
    rows = rows_of(RECORDED / "none" / "000001.csv")

    assert judged(rows[::-1]).accepted.num_rows == len(rows)


def test_a_session_given_twice_and_one_outside_the_window_are_named() -> None:
    """And the bars around them are accepted."""
    rows = rows_of(RECORDED / "none" / "000001.csv")
    window = Window(date(2025, 12, 2), date(2025, 12, 31))

    verdict = judged([rows[0], *rows[1:], rows[5]], window=window)

    assert verdict.reasons == {"duplicate": 2, "outside_window": 1}
    assert verdict.accepted.num_rows == len(rows) - 2


def test_quarter_hours_of_a_suspension_are_no_bars_and_minutes_without_trade_are() -> None:
    """All-zero bars are kept out; a flat bar within a session that trades is a fact."""
    rows = rows_of(EXCERPTS / "zero_bars_15m.csv")
    zero = [row for row in rows if row["close"] == "0.0"]
    still = [row for row in rows if row["close"] != "0.0"]

    def said(rows: Sequence[dict[str, str]]) -> dict[str, int]:
        bars: pa.Table = quarter_hours(rows)
        return validate_bars(Dataset.KLINE, Period.M15, bars, exchange_calendar()).reasons

    assert said(zero) == {"price_not_positive": len(zero), "no_trade": len(zero)}
    assert said(still) == {}
    flat = [{**row, "open": "9", "high": "9", "low": "9", "close": "9"} for row in zero]
    assert said(flat) == {"no_trade": len(flat)}


def test_no_row_of_the_whole_recorded_market_is_kept_out(recorded_market: Path) -> None:
    """38,369 unadjusted daily bars of 26 symbols: no rule has a false positive."""
    assert len(rows_of(recorded_market / "daily_em" / "em_daily_none.csv")) == 38_369
    assert counts(recorded_market / "daily_em" / "em_daily_none.csv") == (0, Counter())


def test_the_whole_adjusted_archive_is_kept_out_where_it_is_adjusted(recorded_market: Path) -> None:
    """Of 25,665 bars that differ from the raw ones by more than a cent, 92 pass unseen.

    All are 001356's, adjusted by 0.04 of 14.71 CNY: nothing within the answer shows that.
    """
    raw = {(r["日期"], r["股票代码"]): float(r["收盘"])
           for r in rows_of(recorded_market / "daily_em" / "em_daily_none.csv")}  # fmt: skip
    unseen = Counter[str]()
    adjusted = 0
    for code, rows in by_symbol(
        rows_of(recorded_market / "daily_em" / "em_daily_qfq_asof20251213to31.csv")
    ):
        bad = {r["日期"] for r in rows if abs(float(r["收盘"]) - raw[r["日期"], code]) > 0.0101}
        kept = {f"{day}" for day in judged(rows).accepted["session"].to_pylist()}
        adjusted += len(bad)
        unseen[code] += len(bad & kept)

    assert adjusted == 25_665
    assert {code: n for code, n in unseen.items() if n} == {"001356": 92}


@pytest.mark.parametrize(
    ("file", "rows", "rejected"),
    [
        ("mixed2026_ohlc_invariant_violations", 2, 2),
        ("mixed2026_zero_volume_rows", 163, 126),
        ("em_weekend_bars_1990s", 127, 1),
        ("em_none_volume_amount_oddities", 2_742, 3),
    ],
)
def test_of_each_dirty_file_so_many_rows_are_kept_out(
    recorded_market: Path, file: str, rows: int, rejected: int
) -> None:
    """The others are facts: odd lots, units of before 1996, weekends of Shenzhen."""
    recorded = rows_of(recorded_market / "dirty" / f"{file}.csv")
    assert len(recorded) == rows
    assert sum(1 for reasons in alone(recorded).values() if reasons) == rejected


@pytest.mark.parametrize(
    ("file", "rows"),
    [("mixed2026_change_vs_prevrow_mismatch", 3_333), ("qfq_vintage_seams", 2_085)],
)
def test_every_row_whose_change_contradicts_the_row_before_is_named(
    recorded_market: Path, file: str, rows: int
) -> None:
    """Each with the close that stood in the row before it."""
    recorded = rows_of(recorded_market / "dirty" / f"{file}.csv")
    assert len(recorded) == rows
    for row in recorded:
        verdict = judged([row], held_close=float(row["前一行收盘"]))
        assert verdict.reasons, row


def test_of_7342_quarter_hours_those_within_a_session_that_traded_are_kept(
    recorded_market: Path,
) -> None:
    """7,116 all-zero bars are kept out, and 20 flat ones of sessions in which nothing traded."""
    rows = rows_of(recorded_market / "dirty" / "m15_zero_volume_or_zero_price_bars.csv")
    kept = rejected = 0
    for symbol in sorted({row["symbol"] for row in rows}):
        bars = quarter_hours([row for row in rows if row["symbol"] == symbol])
        verdict = validate_bars(Dataset.KLINE, Period.M15, bars, exchange_calendar())
        kept += verdict.accepted.num_rows
        rejected += verdict.rejected.num_rows

    assert (kept, rejected) == (206, 7_136)
