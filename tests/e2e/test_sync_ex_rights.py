"""Ex-rights end to end: found without a request, fetched, and all of history read by them."""

import csv
import io
import json
from datetime import date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingest.simulator.replay.market import ReplayMarket
from ingest.simulator.seeded.market import SeededMarket
from ingest.simulator.server import SimulatorServer
from market.bars import Dataset
from market.clock import EXCHANGE_TZ
from market.periods import Period
from storage.database import Database
from storage.ex_right import ExRights, read_lake_ex_rights
from storage.lake import Lake
from tests.fixtures.cli import Installation

BEFORE, EX = date(2025, 12, 18), date(2025, 12, 19)
"""600519 of the seeded market goes ex on the second."""
MOUTAI = "600519.SH"


@pytest.fixture
def with_events(installation: Installation) -> Installation:
    """An installation with the default setting: ex-rights are fetched."""
    del installation.environment["SYNC_EVENTS"]
    return installation


@pytest.fixture(scope="module")
def small_market() -> SeededMarket:
    """A market small enough to be synchronised whole."""
    return SeededMarket(seed=11, symbols=40)


def at(server: SimulatorServer, day: date, hour: int = 16) -> None:
    server.clock.set(datetime(day.year, day.month, day.day, hour, 30, tzinfo=EXCHANGE_TZ))


def asked_adjusted(server: SimulatorServer, since: int) -> set[str]:
    """Symbols whose adjusted prices the upstream was asked for."""
    entries = server.log.since(since)
    return {e.query["secid"] for e in entries if e.query.get("fqt", "0") != "0"}


def read(installation: Installation, *more: str) -> dict[str, float]:
    said = installation.run("klines", MOUTAI, "--format", "csv", *more)
    assert said.code == 0, said.stderr
    rows = csv.DictReader(io.StringIO(said.stdout))
    return {row["end_at"][:10]: float(row["close"]) for row in rows}


@pytest.mark.lengthy
def test_a_new_event_changes_all_of_history_read_as_qfq_and_rewrites_no_bar(
    with_events: Installation, small_market: SeededMarket
) -> None:
    """Two syncs around a dividend: only the new session is added, and only its symbol is asked."""
    with SimulatorServer(small_market) as simulator:
        _sync_around_a_dividend(with_events, simulator, small_market)


def _sync_around_a_dividend(
    with_events: Installation, simulator: SimulatorServer, small_market: SeededMarket
) -> None:
    words = ("sync", "stocks", "--from", "2025-11-03", "--upstream", simulator.url, "--json")
    lake = Lake(with_events.home / "lake")

    at(simulator, BEFORE)
    first = with_events.run(*words)
    assert first.code == 0, first.stderr
    listed = first.json["outcomes"]["ok"] - 1
    assert first.json["ex_rights"] == {"ok": listed}
    bars_before = lake.read(Dataset.KLINE, Period.DAILY)
    raw, qfq = read(with_events), read(with_events, "--adjust", "qfq")
    affine = read(with_events, "--adjust", "qfq", "--method", "eastmoney")
    assert raw == qfq == affine  # its ex-right before lies before the window

    since = max(entry.seq for entry in simulator.log.since(0))
    at(simulator, EX)
    second = with_events.run(*words)
    assert second.code == 0, second.stderr

    went_ex = {
        code
        for code in small_market.listing(EX)
        for event in small_market._stock(code).history.ex_rights
        if small_market._stock(code).timeline.sessions[event.ordinal] == EX
    }
    assert {secid.split(".")[1] for secid in asked_adjusted(simulator, since)} == went_ex
    assert second.json["ex_rights"] == {"ok": len(went_ex)}

    bars_after = lake.read(Dataset.KLINE, Period.DAILY)
    old = bars_after.filter([day < EX for day in bars_after["session"].to_pylist()])
    assert old.equals(bars_before)  # fetched_at too: no bar was written again
    stock = small_market._stock("600519")
    sessions = stock.timeline.sessions
    (event,) = [e for e in stock.history.ex_rights if sessions[e.ordinal] == EX]
    reference = int(stock.history.reference[event.place]) / 100
    previous = raw["2025-12-18"]
    now = read(with_events, "--adjust", "qfq")
    assert set(now) - set(qfq) == {"2025-12-19"}
    for day, price in qfq.items():
        assert now[day] == pytest.approx(price * reference / previous, rel=0.011 / reference)
    assert read(with_events) == {**raw, "2025-12-19": now["2025-12-19"]}
    affine_now = read(with_events, "--adjust", "qfq", "--method", "eastmoney")
    for day, price in affine.items():
        wanted = (price - event.cash / 100) / (1 + event.bonus / 10)
        assert affine_now[day] == pytest.approx(wanted, abs=0.011)
    quiet = with_events.run("klines", MOUTAI, "--adjust", "qfq", "--format", "csv").stderr
    assert quiet == ""

    third = with_events.run(*words)
    assert third.json["ex_rights"] == {}


