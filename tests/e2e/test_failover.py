"""Eastmoney off for a day, end to end: real workers, real HTTP, who was asked by the log."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import pytest

from ingest.simulator.seeded.market import SeededMarket
from ingest.simulator.server import SimulatorServer
from market.bars import Dataset
from market.clock import EXCHANGE_TZ
from market.periods import Period
from market.sessions import Window
from storage.lake import Lake
from tests.fixtures.cli import Installation

BEFORE, DAY = date(2025, 12, 30), date(2025, 12, 31)
EASTMONEY_OFF = {"name": "drop", "host": "eastmoney"}


@pytest.fixture
def market() -> Iterator[SimulatorServer]:
    """A small market, as of the evening before."""
    with SimulatorServer(SeededMarket(seed=11, symbols=24)) as server:
        server.clock.set(datetime(2025, 12, 30, 16, tzinfo=EXCHANGE_TZ))
        yield server


@pytest.fixture
def home(installation: Installation) -> Installation:
    """An installation with the fail-over that is the default."""
    installation.environment |= {"FAILOVER_DAILY": "sina,tencent", "FAILOVER_MINUTE": "sina"}
    # Or it would be a minute until Eastmoney's return is noticed.
    installation.environment |= {"BAN_PROBE_S": "1", "BAN_PROBE_LONGEST_S": "2"}
    installation.environment |= {"FAILOVER_LIST_PATIENCE_S": "1"}
    return installation


def sync(home: Installation, market: SimulatorServer, period: str, *more: str) -> Any:
    """Sync all stocks from a Monday on; what it says."""
    words = ("sync", "stocks", "--period", period, "--from", "2025-12-29", *more)
    said = home.run(*words, "--upstream", market.url, "--json")
    assert said.code in (0, 1), said.stderr
    return said.json


def held(home: Installation, period: Period, session: date) -> list[dict[str, Any]]:
    """Bars of a session, in the lake."""
    lake = Lake(home.home / "lake")
    rows: list[dict[str, Any]] = lake.read(
        Dataset.KLINE, period, window=Window(session, session)
    ).to_pylist()
    return rows


def asked(market: SimulatorServer, since: int) -> Counter[str]:
    """How many requests each upstream got since one."""
    return Counter(entry.domain for entry in market.log.since(since))


def values(row: dict[str, Any]) -> tuple[Any, ...]:
    """A bar without who delivered it and when, its amount in whole CNY."""
    kept = ("symbol", "end_at", "open", "high", "low", "close", "volume")
    return (*(row[name] for name in kept), round(row["amount"]))


def test_a_day_without_eastmoney_arrives_from_others_and_nothing_is_double_afterwards(
    home: Installation, market: SimulatorServer
) -> None:
    """Daily and 5m bars of Shanghai and Shenzhen, marked; Beijing's owed; then all, each once."""
    for period in ("daily", "5m"):
        assert sync(home, market, period)["state"] == "committed"
    traded = {
        row["symbol"] for row in held(home, Period.DAILY, BEFORE)
    }  # whoever is suspended on the 31st does not matter here
    market.faults.add(EASTMONEY_OFF)
    market.clock.set(datetime(2025, 12, 31, 16, tzinfo=EXCHANGE_TZ))
    evening = len(market.log.since(0))

    daily, minutes = sync(home, market, "daily"), sync(home, market, "5m")

    # The list is Eastmoney's alone: the run goes on with the one of the day before.
    assert "the list of 2025-12-30" in " ".join(daily["notices"])
    on_the_day = held(home, Period.DAILY, DAY)
    five = held(home, Period.M5, DAY)
    beijing = {name for name in traded if name.endswith(".BJ")}
    assert beijing
    assert {row["symbol"] for row in on_the_day} >= traded - {"603101.SH"}
    assert {row["source"] for row in on_the_day} == {"simulator:sina"}
    assert {row["state"] for row in on_the_day + five} == {"final"}
    assert {row["symbol"] for row in five} == {r["symbol"] for r in on_the_day} - beijing
    assert {row["source"] for row in five} == {"simulator:sina"}
    assert set(Counter(row["symbol"] for row in five).values()) == {48}
    # Nobody has Beijing's minutes: they are owed, and the ledger says how Eastmoney failed.
    assert minutes["state"] == "partial"
    assert minutes["outcomes"]["ok"] == len({row["symbol"] for row in five})
    away = [minutes["outcomes"].get(how, 0) for how in ("banned", "throttled")]
    assert sum(away) >= len(beijing)
    # Eastmoney is not asked once a symbol: a few times, until it counts as away.
    requests = asked(market, evening)
    assert requests["eastmoney"] <= 24
    assert requests["sina"] <= 2 * 24 + 24 + 6
    assert requests["tencent"] <= 2

    market.faults.clear()
    time.sleep(3)  # beyond the next probe
    back = len(market.log.since(0))
    for period in ("daily", "5m"):
        assert sync(home, market, period)["state"] == "committed"

    assert set(asked(market, back)) == {"eastmoney"}
    assert {row["symbol"] for row in held(home, Period.M5, DAY)} >= {
        *beijing,
        *(row["symbol"] for row in five),
    }
    for period, before in ((Period.DAILY, on_the_day), (Period.M5, five)):
        after = held(home, period, DAY)
        keys = Counter((row["symbol"], row["end_at"]) for row in after)
        assert max(keys.values()) == 1
        stay = {(row["symbol"], row["end_at"]): row for row in after}
        assert all(stay[row["symbol"], row["end_at"]] == row for row in before)
    verified = home.run("verify", "--json").json
    assert verified["equal"] is True


@pytest.mark.lengthy
def test_a_morning_of_eastmoney_and_an_afternoon_of_another_make_one_whole_session(
    home: Installation, market: SimulatorServer
) -> None:
    """Off from 10:32 on: the provisional bars give way, and every value is the later answer's."""
    words = ("--symbols", "600519,000001", "--from", "2025-12-31")
    market.clock.set(datetime(2025, 12, 31, 10, 32, tzinfo=EXCHANGE_TZ))
    sync(home, market, "5m", *words)
    morning = held(home, Period.M5, DAY)
    assert {row["source"] for row in morning} == {"simulator"}
    assert "provisional" in {row["state"] for row in morning}
    market.faults.add(EASTMONEY_OFF)
    market.clock.set(datetime(2025, 12, 31, 16, tzinfo=EXCHANGE_TZ))

    assert sync(home, market, "5m", *words)["state"] == "committed"

    day = held(home, Period.M5, DAY)
    assert {row["state"] for row in day} == {"final"}
    assert Counter(row["symbol"] for row in day) == {"600519.SH": 48, "000001.SZ": 48}
    served = {row["end_at"]: row for row in day if row["symbol"] == "600519.SH"}
    truth = SeededMarket(seed=11, symbols=24).minutes("600519", DAY, 5).to_pylist()
    assert [round(row["close"], 2) for row in truth] == [row["close"] for row in served.values()]
    changed = [row for row in day if row["source"] == "simulator:sina"]
    assert len(changed) >= 2 * (48 - len(morning) // 2 + 1)
    # Of one source's session, the other's word stands only where both said the same.
    kept = {values(row) for row in morning if row["state"] == "final"}
    assert {values(row) for row in day if row["source"] == "simulator"} <= kept
