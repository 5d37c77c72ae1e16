"""A file that rots, or is gone, is mended by the command that the message names."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from storage.database import Database
from tests.fixtures.cli import Installation, Said

if TYPE_CHECKING:
    from ingest.simulator.server import SimulatorServer


def synced(installation: Installation, simulator: "SimulatorServer", *words: str) -> Said:
    """A sync of one symbol's December."""
    return installation.run(
        "sync", "stocks", "--symbols", "600519", "--upstream", simulator.url, "--json", *words
    )


@pytest.mark.lengthy
def test_a_rotten_file_is_rebuilt_without_a_request_and_read_again(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """What was printed before is printed again; the rotten file is kept and named."""
    assert synced(installation, simulator, "--from", "2025-12-01").code == 0
    before = installation.run("klines", "600519", "--format", "csv").stdout
    file = installation.home / "lake/kline/period=daily/year=2025/kline.parquet"
    file.write_bytes(b"rotten")
    assert "quantsync verify --repair" in installation.run("klines", "600519").stderr
    sent = len(simulator.log.since(0))

    said = installation.run("verify", "--repair")

    assert said.code == 0, said.stderr
    assert "repaired  kline daily 2025: 23 bars into Parquet, 0 into SQL" in said.stdout
    (kept,) = file.parent.glob(".kline.parquet.corrupt-*")
    assert str(kept) in said.stdout
    assert kept.read_bytes() == b"rotten"
    assert installation.run("klines", "600519", "--format", "csv").stdout == before
    assert installation.run("verify").code == 0
    assert len(simulator.log.since(0)) == sent
    again = synced(installation, simulator, "--from", "2025-12-01").json
    assert (again["bars_written"], again["requests"]) == (0, 0)


@pytest.mark.lengthy
def test_minutes_that_nobody_holds_any_more_are_fetched_by_the_next_sync(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """Moved away by hand, gone from SQL: sync alone says nothing to do, until it is repaired."""
    words = ("--period", "5m", "--from", "2025-12-29")
    assert synced(installation, simulator, *words).json["bars_written"] == 3 * 48
    before = installation.run("klines", "600519", "--period", "5m", "--format", "csv").stdout
    file = installation.home / "lake/kline/period=5m/date=2025-12-30/kline.parquet"
    file.rename(Path("moved.parquet"))
    database = Database(installation.sql())
    with database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM kline_5m WHERE session = '2025-12-30'")
    assert synced(installation, simulator, *words).json["requests"] == 0
    lost = installation.run("verify")
    assert (lost.code, "verify --repair" in lost.stdout) == (1, True)

    said = installation.run("verify", "--repair", "--json")

    assert (said.code, said.json["equal"]) == (0, True)
    (repair,) = said.json["repairs"]
    assert (repair["partition"], repair["sessions"]) == ("2025-12-30", ["2025-12-30"])
    assert synced(installation, simulator, *words).json["bars_written"] == 48
    after = installation.run("klines", "600519", "--period", "5m", "--format", "csv").stdout
    assert after == before
    assert installation.run("verify").code == 0
    database.dispose()
