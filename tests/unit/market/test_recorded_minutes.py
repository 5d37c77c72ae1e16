"""Recorded 5m bars, aggregated, against the recorded daily bars of the same sessions.

``TEST_MARKET_DATA`` names the folder of the whole recordings, of which an excerpt is always read.
"""

import csv
from collections import defaultdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from market.aggregation import Evidence, aggregate
from market.bars import Dataset
from market.clock import EXCHANGE_TZ
from market.periods import Period
from market.sessions import bar_end_times
from tests.fixtures.bars import bars_of, daily_bar

EXCERPT = Path(__file__).parents[2] / "data" / "replay"
LATER = datetime(2026, 6, 1, tzinfo=EXCHANGE_TZ)
ROUNDING = 300
"""Shares: each 5m bar is rounded to lots of 100; their sum was seen to be off by two lots."""


@pytest.fixture(params=["excerpt", "whole"])
def recording(request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """Files of 5m and daily bars of 600519 in early 2026."""
    if request.param == "excerpt":
        return EXCERPT / "5m/none/600519.csv", EXCERPT / "daily/none/600519.csv"
    folder: Path = request.getfixturevalue("recorded_market") / "minute"
    return (
        folder / "em_5min_600519_20260205_0327.csv",
        folder / "em_daily_600519_202603.csv",
    )


def rows(path: Path) -> list[dict[str, Any]]:
    """Bars of a file, whichever language its header is in."""
    with path.open(encoding="utf-8-sig", newline="") as text:
        return [_bar(row) for row in csv.DictReader(text)]


def _bar(row: dict[str, str]) -> dict[str, Any]:
    def value(theirs: str, ours: str) -> str:
        return row.get(theirs) or row[ours]

    stamp = row.get("datetime") or row.get("时间") or row["日期"]
    end_at = datetime.fromisoformat(stamp).replace(tzinfo=EXCHANGE_TZ)
    named = {"open": "开盘", "high": "最高", "low": "最低", "close": "收盘"}
    return {
        **daily_bar("600519.SH", end_at.date(), volume=100 * int(value("成交量", "volume"))),
        **{ours: float(value(theirs, ours)) for ours, theirs in named.items()},
        "end_at": end_at,
        "amount": float(row["成交额"]),
    }


@pytest.mark.parametrize("period", [Period.M15, Period.M30, Period.M60])
def test_recorded_minutes_add_up_to_the_recorded_day(
    period: Period, recording: tuple[Path, Path]
) -> None:
    """Open, high, low, close and amount exactly; the session has every bar of the grid."""
    fives, days = map(rows, recording)
    bars = aggregate(Dataset.KLINE, period, bars_of(fives), Evidence(LATER)).to_pylist()
    mine: dict[date, list[dict[str, Any]]] = defaultdict(list)
    for bar in bars:
        mine[bar["session"]].append(bar)

    both = [day for day in days if day["session"] in mine]
    assert len(both) >= 2
    for day in both:
        parts = mine[day["session"]]
        assert [part["end_at"].time() for part in parts] == list(bar_end_times(period))
        assert {part["state"] for part in parts} == {"final"}
        assert parts[0]["open"] == day["open"]
        assert max(part["high"] for part in parts) == day["high"]
        assert min(part["low"] for part in parts) == day["low"]
        assert parts[-1]["close"] == day["close"]
        assert sum(part["amount"] for part in parts) == day["amount"]
        assert abs(sum(part["volume"] for part in parts) - day["volume"]) <= ROUNDING


def test_another_vendors_recorded_15m_bars_lie_on_the_same_grid(recorded_market: Path) -> None:
    """Six symbols, half a year: 16 bars a session, each labelled with its end."""
    sessions: dict[tuple[str, str], list[str]] = defaultdict(list)
    with (recorded_market / "minute/m15_6sym_2025H2.csv").open(encoding="utf-8-sig") as text:
        for row in csv.DictReader(text):
            sessions[row["symbol"], row["date"]].append(row["time"])
    grid = [end.isoformat() for end in bar_end_times(Period.M15)]

    assert len(sessions) == 876
    assert all(times == grid for times in sessions.values())
