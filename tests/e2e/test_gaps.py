"""Gaps as a user meets them: what is missing and why, and fetching that and nothing else."""

import csv
import os
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ingest.simulator.replay.market import ReplayMarket
from ingest.simulator.server import SimulatorServer
from market.clock import EXCHANGE_TZ
from storage.database import Database
from storage.ledger_tables import coverage
from tests.fixtures.cli import Installation

if TYPE_CHECKING:
    from ingest.simulator.seeded.market import SeededMarket

EXCERPT = Path(__file__).parents[1] / "data" / "market" / "suspensions.csv"
FULL = "dirty/baostock_unadj_suspension_ST_12sym_2015_2024.csv"
COLUMNS = [
    *("日期", "股票代码", "开盘", "收盘", "最高", "最低", "成交量", "成交额"),
    *("振幅", "涨跌幅", "涨跌额", "换手率"),
]


def recorded() -> list[dict[str, str]]:
    """The full record if there is one, else an excerpt of it."""
    folder = os.environ.get("TEST_MARKET_DATA")
    path = Path(folder) / FULL if folder else EXCERPT
    with path.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def as_upstream(rows: list[dict[str, str]], folder: Path) -> None:
    """The record as the upstream serves it: no row for a session without trade."""
    files = folder / "daily" / "none"
    files.mkdir(parents=True)
    by_code: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        if row["tradestatus"] == "1":
            by_code.setdefault(row["code"].split(".")[1], []).append(row)
    for code, mine in by_code.items():
        with (files / f"{code}.csv").open("w", encoding="utf-8", newline="") as text:
            writer = csv.writer(text)
            writer.writerow(COLUMNS)
            before = float(mine[0]["close"])
            for row in mine:
                change = f"{float(row['close']) - before:.2f}"
                before = float(row["close"])
                prices = [f"{float(row[name]):.2f}" for name in ("open", "close", "high", "low")]
                lots = str(round(float(row["volume"]) / 100))
                rate = f"{float(row['turn'] or 0):.2f}"
                writer.writerow(
                    [row["date"], code, *prices, lots, row["amount"], 0, 0, change, rate]
                )


def lose(installation: Installation, name: str, days: list[date]) -> None:
    """Take bars out of both stores, as a fault would; coverage still calls the days complete."""
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    for year in {day.year for day in days}:
        path = installation.home / f"lake/kline/period=daily/year={year}/kline.parquet"
        bars = pq.read_table(path, partitioning=None)
        gone = pc.and_(
            pc.equal(bars["symbol"].cast("string"), name),
            pc.is_in(bars["session"], value_set=pa_days(days)),
        )
        pq.write_table(bars.filter(pc.invert(gone)), path)
    database = Database(installation.sql())
    with database.writing() as connection:
        for day in days:
            connection.exec_driver_sql(
                "DELETE FROM kline_daily WHERE session = ? AND symbol_id = "
                "(SELECT id FROM symbol WHERE symbol = ?)",
                (day.isoformat(), name),
            )
    database.dispose()


def pa_days(days: list[date]) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    return pa.array(days, pa.date32())


def missing(document: dict[str, Any], name: str) -> list[tuple[str, str, str]]:
    """What is missing of a symbol: first and last session, and why."""
    (series,) = [each for each in document["series"] if each["subject"] == name]
    return [(gap["from"], gap["to"], gap["reason"]) for gap in series["missing"]]


