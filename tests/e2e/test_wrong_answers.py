"""Answers that look like data and are not what was asked for: each is detected and named."""

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ingest.simulator.replay.market import ReplayMarket
from ingest.simulator.server import SimulatorServer
from market.clock import EXCHANGE_TZ
from tests.fixtures.cli import Installation

RECORDINGS = Path(__file__).parents[1] / "data" / "replay"
SYMBOLS = "600519,000001,300750,688981,920002"


def sync(installation: Installation, url: str, symbols: str, start: str, *more: str) -> Any:
    """Synchronise daily klines, and answer with the run's document."""
    words = ("--symbols", symbols, "--from", start, *more)
    return installation.run("sync", "stocks", *words, "--upstream", url, "--json").json


@pytest.mark.lengthy
def test_adjusted_prices_other_units_and_another_symbols_page_are_named(
    installation: Installation, simulator: SimulatorServer
) -> None:
    """One run, five kinds of answer: of four nothing is stored, of the fifth everything."""
    for fault in (
        {"name": "adjusted_prices", "secid": "1.600519"},
        {"name": "wrong_units", "secid": "0.000001"},
        {"name": "wrong_units", "secid": "0.300750", "factor": 0.01},
        {"name": "other_symbol", "secid": "1.688981"},
    ):
        simulator.faults.add(fault)

    said = sync(installation, simulator.url, SYMBOLS, "2023-01-03")

    assert said["outcomes"] == {"ok": 1, "invalid": 3, "other_symbol": 1}
    reasons = {row["subject"]: row["reason"] for row in said["failures"]}
    assert "adjusted_prices" in reasons["600519.SH"]
    assert "shares_for_lots" in reasons["000001.SZ"]
    assert "lots_for_shares" in reasons["300750.SZ"]
    assert "holds the bars of" in reasons["688981.SH"]
    assert "1.688981 was asked for" in reasons["688981.SH"]
    for symbol in SYMBOLS.split(",")[:4]:
        assert installation.run("klines", symbol).code == 1, symbol

    simulator.faults.clear()
    healed = sync(installation, simulator.url, SYMBOLS, "2023-01-03")
    assert healed["outcomes"] == {"ok": 4}
    assert installation.run("verify").code == 0


@pytest.mark.lengthy
def test_adjusted_prices_of_a_few_sessions_are_named_by_the_close_that_is_held(
    installation: Installation, simulator: SimulatorServer
) -> None:
    """Even where average prices would not show it: the change refers to another close."""
    simulator.clock.set(datetime(2025, 1, 6, 16, 0, tzinfo=EXCHANGE_TZ))
    assert sync(installation, simulator.url, "600519", "2024-12-02")["outcomes"] == {"ok": 1}
    simulator.clock.set(datetime(2025, 12, 31, 16, 0, tzinfo=EXCHANGE_TZ))
    simulator.faults.add({"name": "adjusted_prices"})

    said = sync(installation, simulator.url, "600519", "2024-12-02", "--to", "2025-01-10")

    assert said["outcomes"] == {"invalid": 1}
    assert "4 × held_close_disagrees" in said["failures"][0]["reason"]
    assert said["bars_written"] == 0


@pytest.mark.lengthy
def test_minute_bars_of_another_symbol_are_named(
    installation: Installation, simulator: SimulatorServer
) -> None:
    """5m and 1m say whose they are, as daily bars do."""
    simulator.faults.add({"name": "other_symbol"})

    for period in ("5m", "1m"):
        said = sync(installation, simulator.url, "000001", "2025-12-31", "--period", period)
        assert said["outcomes"] == {"other_symbol": 1}, period


@pytest.fixture
def many_boards(tmp_path: Path) -> Iterator[SimulatorServer]:
    """A recorded market with 462 concepts and 250 industries, as many as fill several pages."""
    folder = tmp_path / "recordings"
    shutil.copytree(RECORDINGS, folder)
    for kind, count in (("concept", 462), ("industry", 250)):
        lines = ["板块名称,板块代码,涨跌幅"]
        lines += [f"{kind}{n},BK{2000 + n},{(n * 7) % 13}" for n in range(count)]
        (folder / "boards" / f"{kind}.csv").write_text("\n".join(lines), encoding="utf-8")
    with SimulatorServer(ReplayMarket(folder)) as server:
        yield server


@pytest.mark.parametrize("rows", [100, 200])
def test_a_list_cut_at_a_full_page_is_named_even_if_it_is_the_first(
    installation: Installation, many_boards: SimulatorServer, rows: int
) -> None:
    """Its total agrees with it, and nothing is held that could contradict it."""
    many_boards.faults.add({"name": "short_list", "rows": rows, "fs": "m:90 t:3"})

    said = installation.run("sync", "concepts", "--upstream", many_boards.url, "--json").json

    assert said["outcomes"] == {"not_stored": 1}
    assert f"it has {rows} rows, a full page, where none are held" in said["failures"][0]["reason"]
    assert installation.run("boards").code == 1


def test_a_list_whose_order_moves_between_its_pages_is_named(
    installation: Installation, many_boards: SimulatorServer
) -> None:
    """It repeats one board and misses another, though its length is right; AKShare sorts so."""
    installation.environment["EASTMONEY_CLIENT"] = "akshare"
    many_boards.faults.add({"name": "moving_order", "spread": 30, "fs": "m:90 t:2"})

    said = installation.run("sync", "industries", "--upstream", many_boards.url, "--json").json

    assert said["outcomes"] == {"truncated": 1}
    assert "twice" in said["failures"][0]["reason"]
    assert "re-sorted between two pages" in said["failures"][0]["reason"]
    assert installation.run("boards").code == 1
