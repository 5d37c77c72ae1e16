"""Recorded real files, replayed: what ``klines`` prints equals the file in every row.

``TEST_REPLAY_DIR`` names another folder of recordings to check the same way.
"""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.simulator.replay.market import ReplayMarket
from ingest.simulator.server import SimulatorServer
from tests.fixtures.cli import Installation

RECORDINGS = Path(__file__).parents[1] / "data" / "replay"
COLUMNS = {"open": "开盘", "high": "最高", "low": "最低", "close": "收盘", "amount": "成交额"}


def recorded(folder: Path) -> dict[str, list[dict[str, str]]]:
    """Rows of every recorded daily file, unadjusted, by code and in time's order."""
    rows: dict[str, list[dict[str, str]]] = {}
    for row in _rows(folder):
        rows.setdefault(row["股票代码"].zfill(6), []).append(row)
    return {code: sorted(mine, key=lambda row: row["日期"]) for code, mine in rows.items()}


def _rows(folder: Path) -> Iterator[dict[str, str]]:
    combined = folder / "daily" / "none.csv"
    files = [combined] if combined.exists() else sorted((folder / "daily" / "none").glob("*.csv"))
    for file in files:
        with file.open(encoding="utf-8-sig", newline="") as text:
            for row in csv.DictReader(text):
                yield {**row, "股票代码": row.get("股票代码") or file.stem}


@pytest.mark.lengthy
def test_what_is_printed_equals_the_recorded_file_in_every_row(
    installation: Installation,
) -> None:
    """Every price, volume (in shares) and amount of every day, as the real upstream gave them."""
    folder = Path(os.environ.get("TEST_REPLAY_DIR", RECORDINGS))
    expected = recorded(folder)
    first = min(rows[0]["日期"] for rows in expected.values())

    with SimulatorServer(ReplayMarket(folder)) as server:
        said = installation.run(
            "sync", "stocks", "--symbols", ",".join(expected), "--from", first,
            "--upstream", server.url, "--json",
        )  # fmt: skip

    assert said.code == 0, said.stdout
    assert said.json["bars_written"] == sum(len(rows) for rows in expected.values())
    for code, rows in expected.items():
        printed = installation.run("klines", code, "--format", "csv").stdout
        bars = list(csv.DictReader(io.StringIO(printed)))
        assert [bar["end_at"] for bar in bars] == [f"{row['日期']} 15:00:00" for row in rows]
        for bar, row in zip(bars, rows, strict=True):
            assert int(bar["volume"]) == 100 * int(float(row["成交量"])), (code, row)
            for ours, theirs in COLUMNS.items():
                assert float(bar[ours]) == float(row[theirs]), (code, row)
