"""The server: control endpoints, the log, keep-alive, and stopping."""

import json
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from ingest.simulator.clock import MarketClock
from ingest.simulator.request_log import RequestLog
from ingest.simulator.seeded.market import SeededMarket
from ingest.simulator.server import SimulatorServer
from market.clock import EXCHANGE_TZ

KLINE = "/api/qt/stock/kline/get?secid=1.600519&klt=101&fqt=0&beg=20250101&end=20251231"


def control(server: SimulatorServer, method: str, name: str, **options: Any) -> requests.Response:
    return requests.request(method, f"{server.url}/__simulator__/{name}", timeout=10, **options)


def test_the_log_holds_every_request_with_what_was_asked(simulator: SimulatorServer) -> None:
    before = time.monotonic()
    headers = {"Host": "push2his.eastmoney.com"}
    requests.get(simulator.url + KLINE, headers=headers, timeout=10)
    requests.get(f"{simulator.url}/api/qt/clist/get?fs=b:BK0596&pn=2&fields=f12", timeout=10)
    requests.get(f"{simulator.url}/nothing/here", timeout=10)
    control(simulator, "GET", "health")
    entries = control(simulator, "GET", "log").json()["requests"]
    assert [entry["seq"] for entry in entries] == [1, 2, 3]
    first, second, third = entries
    assert first["path"] == "/api/qt/stock/kline/get"
    assert first["query"] == {
        "secid": "1.600519", "klt": "101", "fqt": "0", "beg": "20250101", "end": "20251231",
    }  # fmt: skip
    assert (first["host"], first["client"]) == ("push2his.eastmoney.com", "127.0.0.1")
    assert [entry["domain"] for entry in entries] == ["eastmoney", "eastmoney", "127.0.0.1"]
    assert (first["status"], first["outcome"]) == (200, "ok")
    assert second["query"] == {"fs": "b:BK0596", "pn": "2"}
    assert (third["status"], third["outcome"]) == (404, "not_found")
    assert before < first["at"] < second["at"] < third["at"] < time.monotonic()
    assert abs(first["wall"] - time.time()) < 60
    assert 0 < first["seconds"] < 5


def test_the_log_can_be_read_from_a_number_on_and_forgotten(simulator: SimulatorServer) -> None:
    for _ in range(5):
        requests.get(simulator.url + KLINE, timeout=10)
    since = control(simulator, "GET", "log?since=3").json()["requests"]
    assert [entry["seq"] for entry in since] == [4, 5]
    control(simulator, "DELETE", "log")
    assert control(simulator, "GET", "log").json() == {"requests": []}
    requests.get(simulator.url + KLINE, timeout=10)
    assert [entry.seq for entry in simulator.log.since()] == [6]


def test_the_log_counts_concurrent_requests_exactly(simulator: SimulatorServer) -> None:
    def ask() -> None:
        with requests.Session() as session:
            for _ in range(25):
                session.get(simulator.url + KLINE, timeout=10).raise_for_status()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = simulator.log.since()
    assert [entry.seq for entry in entries] == list(range(1, 201))
    assert {entry.outcome for entry in entries} == {"ok"}
    arrivals = [entry.at for entry in entries]
    assert arrivals == sorted(arrivals)


def test_the_log_is_bounded(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "log.jsonl", kept=3)
    for _ in range(5):
        entry = log.begin(1.0, 2.0, client="c", method="GET", host="h", path="/", query={})
        log.end(entry, status=200, outcome="ok", seconds=0.1)
    log.close()
    assert [entry.seq for entry in log.since()] == [3, 4, 5]
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3, 4, 5]


def test_the_clock_can_be_set_while_it_runs(simulator: SimulatorServer) -> None:
    def latest() -> str:
        body = requests.get(f"{simulator.url}{KLINE}", timeout=10).json()
        return str(body["data"]["klines"][-1][:10])

    assert control(simulator, "GET", "clock").json() == {
        "now": "2025-12-31T16:00:00+08:00", "ticking": False,
    }  # fmt: skip
    assert latest() == "2025-12-31"
    answer = control(simulator, "PUT", "clock", json={"now": "2025-06-27T10:32:00"})
    assert answer.json()["now"] == "2025-06-27T10:32:00+08:00"
    assert latest() == "2025-06-27"
    assert control(simulator, "GET", "market").json()["now"] == "2025-06-27T10:32:00+08:00"
    control(simulator, "PUT", "clock", json={"now": "2025-06-27T02:32:30Z", "ticking": True})
    assert control(simulator, "GET", "clock").json()["ticking"] is True


