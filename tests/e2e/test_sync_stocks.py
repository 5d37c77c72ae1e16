"""Stock klines end to end: real Redis, real workers, real HTTP to a simulated market."""

import json
import signal
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from market.bars import Dataset
from market.clock import EXCHANGE_TZ
from market.periods import Period
from market.symbols import parse_symbol
from storage.database import Database
from storage.lake import Lake
from storage.warehouse import Warehouse
from tests.fixtures.cli import Installation, wait_for
from tests.fixtures.processes import processes_of

if TYPE_CHECKING:
    from ingest.simulator.seeded.market import SeededMarket
    from ingest.simulator.server import SimulatorServer

FIVE = ("600519", "000001", "300750", "688981", "920002")
START = date(2024, 1, 2)


def truth(market: "SeededMarket", code: str, start: date = START) -> list[dict[str, Any]]:
    """The market's own bars of a symbol, in our units."""
    rows = market.daily(code).to_pylist()
    return [
        {
            "symbol": str(parse_symbol(code)),
            "session": row["session"],
            **{k: row[k] for k in ("open", "high", "low", "close", "amount", "turnover_rate")},
            "volume": row["lots"] * 100,
        }
        for row in rows
        if row["session"] >= start
    ]


def held(bars: Any) -> list[dict[str, Any]]:
    """Stored bars, without what the market does not say."""
    kept = (
        "symbol",
        "session",
        "open",
        "high",
        "low",
        "close",
        "amount",
        "turnover_rate",
        "volume",
    )
    return [{k: row[k] for k in kept} for row in bars.to_pylist()]


def test_five_symbols_arrive_whole_in_both_stores_and_once(
    installation: Installation, simulator: "SimulatorServer", seeded_market: "SeededMarket"
) -> None:
    """Exactly the market's bars, to the last digit, in shares; a second run finds nothing to do."""
    words: tuple[str, ...] = ("sync", "stocks", "--period", "daily", "--symbols", ",".join(FIVE))
    words += ("--from", START.isoformat(), "--upstream", simulator.url, "--json")

    first = replace(installation, fresh=True).run(*words)

    assert first.code == 0, first.stderr
    summary = first.json
    expected = [row for code in FIVE for row in truth(seeded_market, code)]
    expected.sort(key=lambda row: (row["symbol"], row["session"]))
    assert summary["outcomes"] == {"ok": 5}
    assert (summary["state"], summary["bars_written"]) == ("committed", len(expected))
    assert (summary["requests"], len(simulator.log.since(0))) == (5, 5)
    assert {"run_id", "dataset", "period", "symbols", "elapsed_s"} <= summary.keys()
    lake = Lake(installation.home / "lake")
    assert held(lake.read(Dataset.KLINE, Period.DAILY)) == expected
    database = Database(installation.sql())
    assert held(Warehouse(database).read_bars(Dataset.KLINE, Period.DAILY)) == expected
    database.dispose()
    frame = pd.read_parquet(installation.home / "lake/kline/period=daily")
    assert len(frame) == len(expected)

    verified = installation.run("verify", "--json")
    assert (verified.code, verified.json["equal"], verified.json["bars"]) == (
        0,
        True,
        len(expected),
    )

    again = installation.run(*words).json
    assert (again["state"], again["bars_written"], again["requests"]) == ("committed", 0, 0)
    assert "lack nothing" in again["notices"][0]

    klines = installation.run("klines", "sh600519", "--format", "csv").stdout.splitlines()
    assert klines[0] == "end_at,open,high,low,close,volume,amount"
    assert len(klines) - 1 == len(truth(seeded_market, "600519"))
    newest = truth(seeded_market, "600519")[-1]
    assert klines[-1].split(",")[4:6] == [str(newest["close"]), str(newest["volume"])]


