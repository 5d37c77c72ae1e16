"""AKShare's own list functions, untouched, read the simulated market's lists field by field."""

from collections.abc import Callable
from datetime import date, datetime

import akshare as ak
import pandas as pd
import pytest

from ingest.simulator.market import QuoteTable
from ingest.simulator.replay.lists import SPOT_FIELDS
from ingest.simulator.seeded.market import SeededMarket
from ingest.simulator.server import SimulatorServer
from market.boards import BoardKind
from market.clock import EXCHANGE_TZ

TODAY = date(2025, 12, 31)
SUSPENDED = "603101"
BOARDS = {"最新价": 2, "涨跌幅": 3, "涨跌额": 4, "换手率": 8, "总市值": 20, "上涨家数": 104}
BOARDS |= {"下跌家数": 105, "领涨股票-涨跌幅": 136}


@pytest.fixture(autouse=True)
def _redirected(simulator: SimulatorServer, send_akshare_to: Callable[[str], None]) -> None:
    send_akshare_to(simulator.url)


def cells(table: QuoteTable, number: int) -> dict[object, object]:
    """Values by code, None where the upstream has no number."""
    values = (None if v == "-" else v for v in table.columns[number])
    return dict(zip(table.columns[12], values, strict=True))


def assert_same(frame: pd.DataFrame, code: str, column: str, want: dict[object, object]) -> None:
    values = [None if pd.isna(v) else v for v in frame[column]]
    assert dict(zip(frame[code], values, strict=True)) == want, column


def test_the_spot_list_equals_the_market_in_every_field(seeded_market: SeededMarket) -> None:
    frame = ak.stock_zh_a_spot_em()
    table = seeded_market.quotes(seeded_market.default_now)
    assert tuple(sorted(frame["代码"])) == seeded_market.listing(TODAY)
    assert_same(frame, "代码", "名称", cells(table, 14))
    for column, number in SPOT_FIELDS.items():
        assert_same(frame, "代码", column, cells(table, number))


def test_the_spot_list_after_the_close_is_the_days_bars(seeded_market: SeededMarket) -> None:
    frame = ak.stock_zh_a_spot_em().set_index("代码")
    columns = {"open": "今开", "high": "最高", "low": "最低", "close": "最新价", "lots": "成交量"}
    columns |= {"amount": "成交额", "turnover_rate": "换手率"}
    for code in seeded_market.listing(TODAY):
        bar = seeded_market.daily(code).to_pylist()[-1]
        if bar["session"] != TODAY:
            assert pd.isna(frame.loc[code, "最新价"])
            continue
        for name, column in columns.items():
            assert frame.loc[code, column] == bar[name], (code, column)


def test_a_suspended_symbol_is_listed_without_prices(seeded_market: SeededMarket) -> None:
    row = ak.stock_zh_a_spot_em().set_index("代码").loc[SUSPENDED]
    idle = [
        "最新价",
        "涨跌幅",
        "涨跌额",
        "成交量",
        "成交额",
        "振幅",
        "最高",
        "最低",
        "今开",
        "量比",
    ]
    assert row[idle].isna().all()
    last = seeded_market.daily(SUSPENDED).to_pylist()[-1]
    assert last["session"] == date(2025, 12, 19)
    assert row["昨收"] == last["close"]


def test_the_previous_close_on_an_ex_day_is_the_reference_price(
    seeded_market: SeededMarket, simulator: SimulatorServer
) -> None:
    simulator.clock.set(datetime(2025, 12, 30, 16, tzinfo=EXCHANGE_TZ))
    row = ak.stock_zh_a_spot_em().set_index("代码").loc["002120"]
    bars = seeded_market.daily("002120").to_pylist()
    before = next(bar for bar in bars if bar["session"] == date(2025, 12, 29))
    assert row["昨收"] < before["close"] / 1.29  # three new shares for ten, and some cash
    raw = ak.stock_zh_a_hist(symbol="002120", start_date="20251230", end_date="20251230")
    assert raw["涨跌额"].iloc[0] == pytest.approx(row["最新价"] - before["close"])


