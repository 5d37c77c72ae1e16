"""Who asks Eastmoney, as a user chooses it, and what is said where AKShare had to help."""

import json
import socket
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.fixtures.cli import Installation
from tests.fixtures.misbehaving import Answer, MisbehavingServer, respond

if TYPE_CHECKING:
    from ingest.simulator.server import SimulatorServer

WORDS = ("sync", "stocks", "--symbols", "600519,000001", "--from", "2025-12-29", "--json")


def without_turnover(simulator: "SimulatorServer") -> Answer:
    """The simulator's answers, klines with a turnover rate that is neither a number nor a dash."""

    def answer(connection: socket.socket, head: str) -> None:
        with urllib.request.urlopen(simulator.url + head.split(" ", 2)[1]) as got:
            body = json.loads(got.read())
        data = body.get("data") or {}
        if "klines" in data:
            data["klines"] = [f"{line.rpartition(',')[0]},n/a" for line in data["klines"]]
        respond(json.dumps(body).encode())(connection, head)

    return answer


def test_bars_that_the_direct_reading_cannot_take_come_through_akshare_and_it_is_said(
    installation: Installation,
    simulator: "SimulatorServer",
    misbehaving: Callable[[Answer], MisbehavingServer],
) -> None:
    """The run succeeds, and the outcome of each symbol says why it cost two requests."""
    server = misbehaving(without_turnover(simulator))

    said = installation.run(*WORDS, "--upstream", server.url)

    assert said.code == 0, said.stderr
    assert said.json["outcomes"] == {"ok": 2}
    assert said.json["requests"] == 4
    details = installation.run("runs", said.json["run_id"], "--json").json["details"]
    for row in details:
        assert "read through AKShare, because the direct reading drifted" in row["reason"]
        assert f"klines of {row['subject']} give 'n/a' as f61" in row["reason"]
    bars = installation.run("klines", "600519", "--from", "2025-12-29", "--format", "csv").stdout
    assert len(bars.splitlines()) == 4


@pytest.mark.parametrize(("client", "begins"), [("direct", "20251229"), ("akshare", "0")])
def test_who_asks_is_a_setting(
    installation: Installation, simulator: "SimulatorServer", client: str, begins: str
) -> None:
    """AKShare fetches all of 5m whatever is wanted; the direct reading what is wanted."""
    installation.environment["EASTMONEY_CLIENT"] = client

    said = installation.run(*WORDS, "--period", "5m", "--upstream", simulator.url)

    assert said.code == 0, said.stderr
    asked = [e.query["beg"] for e in simulator.log.since(0) if "kline" in e.path]
    assert asked == [begins, begins]
    assert said.json["bars_written"] == 2 * 3 * 48
