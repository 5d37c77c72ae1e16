"""Sina's and Tencent's sources against a real server: Eastmoney's bars, or typed errors."""

import time
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ingest import wire
from ingest.pacing import Lane, UnlimitedBudget
from ingest.simulator.replay.market import ReplayMarket
from ingest.simulator.server import SimulatorServer
from ingest.source import (
    KlineSource,
    MalformedBodyError,
    NotOfferedError,
    OtherSymbolError,
    SourceError,
    ThrottledError,
    UnknownSymbolError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
from ingest.sources.eastmoney import EastmoneySource
from ingest.sources.sina import SinaSource
from ingest.sources.tencent import TencentSource
from ingest.validation import Evidence, validate_bars
from market.bars import Dataset, bar_schema
from market.clock import EXCHANGE_TZ, FixedClock
from market.errors import InvalidSymbolError
from market.periods import Period
from market.sessions import Window, exchange_calendar
from market.symbols import parse_symbol

if TYPE_CHECKING:
    from ingest.simulator.seeded.market import SeededMarket

DECEMBER = Window(date(2025, 12, 1), date(2025, 12, 31))
WEEK = Window(date(2025, 12, 25), date(2025, 12, 31))
CODES = ("600519", "000001", "300750", "688981", "603101")
DOMAINS = ("eastmoney", "sina", "tencent")
PRICES = ("open", "high", "low", "close")
RECORDED = Path(__file__).parents[1] / "data" / "replay"

Sources = tuple[EastmoneySource, dict[str, KlineSource]]


def sources_as_of(now: datetime) -> Sources:
    """Eastmoney's source and the others, on a fresh wire."""
    wire.install(wire.UpstreamAdapter(connect_timeout_s=2, read_timeout_s=1))
    clock = FixedClock(now)
    return EastmoneySource(clock), {"sina": SinaSource(clock), "tencent": TencentSource(clock)}


@pytest.fixture
def sources(simulator: "SimulatorServer", seeded_market: "SeededMarket") -> Iterator[Sources]:
    """All sources of the seeded market, as of 2025-12-31 16:00."""
    upstreams = {name: wire.Upstream(UnlimitedBudget(), simulator.url) for name in DOMAINS}
    with wire.observed(upstreams, lane=Lane.LIVE, deadline=time.monotonic() + 120):
        yield sources_as_of(seeded_market.default_now)
    wire.uninstall()


def without_stamps(table: Any, *names: str) -> list[dict[str, Any]]:
    """Rows without who delivered them and when; ``names`` left out as well."""
    kept = [n for n in table.column_names if n not in ("source", "fetched_at", *names)]
    rows: list[dict[str, Any]] = table.select(kept).to_pylist()
    return rows


def assert_equal_but_for_rounding(ours: Any, theirs: Any, amounts_to: float) -> None:
    """Everything equal, amounts within what the source rounds them to."""
    assert theirs.num_rows > 0
    assert ours.schema == bar_schema(Dataset.KLINE)
    assert without_stamps(ours, "amount", "turnover_rate") == without_stamps(
        theirs, "amount", "turnover_rate"
    )
    pairs = zip(ours["amount"].to_pylist(), theirs["amount"].to_pylist(), strict=True)
    assert max(abs(a - b) for a, b in pairs) <= amounts_to / 2


@pytest.mark.parametrize(("name", "amounts_to"), [("sina", 1.0), ("tencent", 100.0)])
@pytest.mark.parametrize("code", CODES)
def test_daily_bars_equal_those_of_eastmoney(
    sources: Sources, name: str, amounts_to: float, code: str
) -> None:
    """On every board of Shanghai and Shenzhen, in shares, with the turnover rate."""
    eastmoney, others = sources
    symbol = parse_symbol(code)
    window = Window(date(2024, 11, 25), date(2025, 12, 31))

    theirs = eastmoney.fetch_klines(symbol, Period.DAILY, window).table
    answer = others[name].fetch_klines(symbol, Period.DAILY, window)

    assert_equal_but_for_rounding(answer.table, theirs, amounts_to)
    assert answer.table["turnover_rate"].to_pylist() == theirs["turnover_rate"].to_pylist()
    assert set(answer.table["source"].to_pylist()) == {name}
    assert answer.history is not None
    assert answer.history >= answer.table.num_rows


@pytest.mark.parametrize(("period", "minutes"), [(Period.M5, 240), (Period.M1, 1200)])
def test_minute_bars_of_sina_are_those_of_eastmoney_labelled_at_their_end(
    sources: Sources, period: Period, minutes: int
) -> None:
    """Five sessions: 48 bars of 5m each; of 1m 240, the auction within the first."""
    eastmoney, others = sources
    symbol = parse_symbol("000001")

    theirs = eastmoney.fetch_klines(symbol, period, WEEK).table
    ours = others["sina"].fetch_klines(symbol, period, WEEK).table

    assert ours.num_rows == minutes
    assert ours["turnover_rate"].null_count == minutes
    if period is Period.M5:
        assert_equal_but_for_rounding(ours, theirs, 0.0001)
    assert sum(ours["volume"].to_pylist()) == sum(theirs["volume"].to_pylist())
    assert {row.strftime("%H:%M") for row in ours["end_at"].to_pylist()} >= {"09:35", "15:00"}


@pytest.mark.parametrize("code", ["302132", "689009", "000001", "688981", "600519"])
@pytest.mark.parametrize("name", ["sina", "tencent"])
def test_volumes_of_every_board_keep_the_average_price_within_the_bar(
    tmp_path: Path, name: str, code: str
) -> None:
    """Lots on the main boards and ChiNext, shares on STAR: also where AKShare mistakes one."""
    folder = tmp_path / "replay" / "daily" / "none"
    folder.mkdir(parents=True)
    (folder / f"{code}.csv").write_text(
        "日期,开盘,收盘,最高,最低,成交量,成交额,振幅,涨跌幅,涨跌额,换手率\n"
        "2025-12-30,10.00,10.20,10.30,9.90,12345,12468450.00,4,2,0.2,1.05\n"
        "2025-12-31,10.20,10.10,10.40,10.00,22345,22791900.00,4,-1,-0.1,1.9\n",
        encoding="utf-8",
    )
    symbol = parse_symbol(code)
    with SimulatorServer(ReplayMarket(tmp_path / "replay")) as server:
        upstreams = {each: wire.Upstream(UnlimitedBudget(), server.url) for each in DOMAINS}
        with wire.observed(upstreams, lane=Lane.LIVE, deadline=time.monotonic() + 60):
            _, others = sources_as_of(datetime(2025, 12, 31, 16, tzinfo=EXCHANGE_TZ))
            bars = others[name].fetch_klines(symbol, Period.DAILY, DECEMBER)
    wire.uninstall()

    assert bars.table["volume"].to_pylist() == [1_234_500, 2_234_500]
    evidence = Evidence(window=DECEMBER)
    verdict = validate_bars(Dataset.KLINE, Period.DAILY, bars.table, exchange_calendar(), evidence)
    assert verdict.reasons == {}


def test_recorded_bars_come_through_every_source_alike() -> None:
    """The recorded market: real prices, volumes and amounts, odd ones included."""
    market = ReplayMarket(RECORDED)
    codes = [p.stem for p in sorted((RECORDED / "daily" / "none").glob("*.csv"))]
    codes = [code for code in codes if parse_symbol(code).exchange.value != "BJ"]
    window = Window(date(2025, 12, 1), date(2026, 12, 31))
    assert codes
    with SimulatorServer(market) as server:
        upstreams = {each: wire.Upstream(UnlimitedBudget(), server.url) for each in DOMAINS}
        with wire.observed(upstreams, lane=Lane.LIVE, deadline=time.monotonic() + 60):
            eastmoney, others = sources_as_of(market.default_now)
            for code in codes:
                symbol = parse_symbol(code)
                theirs = eastmoney.fetch_klines(symbol, Period.DAILY, window).table
                for name, amounts_to in (("sina", 1.0), ("tencent", 100.0)):
                    ours = others[name].fetch_klines(symbol, Period.DAILY, window).table
                    assert_equal_but_for_rounding(ours, theirs, amounts_to)
            moutai = parse_symbol("600519")
            theirs = eastmoney.fetch_klines(moutai, Period.M5, window).table
            ours = others["sina"].fetch_klines(moutai, Period.M5, window).table
            assert_equal_but_for_rounding(ours, theirs, 0.0001)
    wire.uninstall()


ASKED = (("sina", Period.DAILY), ("sina", Period.M5), ("tencent", Period.DAILY))
FAULTS: list[tuple[dict[str, object], type[SourceError]]] = [
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
    ({"name": "other_symbol"}, OtherSymbolError),
]


@pytest.mark.parametrize(
    ("name", "period", "fault", "error"),
    [
        pytest.param(name, period, fault, error, id=f"{name}-{period}-{fault['name']}")
        for name, period in ASKED
        for fault, error in FAULTS
        # No word of a symbol stands in Sina's minute bars.
        if (period, fault["name"]) != (Period.M5, "other_symbol")
    ],
)
def test_every_way_of_saying_nothing_is_an_error_with_its_type(
    sources: Sources,
    simulator: "SimulatorServer",
    name: str,
    period: Period,
    fault: dict[str, object],
    error: type[SourceError],
) -> None:
    """As Eastmoney's are."""
    simulator.faults.add({**fault, "host": name})

    with pytest.raises(error, match=r"600519|sina|tencent|gtimg|qq\.com"):
        sources[1][name].fetch_klines(parse_symbol("600519"), period, WEEK)


def test_a_fault_of_one_upstream_leaves_the_others_alone(
    sources: Sources, simulator: "SimulatorServer"
) -> None:
    """Eastmoney switched off: and the log says who was asked."""
    simulator.faults.add({"name": "drop", "host": "eastmoney"})
    eastmoney, others = sources
    with pytest.raises(ThrottledError):
        eastmoney.fetch_klines(parse_symbol("600519"), Period.DAILY, WEEK)
    for name in ("sina", "tencent"):
        others[name].fetch_klines(parse_symbol("600519"), Period.DAILY, WEEK)

    said = [(entry.domain, entry.status) for entry in simulator.log.since(0)]
    assert said == [("eastmoney", 0), ("sina", 200), ("sina", 200), ("tencent", 200)]


@pytest.mark.parametrize(
    ("name", "period", "window", "requests"),
    [
        ("sina", Period.DAILY, Window(date(2015, 1, 5), date(2025, 12, 31)), 2),
        ("sina", Period.M5, WEEK, 1),
        ("sina", Period.M1, WEEK, 1),
        ("tencent", Period.DAILY, WEEK, 1),
        ("tencent", Period.DAILY, Window(date(2024, 12, 30), date(2025, 1, 2)), 2),
    ],
)
def test_a_symbol_costs_no_more_requests_than_its_data_need(
    sources: Sources,
    simulator: "SimulatorServer",
    name: str,
    period: Period,
    window: Window,
    requests: int,
) -> None:
    """Where AKShare as it is sends 4 for minutes, and one more to Tencent."""
    sources[1][name].fetch_klines(parse_symbol("600519"), period, window)

    assert len(simulator.log.since(0)) == requests


def test_what_a_source_has_not_is_refused_before_a_request(
    sources: Sources, simulator: "SimulatorServer"
) -> None:
    """Beijing and minutes at Tencent; what is no A share at either."""
    sina, tencent = sources[1]["sina"], sources[1]["tencent"]
    with pytest.raises(NotOfferedError, match=r"Beijing.*920002"):
        tencent.fetch_klines(parse_symbol("920002"), Period.DAILY, WEEK)
    with pytest.raises(NotOfferedError, match="daily klines only"):
        tencent.fetch_klines(parse_symbol("600519"), Period.M5, WEEK)
    for source in (sina, tencent):
        with pytest.raises(InvalidSymbolError):
            source.fetch_klines(parse_symbol("sh000001"), Period.DAILY, WEEK)
    assert simulator.log.since(0) == []


def test_an_unknown_code_is_told_from_a_failure(sources: Sources) -> None:
    """Each upstream's own word for it."""
    for name, period in ASKED:
        with pytest.raises(UnknownSymbolError, match=r"600999\.SH"):
            sources[1][name].fetch_klines(parse_symbol("600999"), period, WEEK)


def test_a_window_before_the_reach_of_minutes_is_refused_and_not_called_empty(
    sources: Sources,
) -> None:
    """1,970 bars of 5m are 41 sessions: of the first of these a part is missing."""
    with pytest.raises(NotOfferedError, match="latest 1970 5m bars"):
        sources[1]["sina"].fetch_klines(
            parse_symbol("600519"), Period.M5, Window(date(2025, 9, 1), date(2025, 12, 31))
        )


def test_a_change_of_share_capital_on_a_day_off_makes_no_bar(sources: Sources) -> None:
    """AKShare fills such days with the bar before: a window that begins on one must not show it."""
    symbol = parse_symbol("603101")
    day = date(2024, 1, 1)
    whole = sources[1]["sina"].fetch_klines(symbol, Period.DAILY, Window(day, WEEK.end)).table
    sessions = set(exchange_calendar().sessions_in(Window(day, WEEK.end)))

    assert set(whole["session"].to_pylist()) <= sessions
    for start in sorted(sessions - set(whole["session"].to_pylist()))[:5]:
        part = sources[1]["sina"].fetch_klines(symbol, Period.DAILY, Window(start, WEEK.end)).table
        assert start not in part["session"].to_pylist()
