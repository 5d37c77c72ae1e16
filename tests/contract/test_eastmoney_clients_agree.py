"""AKShare's functions and the direct reading make the same tables of the same bodies."""

import json
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingest.simulator.market import Market
from ingest.simulator.replay.market import ReplayMarket
from ingest.simulator.seeded.market import SeededMarket
from ingest.simulator.server import SimulatorServer
from ingest.source import Bars
from ingest.sources.eastmoney import EastmoneySource
from ingest.sources.eastmoney_direct import DirectEastmoney
from market.adjustments import Adjustment
from market.boards import BoardKind
from market.clock import EXCHANGE_TZ, FixedClock
from market.periods import Period
from market.sessions import Window
from market.symbols import parse_symbol
from tests.fixtures.eastmoney_clients import wired_to
from tests.fixtures.misbehaving import Answer, MisbehavingServer, respond

DATA = Path(__file__).parents[1] / "data"
DECEMBER = Window(date(2025, 12, 1), date(2025, 12, 31))
ONLY_DIRECT = ["quoted_at", "listed_on", "industry", "concepts"]
KLINES = [
    (Period.DAILY, Adjustment.NONE),
    (Period.DAILY, Adjustment.QFQ),
    (Period.DAILY, Adjustment.HFQ),
    (Period.M5, Adjustment.NONE),
    (Period.M1, Adjustment.NONE),
]


def clients(now: datetime) -> tuple[EastmoneySource, DirectEastmoney]:
    return EastmoneySource(FixedClock(now)), DirectEastmoney(FixedClock(now))


def assert_same_bars(one: Bars, other: Bars) -> None:
    """Field by field; only the instant of the fetch may differ."""
    assert one.table.schema == other.table.schema
    for name in one.table.column_names:
        if name != "fetched_at":
            assert one.table[name].equals(other.table[name]), name
    assert one.history == other.history
    if one.table.num_rows:
        assert one.changes is not None
        assert other.changes is not None
        assert one.changes.equals(other.changes)


def assert_same_quotes(one: pa.Table, other: pa.Table) -> None:
    """All that AKShare's columns hold; of the rest it knows nothing."""
    assert one.schema == other.schema
    for name in one.column_names:
        if name in ONLY_DIRECT:
            assert one[name].null_count == one.num_rows
        else:
            assert one[name].equals(other[name]), name


@pytest.fixture(params=["seeded", "seeded_at_noon", "replay"])
def served(
    request: pytest.FixtureRequest, seeded_market: SeededMarket
) -> Iterator[tuple[SimulatorServer, Market, datetime]]:
    """A server of a seeded market, after the close or within a session, or of a recording."""
    market: Market = seeded_market
    if request.param == "replay":
        market = ReplayMarket(DATA / "replay")
    noon = datetime(2025, 12, 31, 10, 32, tzinfo=EXCHANGE_TZ)
    now = noon if request.param == "seeded_at_noon" else market.default_now
    with SimulatorServer(market) as server:
        server.clock.set(now)
        yield server, market, now


def test_klines_of_both_are_equal(served: tuple[SimulatorServer, Market, datetime]) -> None:
    """Daily raw and adjusted, 5m, 1m; whole windows, empty ones, and what the answer proves."""
    server, market, now = served
    sunday = Window(date(2025, 12, 28), date(2025, 12, 28))
    codes = ["600519", "000001"] if market.kind == "replay" else ["600519", "603101", "920077"]
    compared = 0
    with wired_to(server.url):
        akshare, direct = clients(now)
        for code in codes:
            for period, adjustment in KLINES:
                for window in (DECEMBER, sunday):
                    ask = (parse_symbol(code), period, window, adjustment)
                    one = outcome(lambda a=ask: akshare.fetch_klines(*a))  # type: ignore[misc]
                    other = outcome(lambda a=ask: direct.fetch_klines(*a))  # type: ignore[misc]
                    if isinstance(one, Bars) and isinstance(other, Bars):
                        assert_same_bars(one, other)
                        compared += one.table.num_rows
                    else:
                        assert one == other
    assert compared > (30 if market.kind == "replay" else 3_000)