def test_a_new_listing_wears_an_n_on_its_first_day(seeded_market: SeededMarket) -> None:
    names = ak.stock_zh_a_spot_em().set_index("代码")["名称"]
    assert names["301581"].startswith("N")
    assert names["000002"] == "万  科Ａ"
    assert names["600179"].startswith("*ST")
    assert "688805" not in seeded_market.listing(TODAY)


def test_the_spot_list_is_half_formed_while_the_session_runs(simulator: SimulatorServer) -> None:
    simulator.clock.set(datetime(2025, 12, 31, 10, 32, tzinfo=EXCHANGE_TZ))
    frame = ak.stock_zh_a_spot_em().set_index("代码")
    for code in ("600519", "000001", "300750"):
        bar = ak.stock_zh_a_hist(symbol=code, start_date="20251231").iloc[0]
        assert frame.loc[code, "最新价"] == bar["收盘"]
        assert frame.loc[code, "成交量"] == bar["成交量"]
        assert frame.loc[code, "成交额"] == bar["成交额"]


def test_concepts_and_industries_equal_the_market_in_every_field(
    seeded_market: SeededMarket,
) -> None:
    frames = {
        BoardKind.CONCEPT: ak.stock_board_concept_name_em(),
        BoardKind.INDUSTRY: ak.stock_board_industry_name_em(),
    }
    for kind, frame in frames.items():
        table = seeded_market.boards(kind, seeded_market.default_now)
        assert_same(frame, "板块代码", "板块名称", cells(table, 14))
        assert_same(frame, "板块代码", "领涨股票", cells(table, 128))
        for column, number in BOARDS.items():
            assert_same(frame, "板块代码", column, cells(table, number))
    assert dict(frames[BoardKind.CONCEPT][["板块代码", "板块名称"]].values)["BK0818"] == "可燃冰"
    assert dict(frames[BoardKind.INDUSTRY][["板块代码", "板块名称"]].values)["BK0477"] == "酿酒行业"


@pytest.mark.parametrize("board", ["BK0596", "BK0818", "BK0477"])
def test_members_equal_the_market_in_every_field(seeded_market: SeededMarket, board: str) -> None:
    read = ak.stock_board_industry_cons_em if board == "BK0477" else ak.stock_board_concept_cons_em
    frame = read(symbol=board)
    assert tuple(sorted(frame["代码"])) == seeded_market.members(board, TODAY)
    table = seeded_market.board_quotes(board, seeded_market.default_now)
    assert table is not None
    absent = {"量比", "5分钟涨跌", "总市值", "流通市值", "涨速", "60日涨跌幅", "年初至今涨跌幅"}
    for column, number in SPOT_FIELDS.items():
        if column not in absent:
            assert_same(frame, "代码", column, cells(table, number))


def test_a_large_concept_takes_several_pages(simulator: SimulatorServer) -> None:
    members = ak.stock_board_concept_cons_em(symbol="BK0596")
    pages = [e.query["pn"] for e in simulator.log.since() if "BK0596" in e.query.get("fs", "")]
    assert len(members) > 100
    assert pages == [str(number) for number in range(1, -(-len(members) // 100) + 1)]


def test_boards_can_be_found_by_name() -> None:
    named = ak.stock_board_concept_cons_em(symbol="可燃冰")
    coded = ak.stock_board_concept_cons_em(symbol="BK0818")
    assert named.equals(coded)


def test_a_board_quote_is_the_boards_bar(seeded_market: SeededMarket) -> None:
    quote = ak.stock_board_concept_spot_em(symbol="BK0818").set_index("item")["value"]
    row = seeded_market.boards(BoardKind.CONCEPT, seeded_market.default_now)
    assert quote["最新"] == pytest.approx(cells(row, 2)["BK0818"])
    assert quote["成交量"] == cells(row, 5)["BK0818"]
