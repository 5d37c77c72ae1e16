"""Both Eastmoney sources against a real server: whole answers in our schema, lies typed errors."""

import json
import shutil
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ingest import wire
from ingest.pacing import Lane, UnlimitedBudget
from ingest.simulator.replay.market import ReplayMarket
from ingest.simulator.server import SimulatorServer
from ingest.source import (
    EmptyBoardError,
    MalformedBodyError,
    OtherSymbolError,
    SchemaDriftError,
    SourceError,
    ThrottledError,
    TruncatedListError,
    UnknownSymbolError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
from ingest.sources.eastmoney import EastmoneySource
from ingest.sources.eastmoney_direct import DirectEastmoney
from market.adjustments import Adjustment
from market.bars import Dataset, bar_schema
from market.boards import BoardKind
from market.clock import FixedClock
from market.errors import InvalidSymbolError
from market.periods import Period
from market.sessions import Window
from market.symbols import SymbolKind, parse_symbol
from tests.fixtures.misbehaving import Answer, MisbehavingServer, respond

if TYPE_CHECKING:
    from ingest.simulator.seeded.market import SeededMarket

MOUTAI = parse_symbol("600519")
DECEMBER = Window(date(2025, 12, 1), date(2025, 12, 31))


def install_wire() -> None:
    """A wire with short timeouts that remembers no outage."""
    wire.install(wire.UpstreamAdapter(connect_timeout_s=2, read_timeout_s=1))


Eastmoney = EastmoneySource | DirectEastmoney


@pytest.fixture(params=[EastmoneySource, DirectEastmoney], ids=["akshare", "direct"])
def client(request: pytest.FixtureRequest) -> type[Eastmoney]:
    """Who reads Eastmoney: every promise is made by both."""
    made: type[Eastmoney] = request.param
    return made


@pytest.fixture
def source(
    client: type[Eastmoney], simulator: "SimulatorServer", seeded_market: "SeededMarket"
) -> Iterator[Eastmoney]:
    """A source, its wire sent to the simulator."""
    install_wire()
    upstreams = {"eastmoney": wire.Upstream(UnlimitedBudget(), simulator.url)}
    with wire.observed(upstreams, lane=Lane.LIVE, deadline=time.monotonic() + 60):
        yield client(FixedClock(seeded_market.default_now))
    wire.uninstall()


def daily(source: Eastmoney, **more: Any) -> Any:
    """A month of daily bars."""
    return source.fetch_klines(MOUTAI, Period.DAILY, DECEMBER, **more)


def test_daily_bars_come_in_our_schema_units_and_order(
    source: Eastmoney, seeded_market: "SeededMarket"
) -> None:
    """Shares, CNY, final, sorted; with where they came from."""
    bars = daily(source).table

    truth = [r for r in seeded_market.daily("600519").to_pylist() if r["session"] >= DECEMBER.start]
    assert bars.schema == bar_schema(Dataset.KLINE)
    assert bars["volume"].to_pylist() == [row["lots"] * 100 for row in truth]
    assert bars["amount"].to_pylist() == [row["amount"] for row in truth]
    assert set(bars["state"].to_pylist()) == {"final"}
    assert set(bars["source"].to_pylist()) == {"eastmoney"}
    assert {row.strftime("%H:%M") for row in bars["end_at"].to_pylist()} == {"15:00"}


def test_adjusted_prices_can_be_asked_for(source: Eastmoney) -> None:
    """600519 goes ex on 2025-12-19: before it qfq differs from raw, after it it does not."""
    raw = daily(source).table.to_pylist()
    qfq = daily(source, adjustment=Adjustment.QFQ).table.to_pylist()

    differs = [r["session"] for r, q in zip(raw, qfq, strict=True) if r["close"] != q["close"]]
    assert max(differs) == date(2025, 12, 18)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"name": "drop"}, ThrottledError),
        ({"name": "http_status", "status": 429}, ThrottledError),
        ({"name": "http_status", "status": 502}, UpstreamFailedError),
        ({"name": "captcha"}, ThrottledError),
        ({"name": "data_null"}, SourceError),
        ({"name": "empty_success"}, ThrottledError),
        ({"name": "truncated_body"}, MalformedBodyError),
        ({"name": "cut_connection"}, ThrottledError),
        ({"name": "slow_loris"}, UpstreamTimeoutError),
        ({"name": "latency", "seconds": 3}, UpstreamTimeoutError),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_every_way_of_saying_nothing_is_an_error_with_its_type(
    source: Eastmoney,
    simulator: "SimulatorServer",
    fault: dict[str, object],
    error: type[SourceError],
) -> None:
    """No fault looks like an empty result, for daily bars, minutes and boards alike."""
    simulator.faults.add(fault)
    asks = (
        lambda: daily(source),
        lambda: source.fetch_klines(MOUTAI, Period.M5, DECEMBER),
        lambda: source.fetch_klines(MOUTAI, Period.M1, DECEMBER),
        lambda: source.fetch_board_klines(BoardKind.CONCEPT, "BK0818", DECEMBER),
        lambda: source.fetch_board_klines(BoardKind.INDUSTRY, "BK0477", DECEMBER),
    )
    for number, ask in enumerate(asks):
        if fault["name"] == "empty_success" and number == 2:
            continue  # nothing in a one-minute body tells an empty success from a suspension
        install_wire()  # each on its own: silence that repeats would not even be asked again
        with pytest.raises(error):
            ask()