@pytest.mark.lengthy
def test_a_person_is_told_what_was_fetched_in_words_that_count(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """A list and klines are told apart; one request is one request."""
    words = ("sync", "stocks", "--from", "2025-12-31", "--upstream", simulator.url)
    one = installation.run(*words, "--symbols", "600519").stdout
    rest = installation.run(*words).stdout
    again = installation.run(*words).stdout

    assert "outcomes  klines: 1 ok\n" in one
    assert "written   1 bar with 1 request in 1 batch, 1 wave\n" in one
    assert "outcomes  symbol list: 1 ok; klines: " in rest
    assert "note      the klines of 1 of " in rest
    assert "outcomes  symbol list: 1 ok\n" in again
    assert "lack nothing in 2025-12-31..2025-12-31" in again


@pytest.mark.lengthy
def test_a_half_formed_bar_is_provisional_and_then_replaced(
    installation: Installation, simulator: "SimulatorServer", seeded_market: "SeededMarket"
) -> None:
    """At 10:32 the day's bar is provisional; after the close the final one takes its place."""
    words: tuple[str, ...] = ("sync", "stocks", "--symbols", "600519", "--from", "2025-12-29")
    words += ("--upstream", simulator.url, "--json")
    lake = Lake(installation.home / "lake")

    simulator.clock.set(datetime(2025, 12, 31, 10, 32, tzinfo=EXCHANGE_TZ))
    assert installation.run(*words).json["bars_written"] == 3
    morning = lake.read(Dataset.KLINE, Period.DAILY).to_pylist()
    half_formed = installation.run("klines", "600519", "--format", "csv")
    simulator.clock.set(datetime(2025, 12, 31, 16, 0, tzinfo=EXCHANGE_TZ))
    evening = installation.run(*words).json
    final = lake.read(Dataset.KLINE, Period.DAILY)
    whole = installation.run("klines", "600519", "--format", "csv")

    said = "1 of 3 bars is provisional and can still change: 2025-12-31 15:00\n"
    assert (half_formed.stderr, whole.stderr) == (said, "")
    assert half_formed.stdout.splitlines()[0] == "end_at,open,high,low,close,volume,amount"
    assert [row["state"] for row in morning] == ["final", "final", "provisional"]
    assert (evening["requests"], evening["bars_written"]) == (1, 1)
    assert held(final) == truth(seeded_market, "600519", date(2025, 12, 29))
    assert set(final["state"].to_pylist()) == {"final"}
    assert morning[2]["volume"] < final["volume"].to_pylist()[2]


@pytest.mark.lengthy
@pytest.mark.parametrize(("period", "klt", "sessions"), [("5m", 5, 40), ("1m", 1, 5)])
def test_minute_bars_arrive_with_their_ends_and_reach(
    installation: Installation,
    simulator: "SimulatorServer",
    seeded_market: "SeededMarket",
    period: str,
    klt: int,
    sessions: int,
) -> None:
    """5m: 48 bars a session, 1m: 240 and the auction; as far back as the upstream goes."""
    said = installation.run(
        "sync", "stocks", "--period", period, "--symbols", "600519,000001",
        "--upstream", simulator.url, "--json",
    )  # fmt: skip

    assert said.code == 0, said.stderr
    bars = Lake(installation.home / "lake").read(Dataset.KLINE, Period(period), names=["600519.SH"])
    days = sorted(set(bars["session"].to_pylist()))
    assert len(days) == sessions
    for day in (days[0], days[-1]):
        mine = [row for row in bars.to_pylist() if row["session"] == day]
        wanted = seeded_market.minutes("600519", day, klt).to_pylist()
        assert [row["end_at"].strftime("%Y-%m-%d %H:%M") for row in mine] == [
            row["label"] for row in wanted
        ]
        assert [row["volume"] for row in mine] == [row["lots"] * 100 for row in wanted]
        assert [row["close"] for row in mine] == [row["close"] for row in wanted]
    opens = {d: [r["open"] for r in bars.to_pylist() if r["session"] == d] for d in days}
    assert (None in opens[days[0]]) == (period == "1m")
    assert None not in opens[days[-1]]
    assert installation.run("verify").code == 0


def test_one_symbol_that_fails_does_not_hold_up_the_others(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """The others are committed; the failure is an outcome with its reason, and exit code 1."""
    simulator.faults.add({"name": "empty_success", "secid": "0.000001"})

    said = installation.run(
        "sync", "stocks", "--symbols", "600519,000001,600999", "--from", "2025-12-01",
        "--upstream", simulator.url, "--json",
    )  # fmt: skip

    assert said.code == 1
    assert said.json["state"] == "partial"
    assert said.json["outcomes"] == {"ok": 1, "throttled": 1, "unknown_symbol": 1}
    reasons = {row["subject"]: row["reason"] for row in said.json["failures"]}
    assert "no history at all" in reasons["000001.SZ"]
    assert "knows no such code" in reasons["600999.SH"]

    simulator.faults.clear()
    healed = installation.run(
        "sync", "stocks", "--symbols", "600519,000001", "--from", "2025-12-01",
        "--upstream", simulator.url, "--json",
    )  # fmt: skip
    assert (healed.code, healed.json["outcomes"], healed.json["requests"]) == (0, {"ok": 1}, 1)


def test_wrong_units_go_to_quarantine_and_not_into_the_stores(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """Shares served as lots cannot pass the check of amount against volume."""
    simulator.faults.add({"name": "wrong_units", "secid": "1.600519"})

    said = installation.run(
        "sync", "stocks", "--symbols", "600519", "--from", "2025-12-22",
        "--upstream", simulator.url, "--json",
    )  # fmt: skip

    assert (said.code, said.json["outcomes"]) == (1, {"invalid": 1})
    assert "shares_for_lots" in said.json["failures"][0]["reason"]
    assert said.json["bars_written"] == 0
    assert installation.run("klines", "600519").code == 1


def test_interrupted_it_leaves_no_process_and_goes_on_at_the_next_start(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """Ctrl-C in the middle: children end, what is committed stays, the next start resumes."""
    installation.environment["BUDGET_SIMULATOR"] = "10/1s"
    running = installation.start(
        "sync", "stocks", "--from", "2025-01-02", "--upstream", simulator.url, "--json"
    )
    wait_for("the first klines", lambda: len(simulator.log.since(0)) > 15)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)

    assert running.returncode == 130, (out, err)
    assert "interrupted" in err
    assert not processes_of(installation.home)

    installation.environment["BUDGET_SIMULATOR"] = "1000/1s"
    listed = json.loads(installation.run("runs", "--json").stdout)
    assert [run["state"] for run in listed] == ["running"]
    said = installation.run("sync", "stocks", "--from", "2025-01-02", "--upstream", simulator.url)
    assert said.code == 0, said.stderr
    assert "left unfinished, goes on" in said.stderr
    assert installation.run("verify").code == 0


@pytest.mark.lengthy
def test_two_commands_in_one_home_share_the_stack_and_the_second_outlives_the_first(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """The second attaches to the first one's workers, and takes over when the first has ended."""
    installation.environment["BUDGET_SIMULATOR"] = "20/1s"
    first = installation.start(
        "sync", "stocks", "--symbols", "600519", "--upstream", simulator.url, "--json"
    )
    wait_for("the first one's stack", (installation.home / "redis" / "redis.sock").exists)
    second = installation.start(
        "sync", "stocks", "--from", "2025-06-02", "--upstream", simulator.url, "--json"
    )
    outputs = [process.communicate(timeout=100) for process in (first, second)]

    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert json.loads(outputs[1][0])["bars_written"] > 10_000
    assert not processes_of(installation.home)
    assert installation.run("verify").code == 0


@pytest.mark.lengthy
def test_the_death_of_the_command_leaves_no_process_behind(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """SIGKILL gives no chance to clean up: the children notice by themselves."""
    installation.environment["BUDGET_SIMULATOR"] = "5/1s"
    running = installation.start("sync", "stocks", "--upstream", simulator.url)
    wait_for("the first klines", lambda: len(simulator.log.since(0)) > 6)
    running.kill()
    running.communicate(timeout=10)

    wait_for("the children's end", lambda: not processes_of(installation.home), 40)
    installation.environment["BUDGET_SIMULATOR"] = "1000/1s"
    assert installation.run("sync", "stocks", "--upstream", simulator.url).code == 0
    assert [r["state"] for r in installation.run("runs", "--json").json] == ["committed"] * 2