@pytest.mark.lengthy
def test_no_real_suspension_is_a_gap_and_lost_bars_are_fetched_and_nothing_else(
    installation: Installation, tmp_path: Path
) -> None:
    """Whole answers prove suspensions; bars that a fault took are named, and one request each."""
    rows = recorded()
    as_upstream(rows, tmp_path / "recorded")
    traded = {(row["code"], row["date"]) for row in rows if row["tradestatus"] == "1"}
    codes = sorted({code for code, _ in traded})
    last = {code: max(day for other, day in traded if other == code) for code in codes}
    symbols = ",".join(code.replace(".", "") for code in codes)
    first, end = min(row["date"] for row in rows), max(last.values())
    with SimulatorServer(ReplayMarket(tmp_path / "recorded")) as server:
        server.clock.set(datetime.fromisoformat(f"{end}T16:00").replace(tzinfo=EXCHANGE_TZ))
        words: tuple[str, ...] = ("--symbols", symbols, "--upstream", server.url)
        sync = installation.run("sync", "stocks", "--from", first, *words)
        assert sync.code == 0, sync.stdout

        before = installation.run("verify", "--gaps", "--period", "daily", *words, "--json").json
        for series in before["series"]:
            code, exchange = series["subject"].lower().split(".")
            mine = f"{exchange}.{code}"
            assert series["held"] == sum(code == mine for code, _ in traded)
            owed = [gap for gap in series["missing"] if gap["repairable"]]
            # After its last bar a symbol may only be late: nothing proves the rest of an excerpt.
            assert all(gap["from"] > last[mine] for gap in owed)

        code = next(each for each in codes if last[each] == end or len(codes) < 12)
        name = f"{code[3:]}.{code[:2].upper()}"
        days = sorted(date.fromisoformat(day) for other, day in traded if other == code)
        lost = [days[1], days[len(days) // 2], days[-2]]
        lose(installation, name, lost)
        holed = installation.run("verify", "--gaps", "--symbols", name, "--upstream", server.url)
        document = installation.run(
            "verify", "--gaps", "--symbols", name, *words[2:], "--json"
        ).json
        found = [gap for gap in missing(document, name) if gap[2] == "lost"]
        assert found == [(str(day), str(day), "lost") for day in lost]
        assert (holed.code, f"{name} daily {lost[0]} (1 session), lost" in holed.stdout) == (
            1,
            True,
        )

        sent = len(server.log.since(0))
        said = installation.run("repair", "--gaps", "--symbols", name, *words[2:], "--json")
        assert said.json["requests"] == len(server.log.since(0)) - sent <= len(lost)
        left = installation.run("verify", "--gaps", "--symbols", name, *words[2:], "--json").json
        assert [gap for gap in missing(left, name) if gap[2] == "lost"] == []
        assert installation.run("verify").code == 0


def test_every_reason_is_told_apart_and_only_what_can_be_had_is_asked_for(
    installation: Installation, simulator: SimulatorServer, seeded_market: "SeededMarket"
) -> None:
    """Suspended, not listed, failed and held; the plan sends nothing, the repair the rest."""
    simulator.faults.add({"name": "empty_success", "secid": "0.000001"})
    words = ("--upstream", simulator.url)
    names = "600519,000001,603101,301581"
    installation.run("sync", "stocks", "--symbols", names, "--from", "2025-12-01", *words)
    simulator.faults.clear()

    said = installation.run("verify", "--gaps", "--period", "daily", *words, "--json")

    assert said.code == 1
    assert said.json["as_of"] == "2025-12-31"
    assert missing(said.json, "600519.SH") == []
    assert missing(said.json, "000001.SZ") == [("2025-12-01", "2025-12-31", "failed")]
    assert missing(said.json, "301581.SZ") == [("2025-12-01", "2025-12-30", "not_listed")]
    assert missing(said.json, "603101.SH") == [("2025-12-22", "2025-12-31", "unproven")]
    person = installation.run("verify", "--gaps", *words).stdout
    assert "failed: throttled: " in person

    sent = len(simulator.log.since(0))
    plan = installation.run(
        "repair", "--gaps", "--plan", *words, "--json", BUDGET_SIMULATOR="1/4s"
    ).json
    assert len(simulator.log.since(0)) == sent
    assert [(f["subject"], f["from"], f["to"]) for f in plan["fetches"]] == [
        ("000001.SZ", "2025-12-01", "2025-12-31"),
        ("603101.SH", "2025-12-19", "2025-12-31"),
    ]
    assert (plan["requests"], plan["seconds"]) == (2, 8.0)

    repaired = installation.run("repair", "--gaps", *words, "--json").json
    assert (len(simulator.log.since(0)) - sent, len(repaired["runs"])) == (2, 1)
    assert repaired["runs"][0]["bars_written"] == len(
        [r for r in seeded_market.daily("000001").to_pylist() if r["session"] >= date(2025, 12, 1)]
    )
    # The list of the session proves what a late bar cannot.
    installation.run("sync", "stocks", "--from", "2025-12-31", *words)
    installation.run("sync", "stocks", "--symbols", "603101", "--from", "2025-12-22", *words)
    after = installation.run(
        "verify", "--gaps", "--symbols", names, "--period", "daily", *words, "--json"
    )
    assert (after.code, after.json["complete"]) == (0, True)
    assert missing(after.json, "603101.SH") == [("2025-12-22", "2025-12-31", "suspended")]


@pytest.mark.lengthy
def test_windows_years_apart_are_fetched_apart_and_neighbours_together(
    installation: Installation, simulator: SimulatorServer
) -> None:
    """Two holes of one symbol in a month cost one request; one ten years before costs its own."""
    words = ("--upstream", simulator.url)
    installation.run("sync", "stocks", "--symbols", "600519", *words)
    holes = [date(2015, 3, 3), date(2025, 3, 3), date(2025, 3, 20)]
    lose(installation, "600519.SH", holes)

    plan = installation.run("repair", "--gaps", "--plan", *words, "--json").json
    person = installation.run("repair", "--gaps", "--plan", *words).stdout
    said = installation.run("repair", "--gaps", *words, "--json")

    assert [(f["from"], f["to"], f["missing"], f["again"]) for f in plan["fetches"]] == [
        ("2015-03-02", "2015-03-04", 1, 2),
        ("2025-02-28", "2025-03-21", 2, 14),
    ]
    assert "3 sessions in 2 requests: about 0 s at the permitted rate" in person
    assert (said.code, sum(run["requests"] for run in said.json["runs"])) == (0, 2)
    assert sum(run["bars_written"] for run in said.json["runs"]) == 3
    assert installation.run("verify", "--gaps", *words).code == 0


@pytest.mark.lengthy
@pytest.mark.parametrize(("period", "sessions"), [("5m", 40), ("1m", 5)])
def test_minutes_that_the_upstream_serves_no_more_are_no_gap_to_repair(
    installation: Installation, simulator: SimulatorServer, period: str, sessions: int
) -> None:
    """What is beyond its reach is named as such; nothing is sent for it."""
    words = ("--upstream", simulator.url)
    installation.run("sync", "stocks", "--symbols", "600519", "--period", period, *words)
    database = Database(installation.sql())
    with database.writing() as connection:
        connection.execute(coverage.update().values(covered_from=date(2025, 7, 1)))
    database.dispose()

    said = installation.run("verify", "--gaps", "--period", period, *words, "--json")

    assert (said.code, said.json["series"][0]["held"]) == (0, sessions)
    (gap,) = said.json["series"][0]["missing"]
    assert (gap["reason"], gap["from"], gap["repairable"]) == ("out_of_reach", "2025-07-01", False)
    plan = installation.run("repair", "--gaps", "--plan", "--period", period, *words, "--json")
    assert plan.json["requests"] == 0


@pytest.mark.lengthy
def test_a_half_formed_bar_is_a_gap_once_its_session_is_settled(
    installation: Installation, simulator: SimulatorServer
) -> None:
    """During the session it is not expected yet; afterwards a provisional bar is not enough."""
    words = ("--symbols", "600519", "--upstream", simulator.url)
    simulator.clock.set(datetime(2025, 12, 31, 10, 32, tzinfo=EXCHANGE_TZ))
    installation.run("sync", "stocks", "--from", "2025-12-29", *words)
    morning = installation.run("verify", "--gaps", "--period", "daily", *words, "--json")
    simulator.clock.set(datetime(2025, 12, 31, 16, 0, tzinfo=EXCHANGE_TZ))
    evening = installation.run("verify", "--gaps", "--period", "daily", *words, "--json")
    repaired = installation.run("repair", "--gaps", "--period", "daily", *words, "--json")

    assert (morning.code, morning.json["as_of"]) == (0, "2025-12-30")
    assert missing(evening.json, "600519.SH") == [("2025-12-31", "2025-12-31", "provisional")]
    assert (repaired.code, repaired.json["requests"]) == (0, 1)
    assert repaired.json["left"]["complete"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("repair", "--plan"), "--plan needs --gaps"),
        (("verify", "--symbols", "600519"), "--symbols needs --gaps"),
        (("verify", "--gaps", "--repair"), "quantsync repair --gaps"),
        (("repair", "some-run", "--gaps"), "--gaps takes no run"),
        (("verify", "--gaps", "--period", "15m"), "aggregated from 5m"),
        (("verify", "--gaps", "--symbols", "sh000001"), "an index, not an A share"),
    ],
)
def test_words_that_cannot_be_meant_are_refused(
    installation: Installation, words: tuple[str, ...], says: str
) -> None:
    said = installation.run(*words)
    assert (said.code, says in said.stderr) == (2, True), said.stderr