def test_a_running_clock_moves_in_steps_of_three_seconds() -> None:
    clock = MarketClock(None)
    now = clock.now()
    assert clock.is_ticking
    assert now.second % 3 == 0
    assert now.tzinfo is EXCHANGE_TZ
    assert abs((datetime.now(UTC) - now).total_seconds()) < 5


@pytest.mark.parametrize(
    ("method", "name", "options", "status", "said"),
    [
        ("PUT", "clock", {"json": {"now": "yesterday"}}, 400, "yesterday"),
        ("PUT", "clock", {"json": {"now": "2040-01-05T10:00:00"}}, 400, "beyond"),
        ("PUT", "clock", {"json": {"at": 3}}, 400, "the clock is set with"),
        ("PUT", "clock", {"json": {"now": "2025-06-27T10:32", "ticking": 1}}, 400, "true or false"),
        ("PUT", "clock", {"data": "{"}, 400, "Expecting"),
        ("POST", "faults", {"json": {"name": "gremlin"}}, 400, "is not a fault"),
        ("POST", "faults", {"json": [1]}, 400, "JSON object"),
        ("DELETE", "faults?id=9", {}, 400, "no fault 9"),
        ("GET", "log?since=x", {}, 400, "invalid literal"),
        ("GET", "nothing", {}, 404, "GET health"),
    ],
)
def test_a_wrong_control_request_is_answered_with_a_sentence(
    simulator: SimulatorServer, method: str, name: str, options: Any, status: int, said: str
) -> None:
    answer = control(simulator, method, name, **options)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_faults_can_be_set_listed_and_taken_away(simulator: SimulatorServer) -> None:
    first = control(simulator, "POST", "faults", json={"name": "latency", "seconds": 0}).json()
    second = control(simulator, "POST", "faults", json={"name": "drop", "secid": "1.600000"}).json()
    assert (first["id"], second["id"]) == (1, 2)
    assert second["secid"] == "1.600000"
    requests.get(simulator.url + KLINE, timeout=10)
    listed = control(simulator, "GET", "faults").json()["faults"]
    assert [(f["name"], f["met"]) for f in listed] == [("latency", 1), ("drop", 0)]
    left = control(simulator, "DELETE", "faults?id=1").json()["faults"]
    assert [f["name"] for f in left] == ["drop"]
    assert control(simulator, "DELETE", "faults").json() == {"faults": []}


def test_control_requests_suffer_no_faults(simulator: SimulatorServer) -> None:
    simulator.faults.add({"name": "drop"})
    assert control(simulator, "GET", "health").json() == {"status": "ok"}
    assert control(simulator, "GET", "market").json()["seed"] == 11


def test_one_connection_serves_many_requests(simulator: SimulatorServer) -> None:
    host, port = simulator.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        answers = connection.makefile("rb")
        for _ in range(3):
            connection.sendall(f"GET {KLINE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert answers.readline() == b"HTTP/1.1 200 OK\r\n"
            length = 0
            while (line := answers.readline().strip()) != b"":
                name, _, value = line.partition(b": ")
                length = int(value) if name.lower() == b"content-length" else length
            assert json.loads(answers.read(length))["rc"] == 0


def test_a_year_of_bars_takes_a_few_milliseconds(simulator: SimulatorServer) -> None:
    with requests.Session() as session:
        session.get(simulator.url + KLINE, timeout=10)
        for _ in range(40):
            session.get(simulator.url + KLINE, timeout=10)
    served = sorted(entry.seconds for entry in simulator.log.since())
    assert served[len(served) // 2] < 0.01


def test_a_port_in_use_is_refused(simulator: SimulatorServer, seeded_market: SeededMarket) -> None:
    port = int(simulator.url.rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        SimulatorServer(seeded_market, port=port).start()


def test_a_stopped_server_leaves_no_thread_and_no_port(seeded_market: SeededMarket) -> None:
    before = threading.active_count()
    server = SimulatorServer(seeded_market).start()
    url = server.url
    requests.get(url + KLINE, timeout=10)
    server.stop()
    server.stop()
    assert threading.active_count() == before
    with pytest.raises(requests.ConnectionError):
        requests.get(url + KLINE, timeout=2)
