"""Bars and lists that were kept out: looked at, accepted, dropped, and never lost."""

import getpass
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from ingest.simulator.replay.market import ReplayMarket
from ingest.simulator.server import SimulatorServer
from market.bars import Dataset
from market.periods import Period
from storage.lake import Lake
from tests.fixtures.cli import Installation

RECORDINGS = Path(__file__).parents[1] / "data" / "replay"
WHO = f"{getpass.getuser()}@{socket.gethostname()}"


@pytest.fixture
def market(tmp_path: Path) -> Iterator[SimulatorServer]:
    """Recorded bars, and 462 concepts."""
    folder = tmp_path / "recordings"
    shutil.copytree(RECORDINGS, folder)
    lines = ["板块名称,板块代码", *(f"concept{n},BK{2000 + n}" for n in range(462))]
    (folder / "boards" / "concept.csv").write_text("\n".join(lines), encoding="utf-8")
    with SimulatorServer(ReplayMarket(folder)) as server:
        yield server


def entries(installation: Installation, *words: str) -> Any:
    """What ``quarantine list`` says."""
    said = installation.run("quarantine", "list", *words, "--json")
    assert said.code == 0, said.stderr
    return said.json


@pytest.mark.lengthy
def test_bars_are_accepted_and_dropped_by_hand_and_a_refetch_keeps_to_it(
    installation: Installation, market: SimulatorServer
) -> None:
    """An accepted bar is in both stores and says so; a dropped one is a session without a bar."""
    words: tuple[str, ...] = ("sync", "stocks", "--symbols", "000001", "--from", "2025-12-22")
    words += ("--upstream", market.url, "--json")
    market.faults.add({"name": "wrong_units"})
    assert installation.run(*words).json["outcomes"] == {"invalid": 1}

    bars = entries(installation, "000001", "--rule", "shares_for_lots")["bars"]
    assert [bar["status"] for bar in bars] == ["open"] * 8
    assert entries(installation, "000001", "--rule", "no_trade")["bars"] == []
    shown = installation.run("quarantine", "show", bars[0]["id"], "--json").json
    assert "hundredfold" in shown["reasons"]["shares_for_lots"]
    assert shown["held"] is None

    done = installation.run("quarantine", "accept", bars[0]["id"], "--note", "checked")
    assert (done.code, "is in both stores" in done.stdout) == (0, True), done.stderr
    kept = Lake(installation.home / "lake").read(Dataset.KLINE, Period.DAILY)
    assert kept["source"].to_pylist() == ["simulator/hand"]
    assert installation.run("verify").code == 0

    again = installation.run(*words).json
    assert "7 of 8 bars break an invariant" in again["failures"][0]["reason"]
    assert again["bars_written"] == 0
    last = bars[-1]["id"]
    dropped = installation.run("quarantine", "drop", f"{bars[1]['id']}..{last}", "--json")
    assert len(dropped.json["dropped"]) == 7
    settled = installation.run(*words).json
    assert (settled["outcomes"], settled["bars_written"]) == ({"empty_suspended": 1}, 0)

    held = Lake(installation.home / "lake").read(Dataset.KLINE, Period.DAILY)
    assert pc.count_distinct(held["end_at"]).as_py() == 1
    everything = entries(installation, "--status", "all")["bars"]
    assert [bar["status"] for bar in everything] == ["accepted"] + ["dropped"] * 7
    assert {bar["decided_by"] for bar in everything} == {WHO}
    assert (everything[0]["note"], everything[0]["decided_at"] > 0) == ("checked", True)
    assert installation.run("quarantine", "drop", bars[0]["id"]).code == 2


@pytest.mark.lengthy
def test_a_list_is_taken_by_hand_and_a_dropped_one_is_no_sighting(
    installation: Installation, market: SimulatorServer
) -> None:
    """A first list of exactly 200 boards waits, until a person says that it is whole."""
    fault = market.faults.add({"name": "short_list", "rows": 200, "fs": "m:90 t:3"})
    words = ("sync", "concepts", "--upstream", market.url, "--json")
    assert installation.run(*words).json["outcomes"] == {"not_stored": 1}
    (entry,) = entries(installation, "concept_boards")["lists"]
    assert "a full page" in entry["reason"]

    assert installation.run("quarantine", "drop", entry["id"]).code == 0
    assert entries(installation)["lists"] == []
    done = installation.run("quarantine", "accept", entry["id"], "--note", "as on the page")

    assert (done.code, "200 added, 0 removed" in done.stdout) == (0, True), done.stderr
    assert len(installation.run("boards", "--json").json) == 200
    (taken,) = entries(installation, "--status", "accepted")["lists"]
    assert (taken["decided_by"], taken["note"]) == (WHO, "as on the page")
    again = installation.run("quarantine", "accept", entry["id"])
    assert (again.code, "is accepted: only" in again.stderr) == (1, True)
    market.faults.remove(fault.id)


@pytest.mark.lengthy
def test_what_cannot_be_meant_or_taken_is_said(
    installation: Installation, market: SimulatorServer
) -> None:
    """Ids, rules and filters that do not exist; and a bar without a price."""
    for words, code, sentence in (
        (("show", "12"), 2, "is no id of the quarantine"),
        (("show", "b²"), 2, "is no id of the quarantine"),
        (("show", "b1..b3"), 2, "is a range"),
        (("show", f"b{10**24}"), 2, "is no id of the quarantine"),
        (("show", "b12"), 1, "holds no bar b12"),
        (("accept", "l3"), 1, "holds no list l3"),
        (("drop", "b9..b3"), 2, "is no id"),
        (("list", "--rule", "nonsense"), 2, "is no rule"),
        (("list", "--what", "nonsense"), 2, "use bars, lists or all"),
        (("list", "--status", "nonsense"), 2, "superseded"),
    ):
        said = installation.run("quarantine", *words)
        assert (said.code, sentence in said.stderr) == (code, True), (words, said.stderr)
    assert "nothing is in quarantine" in installation.run("quarantine", "list").stdout
    assert market.log.since(0) == []
