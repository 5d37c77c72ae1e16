"""One symbol through the exchange's renumbering, end to end."""

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from market.adjustments import Adjustment
from market.clock import EXCHANGE_TZ
from market.periods import Period
from storage.database import Database
from storage.lake import Lake
from storage.queries import klines
from tests.fixtures.cli import Installation

if TYPE_CHECKING:
    from ingest.simulator.seeded.market import SeededMarket
    from ingest.simulator.server import SimulatorServer

OLD, NEW = "836077.BJ", "920077.BJ"
BEFORE = datetime(2025, 9, 30, 16, 0, tzinfo=EXCHANGE_TZ)
AFTER = datetime(2025, 10, 10, 16, 0, tzinfo=EXCHANGE_TZ)


@pytest.mark.lengthy
def test_one_history_under_any_code_and_no_bar_twice_across_the_renumbering(
    installation: Installation, simulator: "SimulatorServer", seeded_market: "SeededMarket"
) -> None:
    """Held under the old code, extended under the new one: the same bars by either, each once."""
    words = ("--upstream", simulator.url)
    simulator.clock.set(BEFORE)
    first = installation.run("sync", "stocks", "--from", "2025-09-01", *words, "--json")
    assert first.code == 0, first.stdout
    held = installation.run("symbols", "836077", "--json").json
    assert (held["symbol"], [c["code"] for c in held["codes"]]) == (OLD, [OLD])
    minutes = ("sync", "stocks", "--period", "5m", "--symbols", "836077", *words, "--json")
    assert installation.run(*minutes).code == 0

    simulator.clock.set(AFTER)
    sent = len(simulator.log.since(0))
    second = installation.run("sync", "stocks", "--from", "2025-09-01", *words, "--json")

    assert second.code == 0, second.stdout
    moved = [
        s
        for s in seeded_market.listing(AFTER.date())
        if s not in seeded_market.listing(BEFORE.date())
    ]
    renumbered = [n for n in second.json["notices"] if "is now" in n]
    assert f"{OLD} is now {NEW} (" in "\n".join(renumbered)
    assert len(renumbered) > 5
    assert len(renumbered) == sum(code.startswith("920") for code in moved)
    # Coverage is shared: only the two new sessions were fetched of it.
    asked = [each.query for each in simulator.log.since(sent) if "920077" in str(each.query)]
    assert [(each["secid"], each["beg"]) for each in asked] == [("0.920077", "20251009")]
    by_old = installation.run("klines", "836077", "--format", "csv").stdout
    by_new = installation.run("klines", "920077", "--format", "csv").stdout
    expected = [
        r
        for r in seeded_market.daily("920077", AFTER).to_pylist()
        if str(r["session"]) >= "2025-09-01"
    ]
    assert by_old == by_new
    for words_too in (("--adjust", "hfq"), ("--period", "weekly"), ("--revisions",)):
        old, new = (installation.run("klines", c, *words_too) for c in ("836077", "920077"))
        assert (old.stdout, old.stderr) == (new.stdout, new.stderr), words_too
    assert len(by_new.splitlines()) == len(expected) + 1

    lake = Lake(installation.home / "lake")  # without the database: the old code has no bars
    for code, rows in ((OLD, 0), (NEW, len(expected))):
        assert klines(lake, code, Period.DAILY, adjust=Adjustment.HFQ).num_rows == rows
    frame = pd.read_parquet(installation.home / "lake/kline/period=daily")
    mine = frame[frame["symbol"].isin([OLD, NEW])]
    assert set(mine["symbol"]) == {NEW}
    assert len(mine) == len(expected)
    assert max(Counter(zip(frame["symbol"], frame["end_at"], strict=True)).values()) == 1
    fives = pd.read_parquet(installation.home / "lake/kline/period=5m")
    assert set(fives["symbol"]) == {NEW}
    database = Database(installation.sql())
    with database.reading() as connection:
        in_sql = connection.exec_driver_sql(
            f"SELECT symbol, count(*) FROM v_kline_daily WHERE symbol IN ('{OLD}', '{NEW}') "
            "GROUP BY symbol"
        ).all()
    database.dispose()
    assert [tuple(row) for row in in_sql] == [(NEW, len(expected))]
    assert installation.run("verify").code == 0

    known = installation.run("symbols", "836077", "--json").json
    assert known == installation.run("symbols", "920077", "--json").json
    assert known["id"] == held["id"]
    assert known["codes"] == [
        {"code": OLD, "from": None, "to": "2025-10-10"},
        {"code": NEW, "from": "2025-10-10", "to": None},
    ]
    shown = installation.run("symbols", "836077").stdout
    assert f"code    {OLD} until before 2025-10-10\n" in shown


@pytest.mark.lengthy
def test_sync_by_the_old_code_fetches_under_the_present_one(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """Whoever still writes the old code gets the new bars; gaps are those of one series."""
    words = ("--upstream", simulator.url)
    simulator.clock.set(BEFORE)
    installation.run("sync", "stocks", "--from", "2025-09-22", *words)
    simulator.clock.set(AFTER)
    installation.run("sync", "stocks", "--from", "2025-10-10", *words)

    said = installation.run(
        "sync", "stocks", "--symbols", "bj836077,920077", "--from", "2025-09-22", *words, "--json"
    )

    assert (said.code, said.json["outcomes"], said.json["bars_written"]) == (0, {"ok": 1}, 1)
    asked = simulator.log.since(0)[-1].query
    assert (asked["secid"], asked["beg"], asked["end"]) == ("0.920077", "20251009", "20251009")
    gaps = installation.run("verify", "--gaps", "--symbols", "836077", *words, "--json").json
    assert [(s["subject"], s["held"], s["missing"]) for s in gaps["series"]] == [(NEW, 9, [])]


@pytest.mark.lengthy
def test_a_stock_and_an_index_that_share_digits_are_never_one(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """000001.SZ is a bank, 000001.SH an index: commands take or refuse the one they were given."""
    words = ("--from", "2025-12-29", "--upstream", simulator.url)
    installation.run("sync", "stocks", "--symbols", "000001", *words)

    assert installation.run("klines", "000001.SZ").code == 0
    assert "no daily bars of 000001.SH are held" in installation.run("klines", "000001.SH").stderr
    for command in (
        ("sync", "stocks", "--symbols", "sh000001"),
        ("backfill", "--from", "2025-12-29", "--symbols", "1.000001"),
        ("symbols", "000001.SH"),
        ("symbols", "000001.SZ", "--became", "000001.SH"),
        ("verify", "--gaps", "--symbols", "000001.XSHG"),
        ("repair", "--gaps", "--symbols", "SH000001"),
    ):
        said = installation.run(*command)
        assert (said.code, "an index, not an A share" in said.stderr) == (2, True), command
