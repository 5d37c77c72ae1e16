"""AKShare's own kline functions, untouched, read the simulated market field by field."""

from collections.abc import Callable
from datetime import date, datetime

import akshare as ak
import pandas as pd
import pyarrow as pa
import pytest

from ingest.simulator.market import SecId
from ingest.simulator.seeded.market import SeededMarket
from ingest.simulator.server import SimulatorServer
from market.clock import EXCHANGE_TZ

MID_MORNING = datetime(2025, 12, 31, 10, 32, tzinfo=EXCHANGE_TZ)
SUSPENDED = "603101"
SYMBOLS = ["600519", "000001", "300750", "688981", "920002", "000002", SUSPENDED, "002120"]
LINE = ["label", "open", "close", "high", "low", "lots", "amount", "swing", "pct", "move", "rate"]
DAILY = [
    "日期",
    "开盘",
    "收盘",
    "最高",
    "最低",
    "成交量",
    "成交额",
    "振幅",
    "涨跌幅",
    "涨跌额",
    "换手率",
]


@pytest.fixture(autouse=True)
def _redirected(simulator: SimulatorServer, send_akshare_to: Callable[[str], None]) -> None:
    send_akshare_to(simulator.url)


def market_of(code: str) -> int:
    return int(code.startswith("6"))


def served(market: SeededMarket, secid: SecId, klt: int, fqt: int, now: datetime) -> pd.DataFrame:
    """What the market holds, straight from its own series."""
    series = market.kline(secid, klt, fqt, now)
    assert series is not None
    rows = [line.split(",") for line in series.lines(0, len(series.labels))]
    frame = pd.DataFrame(rows, columns=LINE)
    frame[LINE[1:]] = frame[LINE[1:]].apply(pd.to_numeric)
    return frame


def assert_same(got: pd.DataFrame, want: pd.DataFrame, time_column: str) -> None:
    assert len(got) == len(want) > 0
    assert [str(t) for t in got[time_column]] == list(want["label"])
    for name, column in zip(LINE[1:], DAILY[1:], strict=True):
        assert got[column].tolist() == want[name].tolist(), column


@pytest.mark.parametrize("code", SYMBOLS)
def test_daily_bars_equal_the_markets_truth_in_every_field(
    seeded_market: SeededMarket, code: str
) -> None:
    frame = ak.stock_zh_a_hist(symbol=code, period="daily", start_date="20150101")
    truth: pa.Table = seeded_market.daily(code)
    columns = {"open": "开盘", "high": "最高", "low": "最低", "close": "收盘", "lots": "成交量"}
    columns |= {"amount": "成交额", "turnover_rate": "换手率", "session": "日期"}
    assert set(frame["股票代码"]) == {code}
    for name, column in columns.items():
        assert frame[column].tolist() == truth[name].to_pylist(), column
    close = frame["收盘"]
    change = (close - close.shift()).round(2).iloc[1:]
    assert frame["涨跌额"].iloc[1:].round(2).tolist() == change.tolist()
    percent = (change / close.shift().iloc[1:] * 100).round(2)
    assert (frame["涨跌幅"].iloc[1:] - percent).abs().max() < 0.011
    swing = ((frame["最高"] - frame["最低"]) / close.shift() * 100).iloc[1:]
    assert (frame["振幅"].iloc[1:] - swing).abs().max() < 0.011


@pytest.mark.parametrize("adjust", ["", "qfq", "hfq"])
@pytest.mark.parametrize("period", ["daily", "weekly", "monthly"])
def test_every_period_and_adjustment_arrives_whole(
    seeded_market: SeededMarket, period: str, adjust: str
) -> None:
    klt = {"daily": 101, "weekly": 102, "monthly": 103}[period]
    fqt = {"": 0, "qfq": 1, "hfq": 2}[adjust]
    for code in SYMBOLS:
        frame = ak.stock_zh_a_hist(symbol=code, period=period, adjust=adjust)
        secid = SecId(market_of(code), code)
        want = served(seeded_market, secid, klt, fqt, seeded_market.default_now)
        assert_same(frame, want, "日期")