def test_an_honest_empty_window_is_empty_with_its_history(source: Eastmoney) -> None:
    """A window without bars says how many bars there are outside it; boards alike."""
    sunday = Window(date(2025, 12, 28), date(2025, 12, 28))

    for bars in (
        source.fetch_klines(MOUTAI, Period.DAILY, sunday),
        source.fetch_board_klines(BoardKind.CONCEPT, "BK0818", sunday),
        source.fetch_board_klines(BoardKind.INDUSTRY, "BK0477", sunday),
    ):
        assert bars.table.num_rows == 0
        assert bars.history is not None
        assert bars.history > 100


def test_an_unknown_code_is_told_from_a_failure(source: Eastmoney) -> None:
    """The upstream's own word for it."""
    with pytest.raises(UnknownSymbolError, match=r"600999\.SH"):
        source.fetch_klines(parse_symbol("600999"), Period.DAILY, DECEMBER)


def test_a_board_without_members_is_told_from_a_page_without_rows(
    source: Eastmoney, simulator: "SimulatorServer"
) -> None:
    """Only the upstream's own word for none counts; an empty page or success without data lies."""
    for kind, board in ((BoardKind.CONCEPT, "BK0818"), (BoardKind.INDUSTRY, "BK0477")):
        simulator.faults.add({"name": "short_list", "rows": 0, "board": board})
        with pytest.raises(EmptyBoardError, match=rf"lists no members of board {board}"):
            source.fetch_board_members(kind, board)
        for lie, error in (("data_null", ThrottledError), ("empty_page", TruncatedListError)):
            simulator.faults.clear()
            simulator.faults.add({"name": lie, "board": board})
            with pytest.raises(error):
                source.fetch_board_members(kind, board)
        simulator.faults.clear()


def test_what_akshare_would_ask_wrongly_is_refused(source: Eastmoney) -> None:
    """AKShare takes every code that does not begin with 6 for Shenzhen's."""
    for text in ("900901", "510300", "sh000001"):
        with pytest.raises(InvalidSymbolError):
            source.fetch_klines(parse_symbol(text), Period.DAILY, DECEMBER)


def test_lists_are_whole_and_fresh(
    source: Eastmoney, simulator: "SimulatorServer", seeded_market: "SeededMarket"
) -> None:
    """As many rows as the upstream says; and never AKShare's memory of an earlier list."""
    listing = source.fetch_quotes()
    listed = seeded_market.listing(date(2025, 12, 31))

    assert [name[:6] for name in listing["symbol"].to_pylist()] == sorted(
        listed, key=lambda code: str(parse_symbol(code))
    )
    suspended = dict(zip(*(listing[n].to_pylist() for n in ("symbol", "suspended")), strict=True))
    assert suspended["603101.SH"]
    assert not suspended["600519.SH"]
    sent = len(simulator.log.since(0))
    for _ in range(2):
        source.fetch_board_list(BoardKind.CONCEPT)
    assert len(simulator.log.since(0)) == sent + 2


def test_a_bond_on_the_list_of_shares_is_left_out_and_does_not_cost_the_list(
    tmp_path: Path, client: type[Eastmoney]
) -> None:
    """The real list of December 2025 names two convertible bonds, 810011 and 810013."""
    recorded = Path(__file__).parents[1] / "data" / "replay"
    shutil.copytree(recorded, tmp_path / "replay")
    (spot,) = (tmp_path / "replay" / "spot").glob("*.csv")
    rows = spot.read_text(encoding="utf-8").rstrip("\n")
    spot.write_text(f"{rows}\n5,810013,万通定转{',' * 20}\n", encoding="utf-8")
    market = ReplayMarket(tmp_path / "replay")
    install_wire()
    with SimulatorServer(market) as server:
        upstreams = {"eastmoney": wire.Upstream(UnlimitedBudget(), server.url)}
        with wire.observed(upstreams, lane=Lane.LIVE, deadline=time.monotonic() + 60):
            listing = client(FixedClock(market.default_now)).fetch_quotes()
    wire.uninstall()

    assert listing.num_rows == len(rows.splitlines()) - 1
    assert {parse_symbol(code).kind for code in listing["symbol"].to_pylist()} == {SymbolKind.STOCK}


