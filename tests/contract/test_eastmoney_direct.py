"""What the direct reading promises beyond AKShare's, and who is asked when it cannot read."""

import json
import logging
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from ingest.remarks import remarks_gathered
from ingest.source import (
    MalformedBodyError,
    SchemaDriftError,
    SourceError,
    StaleListError,
    ThrottledError,
    TruncatedListError,
    UpstreamFailedError,
)
from ingest.sources.eastmoney import EastmoneySource
from ingest.sources.eastmoney_direct import DirectEastmoney
from ingest.sources.preferred import Preferred
from market.adjustments import Adjustment
from market.boards import BoardKind
from market.clock import EXCHANGE_TZ, FixedClock
from market.periods import Period
from market.sessions import Window
from market.symbols import parse_symbol
from tests.fixtures.eastmoney_clients import wired_to
from tests.fixtures.misbehaving import Answer, MisbehavingServer, respond

if TYPE_CHECKING:
    from ingest.simulator.seeded.market import SeededMarket
    from ingest.simulator.server import SimulatorServer

MOUTAI = parse_symbol("600519")
NOW = datetime(2025, 12, 31, 16, tzinfo=EXCHANGE_TZ)
LAST_DAYS = Window(date(2025, 12, 29), date(2025, 12, 31))
ROW = {
    "f2": 10.5, "f5": 100, "f6": 105_000.0, "f8": 0.1, "f12": "600519", "f13": 1, "f14": "贵州茅台",
    "f15": 11, "f16": 10.0, "f17": 10.1, "f18": 10.0, "f26": 20010827, "f100": "酿酒行业",
    "f103": "融资融券,白酒", "f124": 1767164403,
}  # fmt: skip


@pytest.fixture
def direct(
    simulator: "SimulatorServer", seeded_market: "SeededMarket"
) -> Iterator[DirectEastmoney]:
    """The direct source, its wire sent to the simulator."""
    with wired_to(simulator.url):
        yield DirectEastmoney(FixedClock(seeded_market.default_now))


def page(*rows: dict[str, Any], total: int | None = None) -> bytes:
    """A list's page."""
    data = {"total": len(rows) if total is None else total, "diff": rows}
    return json.dumps({"rc": 0, "data": data}).encode()


def test_quotes_say_when_they_were_quoted_and_to_which_boards_a_symbol_belongs(
    direct: DirectEastmoney, seeded_market: "SeededMarket"
) -> None:
    """The names in one sweep are the members of every board."""
    quotes = direct.fetch_quotes().to_pylist()
    day = date(2025, 12, 31)

    assert {row["quoted_at"].date() for row in quotes} == {day}
    assert next(r["listed_on"] for r in quotes if r["symbol"] == "600519.SH") == date(2001, 8, 27)
    for kind in BoardKind:
        table = seeded_market.boards(kind, seeded_market.default_now)
        for code, name in zip(table.columns[12], table.columns[14], strict=True):
            named = {
                row["symbol"][:6]
                for row in quotes
                if name in (row["concepts"] or []) or name == row["industry"]
            }
            assert named == set(seeded_market.members(str(code), day)), code