@pytest.mark.lengthy
def test_named_symbols_are_asked_once_a_session_and_never_by_minute_runs(
    with_events: Installation, simulator: SimulatorServer
) -> None:
    """Two requests beside the bars; a run with nothing to fetch asks for nothing."""
    words = ("sync", "stocks", "--symbols", "600519", "--upstream", simulator.url, "--json")
    at(simulator, date(2025, 12, 31))

    minutes = with_events.run(*words, "--period", "5m")
    assert (minutes.json["requests"], minutes.json["ex_rights"]) == (1, {})
    unknown = with_events.run("klines", MOUTAI, "--period", "5m", "--adjust", "qfq")
    assert "the ex-rights of 600519.SH are not known to be complete (none rec" in unknown.stderr

    first = with_events.run(*words, "--from", "2025-11-03")
    assert first.code == 0, first.stderr
    assert first.json["outcomes"] == first.json["ex_rights"] == {"ok": 1}
    assert first.json["symbols"] == 1
    assert first.json["requests"] in (3, 4)  # bars; raw and hfq; qfq if the newest is young
    again = with_events.run(*words, "--from", "2025-11-03")
    assert (again.json["requests"], again.json["ex_rights"]) == (0, {})
    older = with_events.run(*words, "--from", "2025-10-09")
    assert (older.json["requests"], older.json["ex_rights"]) == (1, {})

    (event,) = [e for e in read_lake_ex_rights(with_events.home / "lake") if e.ex_session == EX]
    assert event.symbol == MOUTAI
    half = with_events.run("klines", MOUTAI, "--period", "5m", "--adjust", "qfq", "--json")
    raw = with_events.run("klines", MOUTAI, "--period", "5m", "--json")
    assert half.stderr == ""
    for ours, theirs in zip(json.loads(half.stdout), json.loads(raw.stdout), strict=True):
        factor = 1.0 if ours["end_at"][:10] >= "2025-12-19" else event.factor
        assert ours["close"] == pytest.approx(theirs["close"] / factor)
        assert ours["volume"] == theirs["volume"]


def test_a_switch_turns_ex_rights_off(
    installation: Installation, simulator: SimulatorServer
) -> None:
    said = installation.run(
        "sync", "stocks", "--symbols", "600519", "--from", "2025-12-01",
        "--upstream", simulator.url, "--json",
    )  # fmt: skip
    assert (said.json["requests"], said.json["ex_rights"]) == (1, {})
    assert not (installation.home / "lake" / "ex_right").exists()


def test_a_failed_fetch_leaves_what_is_known_and_the_next_sync_asks_again(
    with_events: Installation, simulator: SimulatorServer
) -> None:
    words: tuple[str, ...] = ("sync", "stocks", "--symbols", "600519,000001", "--json")
    words += ("--from", "2025-12-01", "--upstream", simulator.url)
    at(simulator, BEFORE)
    assert with_events.run(*words).code == 0
    known = read_lake_ex_rights(with_events.home / "lake")
    assert known

    at(simulator, EX)
    simulator.faults.add({"name": "empty_success", "secid": "1.600519", "fqt": "2"})
    said = with_events.run(*words)

    assert said.code == 1
    assert said.json["outcomes"] == {"ok": 2}
    assert said.json["ex_rights"] == {"ok": 1, "throttled": 1}
    (failure,) = said.json["failures"]
    assert (failure["work"], failure["subject"]) == ("ex_right", MOUTAI)
    kept = read_lake_ex_rights(with_events.home / "lake", [MOUTAI])
    assert kept == [event for event in known if event.symbol == MOUTAI]
    told = with_events.run("klines", MOUTAI, "--adjust", "qfq").stderr
    assert "ex-rights of 600519.SH are known from" in told
    assert "2025-12-18" in told


def test_recordings_without_adjusted_prices_are_synchronised_all_the_same(
    with_events: Installation,
) -> None:
    """The outcome says that ex-rights cannot be known; reading adjusted says so too."""
    recordings = Path(__file__).parents[1] / "data" / "replay"
    with SimulatorServer(ReplayMarket(recordings)) as server:
        said = with_events.run(
            "sync", "stocks", "--symbols", "600519", "--upstream", server.url, "--json"
        )
    assert said.code == 0, said.stderr
    assert said.json["ex_rights"] == {"not_served": 1}
    told = with_events.run("klines", MOUTAI, "--adjust", "qfq").stderr
    assert "the ex-rights of 600519.SH are not known to be complete" in told


def test_the_ledger_and_both_copies_say_where_ex_rights_are_from(
    with_events: Installation, simulator: SimulatorServer
) -> None:
    said = with_events.run(
        "sync", "stocks", "--symbols", "600519", "--from", "2025-12-01",
        "--upstream", simulator.url, "--json",
    )  # fmt: skip
    lake = with_events.home / "lake"
    database = Database(with_events.sql())
    kept = ExRights(database, lake)
    assert kept.read() == read_lake_ex_rights(lake) != []
    assert set(pq.read_table(kept.path)["source"].to_pylist()) == {"simulator"}
    details = with_events.run("runs", said.json["run_id"], "--json").json["details"]
    assert {d["work"] for d in details} == {"kline", "ex_right"}
    database.dispose()