@pytest.mark.parametrize("period", ["5", "15", "30", "60"])
def test_minute_bars_arrive_whole_and_end_stamped(seeded_market: SeededMarket, period: str) -> None:
    for code in ("600519", "920002", SUSPENDED):
        frame = ak.stock_zh_a_hist_min_em(symbol=code, period=period)
        secid = SecId(market_of(code), code)
        want = served(seeded_market, secid, int(period), 0, seeded_market.default_now)
        assert len(frame) == 44 * 240 // int(period)
        want["label"] += ":00"
        assert_same(frame, want, "时间")


def test_one_minute_rows_are_241_a_session_with_opens_in_the_latest_only(
    seeded_market: SeededMarket,
) -> None:
    frame = ak.stock_zh_a_hist_min_em(symbol="600519", period="1")
    assert len(frame) == 5 * 241
    by_day = frame.groupby(frame["时间"].str[:10], sort=True)
    for number, (day, rows) in enumerate(by_day, 1):
        truth = seeded_market.minutes("600519", date.fromisoformat(str(day)))
        opens = truth["open"].to_pylist() if number == 5 else [0.0] * 241
        assert rows["开盘"].tolist() == opens
        for name, column in (("close", "收盘"), ("high", "最高"), ("low", "最低")):
            assert rows[column].tolist() == truth[name].to_pylist()
        assert rows["成交量"].tolist() == truth["lots"].to_pylist()
        assert rows["成交额"].tolist() == truth["amount"].to_pylist()
        assert [f"{label}:00" for label in truth["label"].to_pylist()] == rows["时间"].tolist()
        mean = rows["成交额"].cumsum() / (rows["成交量"].cumsum() * 100)
        assert (rows["均价"] - mean).abs().max() < 0.00051


def test_a_half_formed_session_is_served_as_it_stands(
    seeded_market: SeededMarket, simulator: SimulatorServer
) -> None:
    simulator.clock.set(MID_MORNING)
    daily = ak.stock_zh_a_hist(symbol="600519", start_date="20251230", end_date="20251231")
    minutes = ak.stock_zh_a_hist_min_em(symbol="600519", period="1")
    fives = ak.stock_zh_a_hist_min_em(symbol="600519", period="5")
    today = minutes[minutes["时间"].str.startswith("2025-12-31")]
    assert len(today) == 63
    assert today["时间"].iloc[-1] == "2025-12-31 10:32:00"
    assert fives["时间"].iloc[-1] == "2025-12-31 10:35:00"
    bar = daily.iloc[-1]
    assert bar["开盘"] == today["开盘"].iloc[0]
    assert bar["收盘"] == today["收盘"].iloc[-1] == fives["收盘"].iloc[-1]
    assert bar["最高"] == today["最高"].max()
    assert bar["最低"] == today["最低"].min()
    assert bar["成交量"] == today["成交量"].sum()
    whole = seeded_market.daily("600519").slice(len(seeded_market.daily("600519")) - 1)
    assert bar["成交量"] < whole["lots"][0].as_py()


@pytest.mark.parametrize("kind", ["concept", "industry"])
def test_board_bars_arrive_whole(seeded_market: SeededMarket, kind: str) -> None:
    code = {"concept": "BK0818", "industry": "BK0477"}[kind]
    if kind == "concept":
        frame = ak.stock_board_concept_hist_em(code, "daily", "20250101", "20251231")
    else:
        frame = ak.stock_board_industry_hist_em(code, "20250101", "20251231", "日k")
    want = served(seeded_market, SecId(90, code), 101, 0, seeded_market.default_now)
    want = want[want["label"] >= "2025"].reset_index(drop=True)
    assert_same(frame, want, "日期")


def test_a_code_that_moved_answers_under_one_code_at_a_time(simulator: SimulatorServer) -> None:
    assert ak.stock_zh_a_hist(symbol="836077").empty
    assert len(ak.stock_zh_a_hist(symbol="920077", start_date="20240101")) > 400
    simulator.clock.set(datetime(2025, 9, 30, 16, tzinfo=EXCHANGE_TZ))
    assert ak.stock_zh_a_hist(symbol="920077").empty
    assert len(ak.stock_zh_a_hist(symbol="836077", start_date="20240101")) > 400


def test_a_delisted_symbol_keeps_its_bars(seeded_market: SeededMarket) -> None:
    frame = ak.stock_zh_a_hist(symbol="000976")
    assert str(frame["日期"].iloc[-1]) < "2025-11-24"
    assert "000976" not in seeded_market.listing(date(2025, 12, 31))
    assert "000976" in seeded_market.listing(date(2025, 11, 21))