def test_a_sweep_is_a_request_per_hundred_symbols_sorted_by_code_on_one_connection(
    direct: DirectEastmoney, simulator: "SimulatorServer", seeded_market: "SeededMarket"
) -> None:
    """230 symbols: three pages, in an order that prices do not move."""
    direct.fetch_quotes()

    asked = [entry.query for entry in simulator.log.since(0)]
    listed = len(seeded_market.listing(date(2025, 12, 31)))
    assert [q["pn"] for q in asked] == [str(n + 1) for n in range(-(-listed // 100))]
    assert {(q["fid"], q["pz"]) for q in asked} == {("f12", "100")}


def test_requests_share_one_connection(misbehaving: Callable[[Answer], MisbehavingServer]) -> None:
    """Pages of lists and klines alike."""
    peers = set()

    def answer(connection: socket.socket, head: str) -> None:
        peers.add(connection.getpeername())
        respond(page(ROW))(connection, head)

    server = misbehaving(answer)
    with wired_to(server.url):
        source = DirectEastmoney(FixedClock(NOW))
        for _ in range(4):
            source.fetch_quotes()

    assert len(server.heads) == 4
    assert len(peers) == 1


def test_klines_are_asked_for_the_sessions_wanted(
    direct: DirectEastmoney, simulator: "SimulatorServer"
) -> None:
    """5m too, of which AKShare always fetches two months; with the history behind the window."""
    for period, expected in ((Period.DAILY, 3), (Period.M5, 3 * 48)):
        simulator.log.clear()
        bars = direct.fetch_klines(MOUTAI, period, LAST_DAYS, Adjustment.NONE)
        (asked,) = simulator.log.since(0)
        assert (asked.query["beg"], asked.query["end"]) == ("20251229", "20251231")
        assert bars.table.num_rows == expected
        assert bars.history is not None
        assert bars.history > expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("f2", "10.5"), ("f2", None), ("f18", True), ("f6", float("nan")), ("f5", 100.5),
        ("f8", "n/a"), ("f17", ""), ("f124", "15:00"), ("f26", 20011399), ("f100", 7),
        ("f103", ["白酒"]), ("f14", None),
    ],
)  # fmt: skip
def test_a_cell_that_is_no_value_and_no_dash_is_named(
    misbehaving: Callable[[Answer], MisbehavingServer], field: str, value: object
) -> None:
    """Symbol, field and value: nothing becomes NaN."""
    server = misbehaving(respond(page({**ROW, field: value})))
    with wired_to(server.url), pytest.raises(SchemaDriftError) as caught:
        DirectEastmoney(FixedClock(NOW)).fetch_quotes()

    assert caught.value.context == {"symbol": "600519", "field": field, "value": repr(value)}


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("2025-12-31,10,10,10,x,100,100000,0,0,0,0", "f55 (low)"),
        ("2025-12-31,10,-,10,10,100,100000,0,0,0,0", "f53 (close)"),
        ("2025-12-31,10,10,10,10,100,nan,0,0,0,0", "f57 (amount)"),
        ("2025-12-31,10,10,10,10,100,100000,0,0,0,", "f61 (turnover_rate)"),
        ("31.12.2025,10,10,10,10,100,100000,0,0,0,0", "f51 (when)"),
        ("2025-12-31,10,10,10,10,100,100000", "the whole line"),
    ],
)
def test_a_cell_of_a_bar_that_is_no_number_is_named(
    misbehaving: Callable[[Answer], MisbehavingServer], line: str, field: str
) -> None:
    """Of klines too, where AKShare makes NaN of some and stores them as null."""
    good = "2025-12-30,10,10,10,10,100,100000,0,0,0,0"
    data = {"code": "600519", "market": 1, "dktotal": 2, "klines": [good, line]}
    server = misbehaving(respond(json.dumps({"rc": 0, "data": data}).encode()))
    with wired_to(server.url), pytest.raises(SchemaDriftError) as caught:
        DirectEastmoney(FixedClock(NOW)).fetch_klines(
            MOUTAI, Period.DAILY, LAST_DAYS, Adjustment.NONE
        )

    assert field in caught.value.message
    assert "600519.SH" in caught.value.message


def test_a_total_that_moves_between_pages_costs_the_list(
    misbehaving: Callable[[Answer], MisbehavingServer],
) -> None:
    """A symbol was listed, or left, while the list was read."""
    bodies = iter([150, 151])
    rows = [{**ROW, "f12": f"600{n:03}"} for n in range(100)]

    def answer(connection: socket.socket, head: str) -> None:
        respond(page(*rows, total=next(bodies)))(connection, head)

    server = misbehaving(answer)
    with wired_to(server.url), pytest.raises(TruncatedListError, match=r"150 rows .* 151"):
        DirectEastmoney(FixedClock(NOW)).fetch_quotes()


def test_a_short_page_costs_no_further_page(
    direct: DirectEastmoney, simulator: "SimulatorServer"
) -> None:
    """It is seen when it comes, not when the sum is made."""
    simulator.faults.add({"name": "short_page", "pn": "1"})
    with pytest.raises(TruncatedListError, match="page 1"):
        direct.fetch_quotes()
    assert len(simulator.log.since(0)) == 1


def test_an_order_that_prices_move_does_not_reach_lists_that_are_sorted_by_code(
    direct: DirectEastmoney, simulator: "SimulatorServer"
) -> None:
    """AKShare sorts members of industries by their change while it pages."""
    still = [direct.fetch_quotes(), direct.fetch_board_members(BoardKind.CONCEPT, "BK0596")]
    simulator.faults.add({"name": "moving_order", "spread": 100})

    moving = [direct.fetch_quotes(), direct.fetch_board_members(BoardKind.CONCEPT, "BK0596")]

    assert [a.equals(b) for a, b in zip(still, moving, strict=True)] == [True, True]
    assert still[1].num_rows > 100