@pytest.mark.parametrize("fault", ["short_page", "empty_page"])
def test_a_list_that_does_not_add_up_is_refused(
    source: Eastmoney, simulator: "SimulatorServer", fault: str
) -> None:
    """Missing rows, or a page without any."""
    simulator.faults.add({"name": fault, "pn": "2"})

    with pytest.raises(TruncatedListError):
        source.fetch_quotes()


def test_a_list_that_names_a_code_twice_is_refused(
    source: Eastmoney,
    simulator: "SimulatorServer",
    misbehaving: Callable[[Answer], MisbehavingServer],
) -> None:
    """The upstream re-sorted between two pages: as many rows as its total, one missing."""
    fields = [*range(1, 26), 62, 115, 128, 136, 152]
    fields.remove(19)
    query = urllib.parse.urlencode(
        {
            "pn": 1,
            "pz": 100,
            "fid": "f12",
            "fs": "m:0 t:6,m:0 t:80,m:1 t:2,m:1 t:23,m:0 t:81 s:2048",
            "fields": ",".join(f"f{number}" for number in fields),
        }
    )
    with urllib.request.urlopen(f"{simulator.url}/api/qt/clist/get?{query}") as page:
        body = json.loads(page.read())
    body["data"]["total"] = 200
    twice = misbehaving(respond(json.dumps(body).encode()))
    upstreams = {"eastmoney": wire.Upstream(UnlimitedBudget(), twice.url)}

    with (
        wire.observed(upstreams, lane=Lane.LIVE, deadline=time.monotonic() + 60),
        pytest.raises(TruncatedListError, match="twice"),
    ):
        source.fetch_quotes()


@pytest.mark.parametrize(
    "ask",
    [
        lambda source: source.fetch_klines(MOUTAI, Period.DAILY, DECEMBER),
        lambda source: source.fetch_klines(MOUTAI, Period.M5, DECEMBER),
        lambda source: source.fetch_klines(MOUTAI, Period.M1, DECEMBER),
        lambda source: source.fetch_board_klines(BoardKind.CONCEPT, "BK0818", DECEMBER),
        lambda source: source.fetch_board_klines(BoardKind.INDUSTRY, "BK0477", DECEMBER),
    ],
)
def test_bars_of_another_symbol_or_board_are_refused(
    source: Eastmoney, simulator: "SimulatorServer", ask: Callable[[Eastmoney], Any]
) -> None:
    """The body says whose they are, and the message says whose instead."""
    simulator.faults.add({"name": "other_symbol"})

    with pytest.raises(OtherSymbolError, match="holds the bars of"):
        ask(source)


@pytest.mark.parametrize(
    ("said", "error"),
    [({"code": "600519", "market": 0}, OtherSymbolError), ({"market": 1}, SchemaDriftError)],
)
def test_an_index_of_the_same_code_and_a_body_without_a_code_are_refused(
    source: Eastmoney,
    misbehaving: Callable[[Answer], MisbehavingServer],
    said: dict[str, object],
    error: type[SourceError],
) -> None:
    """Digits alone do not make a symbol."""
    line = "2025-12-31,10,10,10,10,100,100000,0,0,0,0"
    body = {"rc": 0, "data": {**said, "dktotal": 1, "klines": [line]}}
    wrong = misbehaving(respond(json.dumps(body).encode()))
    upstreams = {"eastmoney": wire.Upstream(UnlimitedBudget(), wrong.url)}

    with (
        wire.observed(upstreams, lane=Lane.LIVE, deadline=time.monotonic() + 60),
        pytest.raises(error),
    ):
        daily(source)


def test_daily_bars_carry_the_change_to_the_raw_close_before(source: Eastmoney) -> None:
    """Row by row, on ex-right sessions too."""
    bars = source.fetch_klines(MOUTAI, Period.DAILY, Window(date(2024, 1, 2), date(2025, 12, 31)))

    assert bars.changes is not None
    closes, changes = bars.table["close"].to_pylist(), bars.changes.to_pylist()
    implied = [round(c - d, 2) for c, d in zip(closes[1:], changes[1:], strict=True)]
    assert implied == closes[:-1]
