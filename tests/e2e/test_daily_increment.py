"""The day's increment of a whole market: one sweep, and single fetches only where it must be."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from ingest.simulator.seeded.market import SeededMarket
from ingest.simulator.seeded.universe import BusyDay
from ingest.simulator.server import SimulatorServer
from market.bars import Dataset
from market.clock import EXCHANGE_TZ
from market.periods import Period
from market.sessions import Window, exchange_calendar
from storage.coverage import extend_coverage
from storage.database import Database
from storage.ex_right import ExRights
from storage.lake import Lake
from storage.warehouse import Warehouse
from tests.fixtures.cli import Installation, Said
from tests.fixtures.undisturbed import comparable

BEFORE, DAY = date(2025, 12, 30), date(2025, 12, 31)
SYMBOLS, EX_RIGHTS, LISTINGS = 150, 6, 4


@pytest.fixture(scope="module")
def busy_market() -> SeededMarket:
    return SeededMarket(21, SYMBOLS, busy=BusyDay(DAY, EX_RIGHTS, LISTINGS))


@pytest.fixture
def simulator(busy_market: SeededMarket) -> Iterator[SimulatorServer]:
    with SimulatorServer(busy_market) as server:
        yield server


@pytest.fixture
def quick(installation: Installation) -> Installation:
    del installation.environment["SYNC_EVENTS"]
    installation.environment["BUDGET_SIMULATOR"] = "400/1s"
    return installation


def at(server: SimulatorServer, day: date, hour: int, minute: int = 0) -> None:
    server.clock.set(datetime(day.year, day.month, day.day, hour, minute, tzinfo=EXCHANGE_TZ))


def sync(
    home: Installation, server: SimulatorServer, start: str = "2025-12-01"
) -> tuple[Said, Counter[str]]:
    """A sync of all daily bars, and the requests it sent: lists, klines by adjustment."""
    since = max((entry.seq for entry in server.log.since(0)), default=0)
    words = ("sync", "stocks", "--from", start, "--upstream", server.url, "--json")
    said = home.run(*words, timeout=300)
    asked = Counter(
        "list" if "fs" in entry.query else f"fqt={entry.query.get('fqt')}"
        for entry in server.log.since(since)
    )
    return said, asked


def stored(home: Installation) -> tuple[pa.Table, pa.Table]:
    lake = Lake(home.home / "lake").read(Dataset.KLINE, Period.DAILY)
    warehouse = Warehouse(Database(home.sql())).read_bars(Dataset.KLINE, Period.DAILY)
    return comparable(lake), comparable(warehouse)


@pytest.mark.lengthy
def test_the_days_bars_come_with_the_list_and_only_doubtful_symbols_are_fetched_singly(
    quick: Installation, simulator: SimulatorServer, busy_market: SeededMarket, tmp_path: Path
) -> None:
    """Requests by the simulator's log; the store equals that of a sync symbol by symbol."""
    at(simulator, BEFORE, 16)
    first, _ = sync(quick, simulator)
    assert first.code == 0, first.stderr
    at(simulator, DAY, 16)
    sent = len(simulator.log.since(0))
    words = ("sync", "stocks", "--from", "2025-12-01", "--upstream", simulator.url, "--plan")
    planned = quick.run(*words, "--json").json
    assert planned["requests"]["symbol list"] == 2
    assert any("come with the symbol list" in notice for notice in planned["notices"])
    assert "in 5 minutes beside the 5-minute sync" in quick.run(*words).stdout
    assert len(simulator.log.since(0)) == sent  # nothing was asked
    second, asked = sync(quick, simulator)
    assert second.code == 0, second.stderr

    listed = busy_market.listing(DAY)
    pages = -(-len(listed) // 100)
    # Of each that went ex-right: its bar, to see that none is missing, and its adjusted prices.
    assert asked == {"list": pages, "fqt=0": EX_RIGHTS, "fqt=1": EX_RIGHTS}
    outcomes = second.json["outcomes"]
    suspended = outcomes.pop("empty_suspended", 0)
    assert outcomes == {"ok": len(listed) - suspended + 1}  # the list itself is one
    assert second.json["ex_rights"] == {"ok": EX_RIGHTS}

    single = Installation(tmp_path / "single", {**quick.environment})
    names = ",".join(listed)
    said = single.run(
        "sync", "stocks", "--symbols", names, "--from", "2025-12-01", "--upstream", simulator.url,
        "--json", timeout=300,
    )  # fmt: skip
    assert said.code == 0, said.stderr
    for swept, fetched in zip(stored(quick), stored(single), strict=True):
        assert swept.equals(fetched)
    events = [ExRights(Database(home.sql()), home.home).read() for home in (quick, single)]
    since = [[e for e in each if e.ex_session >= DAY] for each in events]
    assert len(since[0]) == EX_RIGHTS
    assert since[0] == since[1]

    third, asked = sync(quick, simulator)
    assert (third.json["bars_written"], set(asked)) == (0, {"list"})
    assert quick.run("verify").code == 0
    gaps = quick.run("verify", "--gaps", "--json")
    assert gaps.code == 0, gaps.stdout


def test_a_plan_counts_what_holes_and_missed_sessions_cost_and_the_sync_fills_them(
    quick: Installation,
) -> None:
    """A hole in front of what is held or in its middle; a day on which nobody asked."""
    friday, tuesday = date(2025, 12, 26), date(2025, 12, 30)
    with SimulatorServer(SeededMarket(5, 6)) as server:
        at(server, date(2025, 12, 25), 16)
        assert sync(quick, server, "2025-12-22")[0].code == 0
        # The first week of one symbol is covered, so that its hole has covered sessions around it.
        week = (date(2025, 12, 1), date(2025, 12, 5))
        with Database(quick.sql()).writing() as connection:
            extend_coverage(connection, "kline", "daily", "600519.SH", week, "run")
        plan = ("sync", "stocks", "--from", "2025-12-01", "--upstream", server.url, "--plan")
        ran = []
        for day in (friday, tuesday):
            at(server, day, 16)
            ran.append((quick.run(*plan, "--json").json["requests"], *sync(quick, server)))

    (holes, filled, asked), (missed, late, sent) = ran
    assert (filled.code, late.code) == (0, 0)
    assert asked["fqt=0"] == holes["klines"] == filled.json["outcomes"]["ok"] - 1 >= 5
    bars = Lake(quick.home / "lake").read(Dataset.KLINE, Period.DAILY).to_pylist()
    for name, since in (("600519.SH", date(2025, 12, 8)), ("000001.SZ", date(2025, 12, 1))):
        held = [row["session"] for row in bars if row["symbol"] == name]
        assert held == list(exchange_calendar().sessions_in(Window(since, tuesday)))
    # Whether anybody went ex-right on Monday no list tells: raw and back-adjusted prices of all.
    assert missed["ex-rights"] == 2 * sent["fqt=2"] == 2 * missed["klines"]
    assert sum(missed.values()) == sent.total() - sent["fqt=1"]


@pytest.mark.lengthy
def test_before_the_close_the_sweeps_bars_are_provisional_and_cover_nothing(
    quick: Installation, simulator: SimulatorServer
) -> None:
    """At noon one sweep is all that is asked; the evening's replaces what it brought."""
    at(simulator, BEFORE, 16)
    assert sync(quick, simulator)[0].code == 0
    at(simulator, DAY, 10, 32)
    noon, asked = sync(quick, simulator)
    assert noon.code == 0, noon.stderr
    assert asked["fqt=0"] <= EX_RIGHTS
    lake = Lake(quick.home / "lake").read(Dataset.KLINE, Period.DAILY).to_pylist()
    states = Counter(row["state"] for row in lake if row["session"] == DAY)
    assert set(states) == {"provisional"}
    at(simulator, DAY, 16)
    evening, asked = sync(quick, simulator)
    assert evening.code == 0, evening.stderr
    lake = Lake(quick.home / "lake").read(Dataset.KLINE, Period.DAILY).to_pylist()
    assert {row["state"] for row in lake if row["session"] == DAY} == {"final"}
    assert asked["fqt=0"] <= EX_RIGHTS


@pytest.mark.lengthy
def test_a_plan_counts_what_the_run_then_sends_and_what_would_be_lost(
    quick: Installation, simulator: SimulatorServer
) -> None:
    """Named symbols cost what they cost; of minutes the oldest sessions go first."""
    at(simulator, DAY, 16)
    words = ("sync", "stocks", "--symbols", "600519,000001", "--upstream", simulator.url, "--json")
    for more in ((), ("--period", "5m"), ("--period", "1m")):
        planned = quick.run(*words, *more, "--plan").json
        since = len(simulator.log.since(0))
        assert quick.run(*words, *more).code == 0
        sent = len(simulator.log.since(0)) - since
        # A young ex-right costs a third request.
        assert planned["total"] <= sent <= planned["total"] + 2, more
    lost = quick.run(
        "backfill", "--from", "2025-12-25", "--symbols", "300750", "--period", "1m",
        "--upstream", simulator.url, "--plan", "--json",
    ).json["expiring"]  # fmt: skip
    assert lost[0] == {"session": "2025-12-25", "closes_left": 1, "symbols": 1}