def test_a_page_of_the_session_before_costs_the_list(
    direct: DirectEastmoney, simulator: "SimulatorServer"
) -> None:
    """As a cache gives it: well formed, and yesterday's, whether or not its total gives it away."""
    simulator.faults.add({"name": "stale_page", "pn": "2"})
    with pytest.raises(TruncatedListError, match="220 rows on page 1 and 219 on page 2"):
        direct.fetch_quotes()
    simulator.clock.set(datetime(2025, 12, 30, 16, tzinfo=EXCHANGE_TZ))
    with pytest.raises(StaleListError, match=r"page 2 .*2025-12-29.*2025-12-30"):
        direct.fetch_quotes()


def test_the_direct_reading_needs_no_pandas() -> None:
    """Half a second and 80 MiB of every process that only fetches."""
    program = (
        "import sys, ingest.sources.eastmoney_direct; "
        "assert not {'pandas', 'akshare'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def drifting(simulator: "SimulatorServer") -> Answer:
    """The simulator's answers with a listing day that only the direct reading looks at."""

    def answer(connection: socket.socket, head: str) -> None:
        target = head.split(" ", 2)[1]
        with urllib.request.urlopen(simulator.url + target) as got:
            body = json.loads(got.read())
        for row in body["data"]["diff"]:
            if "f26" in row:
                row["f26"] = "2001-08-27"
        respond(json.dumps(body).encode())(connection, head)

    return answer


def test_where_the_direct_reading_drifts_akshare_is_asked_and_it_is_said(
    simulator: "SimulatorServer",
    seeded_market: "SeededMarket",
    misbehaving: Callable[[Answer], MisbehavingServer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the log and beside the outcome; the answer is the reference's."""
    server = misbehaving(drifting(simulator))
    clock = FixedClock(seeded_market.default_now)
    with wired_to(server.url), remarks_gathered() as said, caplog.at_level(logging.WARNING):
        quotes = Preferred(DirectEastmoney(clock), lambda: EastmoneySource(clock)).fetch_quotes()

    assert quotes.num_rows == len(seeded_market.listing(date(2025, 12, 31)))
    assert quotes["concepts"].null_count == quotes.num_rows
    (remark,) = said
    assert "through AKShare" in remark
    assert "f26 of" in remark
    assert "through AKShare" in caplog.text


def test_a_call_that_keeps_drifting_is_not_paid_twice(
    simulator: "SimulatorServer",
    seeded_market: "SeededMarket",
    misbehaving: Callable[[Answer], MisbehavingServer],
) -> None:
    """After three drifts the reference is asked at once; other calls still go direct."""
    server = misbehaving(drifting(simulator))
    clock = FixedClock(seeded_market.default_now)
    pages = -(-len(seeded_market.listing(date(2025, 12, 31))) // 100)
    source = Preferred(DirectEastmoney(clock), lambda: EastmoneySource(clock))
    with wired_to(server.url) as seen, remarks_gathered() as said:
        costs = []
        for _ in range(4):
            before = seen.requests
            source.fetch_quotes()
            costs.append(seen.requests - before)
        source.fetch_board_list(BoardKind.CONCEPT)

    assert costs == [pages + 1, pages + 1, pages + 1, pages]
    assert "keeps drifting" in said[-1]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"name": "drop"}, ThrottledError),
        ({"name": "http_status", "status": 502}, UpstreamFailedError),
        ({"name": "truncated_body"}, MalformedBodyError),
        ({"name": "short_page", "pn": "1"}, TruncatedListError),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_only_drift_fails_over(
    simulator: "SimulatorServer",
    seeded_market: "SeededMarket",
    fault: dict[str, object],
    error: type[SourceError],
) -> None:
    """A ban or a cut list would meet the reference too: it is not asked."""
    simulator.faults.add(fault)
    clock = FixedClock(seeded_market.default_now)
    with wired_to(simulator.url) as seen, pytest.raises(error):
        Preferred(DirectEastmoney(clock), lambda: EastmoneySource(clock)).fetch_quotes()

    assert seen.requests == 1