def outcome(ask: Callable[[], Any]) -> Any:
    """What comes, or the type of what is raised."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001  (any: the two must agree in it)
        return type(error)


def test_quotes_and_boards_of_both_are_equal(
    served: tuple[SimulatorServer, Market, datetime],
) -> None:
    """Quotes in every field that AKShare has, lists, members, and klines of boards."""
    server, market, now = served
    with wired_to(server.url):
        akshare, direct = clients(now)
        assert_same_quotes(akshare.fetch_quotes(), direct.fetch_quotes())
        for kind, board in ((BoardKind.CONCEPT, "BK0818"), (BoardKind.INDUSTRY, "BK0477")):
            assert akshare.fetch_board_list(kind).equals(direct.fetch_board_list(kind))
            if market.kind == "replay" and kind is BoardKind.CONCEPT:
                continue  # no members of it were recorded
            members = direct.fetch_board_members(kind, board)
            assert akshare.fetch_board_members(kind, board).equals(members)
            one = outcome(lambda k=kind, b=board: akshare.fetch_board_klines(k, b, DECEMBER))  # type: ignore[misc]
            other = outcome(lambda k=kind, b=board: direct.fetch_board_klines(k, b, DECEMBER))  # type: ignore[misc]
            if isinstance(one, Bars):
                assert_same_bars(one, other)
            else:
                assert one == other


@pytest.mark.parametrize(
    ("name", "code", "period", "adjustment", "rows"),
    [
        ("em_kline_601872_qfq_20241218_1231.json", "601872", Period.DAILY, Adjustment.QFQ, 10),
        ("em_trends2_600519_20260910_excerpt.json", "600519", Period.M1, Adjustment.NONE, 2),
    ],
)
def test_recorded_bodies_are_read_alike(
    misbehaving: Callable[[Answer], MisbehavingServer],
    name: str,
    code: str,
    period: Period,
    adjustment: Adjustment,
    rows: int,
) -> None:
    """What the real upstream once answered."""
    server = misbehaving(respond((DATA / "raw_responses" / name).read_bytes()))
    window = Window(date(2024, 12, 1), date(2026, 9, 30))
    with wired_to(server.url):
        akshare, direct = clients(datetime(2026, 9, 30, 16, tzinfo=EXCHANGE_TZ))
        one = akshare.fetch_klines(parse_symbol(code), period, window, adjustment)
        other = direct.fetch_klines(parse_symbol(code), period, window, adjustment)

    assert one.table.num_rows == rows
    assert_same_bars(one, other)


def test_the_recorded_quotes_carry_their_instants(
    misbehaving: Callable[[Answer], MisbehavingServer],
) -> None:
    """15:34:57 of 7 July 2026 of what traded; of a suspended one the list's reset at 08:00."""
    name = "em_clist_spot_with_suspended_row_20260708.json"
    body = json.loads((DATA / "raw_responses" / name).read_text(encoding="utf-8"))
    body["data"]["total"] = 3  # the file holds an excerpt
    server = misbehaving(respond(json.dumps(body).encode()))
    with wired_to(server.url):
        direct = clients(datetime(2026, 7, 8, 16, tzinfo=EXCHANGE_TZ))[1]
        quotes = {row["symbol"]: row for row in direct.fetch_quotes().to_pylist()}

    ping_an, suspended = quotes["000001.SZ"], quotes["000003.SZ"]
    assert ping_an["quoted_at"] == datetime(2026, 7, 7, 15, 34, 57, tzinfo=EXCHANGE_TZ)
    assert (ping_an["volume"], ping_an["close"]) == (80_522_100, 10.47)
    assert suspended["quoted_at"] == datetime(2026, 7, 7, 8, tzinfo=EXCHANGE_TZ)
    assert (suspended["suspended"], suspended["close"], suspended["volume"]) == (True, None, None)
    assert (ping_an["concepts"], ping_an["listed_on"]) == (None, None)
