"""The market of a report: moves, boards and the chart, from bars in a real lake."""

from datetime import date
from pathlib import Path

import pytest

from admin_tasks.report_facts import MarketFacts
from admin_tasks.report_market import read_market
from market.adjustments import ExRight
from market.bars import Dataset
from market.boards import BoardKind
from market.periods import Period
from market.sessions import Window, exchange_calendar
from storage.catalog import BoardRow
from storage.database import Database
from storage.ex_right import ExRights
from storage.lake import Lake
from tests.fixtures.bars import bars_of, daily_bar

CALENDAR = exchange_calendar()
DAYS = CALENDAR.sessions_in(Window(date(2025, 11, 3), date(2025, 12, 31)))
TODAY, BEFORE = DAYS[-1], DAYS[-2]
BOARDS = [BoardRow("BK0001", "industry", "银行", active=True, members_on=None)]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def keep(lake: Lake, *closes: tuple[str, date, float], dataset: Dataset = Dataset.KLINE) -> None:
    bars = [daily_bar(name, day, close=close, dataset=dataset) for name, day, close in closes]
    lake.write(dataset, Period.DAILY, bars_of(bars, dataset))


def market(lake: Lake) -> MarketFacts:
    return read_market(lake, TODAY, CALENDAR, {"600001.SH": "一号"}, BOARDS)


def test_moves_are_from_the_close_before_and_ranked(lake: Lake) -> None:
    """A symbol without a bar of today or an earlier one is left out; a pause is bridged."""
    keep(lake, ("600001.SH", BEFORE, 10.0), ("600001.SH", TODAY, 10.5))
    keep(lake, ("600002.SH", DAYS[-9], 10.0), ("600002.SH", TODAY, 9.4))
    keep(lake, ("600003.SH", TODAY, 10.0))
    keep(lake, ("600004.SH", BEFORE, 10.0))
    keep(lake, ("600005.SH", BEFORE, 10.0), ("600005.SH", TODAY, 10.0))

    found = market(lake)

    assert (found.traded, found.compared, found.up, found.down) == (4, 3, 1, 1)
    (gain,), (loss,) = found.gainers, found.losers
    assert (gain.symbol, gain.name, gain.close) == ("600001.SH", "一号", 10.5)
    assert [gain.change, loss.change] == pytest.approx([0.05, -0.06])
    assert found.amount == pytest.approx((10.5 + 9.4 + 10 + 10) * 100_000)
    assert found.amount_before == pytest.approx((10 + 10) * 100_000)


def test_an_ex_right_is_no_loss_and_one_that_is_not_known_is_marked(
    lake: Lake, tmp_path: Path
) -> None:
    keep(lake, ("600001.SH", BEFORE, 20.0), ("600001.SH", TODAY, 10.2))
    unknown = market(lake)
    database = Database(f"sqlite:///{tmp_path / 'q.db'}")
    database.migrate()
    split = ExRight("600001.SH", TODAY, previous_close=20.0, bonus=1.0)
    ExRights(database, lake.root).record([split], source="test", run_id="r")

    known = market(lake)

    (loss,), (gain,) = unknown.losers, known.gainers
    assert [loss.change, gain.change] == pytest.approx([-0.49, 0.02])
    assert (loss.beyond_limit, gain.beyond_limit) == (True, False)
    assert known.chart is not None
    assert [candle.close for candle in known.chart.candles] == pytest.approx([10.0, 10.2])
    database.dispose()


@pytest.mark.parametrize(
    ("symbol", "change", "marked"),
    [
        ("600001.SH", 1.1, False), ("600001.SH", 1.12, True), ("300001.SZ", 1.2, False),
        ("688001.SH", 0.79, True), ("920001.BJ", 1.3, False), ("920001.BJ", 1.32, True),
    ],
)  # fmt: skip
def test_the_daily_limit_is_that_of_the_board_of_listing(
    lake: Lake, symbol: str, change: float, *, marked: bool
) -> None:
    keep(lake, (symbol, BEFORE, 10.0), (symbol, TODAY, 10 * change))

    found = market(lake)

    assert found.any_beyond_limit is marked


def test_boards_have_their_own_bars_and_an_unknown_one_is_left_out(lake: Lake) -> None:
    for code in ("BK0001", "BK0009"):
        keep(lake, (code, BEFORE, 100.0), (code, TODAY, 98.0), dataset=Dataset.BOARD_KLINE)

    (board,) = market(lake).boards_of(BoardKind.INDUSTRY)

    assert (board.board, board.name) == ("BK0001", "银行")
    assert board.change == pytest.approx(-0.02)


def test_a_lake_without_a_bar_makes_a_market_without_a_statement(lake: Lake) -> None:
    assert market(lake) == MarketFacts()
