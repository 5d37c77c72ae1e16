"""The same run on a cluster: a configured broker, PostgreSQL, several workers, one budget."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingest.rates import RateWindow
from ingest.simulator.server import SimulatorServer
from pipeline.bench.processes import stop, worker
from pipeline.bench.redis_server import RedisServer
from tests.fixtures.cli import Installation, wait_for
from tests.fixtures.forking import forked_starts

MIB = 1024


def busiest(instants: list[float], seconds: float) -> int:
    """The most requests that any window of this length holds."""
    first, most = 0, 0
    for last, instant in enumerate(instants):
        while instants[first] <= instant - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def peak_memory_kib(process: "subprocess.Popen[Any]") -> int:
    """The most memory a process ever held; 0 once it has ended."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    lines = [line for line in text.splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) if lines else 0


@contextmanager
def simulator_process(
    folder: Path, *arguments: str
) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """A simulator as a process of its own, and its URL."""
    ready = folder / "url"
    command = [sys.executable, "-m", "ingest.simulator", "--ready-file", str(ready), *arguments]
    with (folder / "simulator.log").open("wb") as output:
        process = subprocess.Popen(command, stderr=output)
    try:
        wait_for("the simulator", ready.exists)
        yield process, ready.read_text().strip()
    finally:
        stop(process)


@pytest.mark.alone
def test_a_thousand_symbols_on_four_workers_keep_the_budget_and_little_memory(
    installation: Installation,
    redis_server: RedisServer,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """In every window of the upstream's own log; peak memory of any process under 600 MB.

    Every process of the system counts: command, workers, Redis, and the simulator.
    """
    installation.fresh = True  # what a process has imported is part of its memory
    windows = (RateWindow(60, 1.0), RateWindow(550, 10.0))
    installation.environment = {
        "CELERY_BROKER_URL": redis_server.url(1),
        "CELERY_RESULT_BACKEND": redis_server.url(2),
        "BUDGET_SIMULATOR": ",".join(str(window) for window in windows),
        "SYNC_EVENTS": "false",
    }
    workers = [
        worker(installation.variables, tmp_path / f"worker{n}.log", name=f"quant{n}")
        for n in range(4)
    ]
    market = simulator_process(tmp_path, "--seed", "5", "--symbols", "1060")
    try:
        with market as (simulator, url):
            began = time.monotonic()
            words = ("sync", "stocks", "--from", "2025-01-02", "--upstream", url, "--json")
            command = installation.start(*words)
            client_peak = 0
            while command.poll() is None:
                client_peak = max(client_peak, peak_memory_kib(command))
                time.sleep(0.2)
            out, err = command.communicate()
            elapsed = time.monotonic() - began
            with urllib.request.urlopen(f"{url}/__simulator__/log") as answer:
                requests = [entry["at"] for entry in json.load(answer)["requests"]]
            peaks = {f"worker{n}": peak_memory_kib(each) for n, each in enumerate(workers)}
            peaks["redis"] = peak_memory_kib(redis_server.process)
            peaks["simulator"] = peak_memory_kib(simulator)
            peaks["command"] = client_peak
    finally:
        stop(*workers)

    summary = json.loads(out)
    assert command.returncode == 0, err
    assert summary["waves"] >= 2, "the list, and the bars"
    assert summary["symbols"] >= 1_000 + 1, "a thousand symbols, and their list"
    assert summary["bars_written"] > 200_000
    assert len(requests) == summary["requests"]
    for window in windows:
        assert busiest(sorted(requests), window.seconds) <= window.count
    assert min(peaks.values()) > 0, peaks
    assert max(peaks.values()) < 600 * MIB, peaks
    assert installation.run("verify").code == 0
    mib = {name: peak // MIB for name, peak in peaks.items()}
    record_property("measured", f"{len(requests)} requests in {elapsed:.1f} s, MiB: {mib}")


@pytest.mark.services
def test_the_same_run_with_rabbitmq_and_postgresql(
    installation: Installation,
    redis_server: RedisServer,
    rabbitmq: str,
    postgresql_url: str,
    simulator: SimulatorServer,
    tmp_path: Path,
) -> None:
    """Chords over AMQP, bars in PostgreSQL, results and budget in Redis; and nothing twice."""
    installation.environment |= {
        "CELERY_BROKER_URL": rabbitmq,
        "CELERY_RESULT_BACKEND": redis_server.url(2),
        "DATABASE_URL": postgresql_url,
    }
    with forked_starts():
        quant = worker(installation.variables, tmp_path / "worker.log")
    words = ("--from", "2025-10-09", "--upstream", simulator.url, "--json")
    try:
        said = installation.run("sync", "all", *words)
        again = installation.run("sync", "stocks", *words)
        enqueued = installation.run("sync", "industries", *words, "--no-wait").json["run_ids"][0]
        wait_for(
            "the enqueued run",
            lambda: installation.run("runs", enqueued, "--json").json["state"] == "committed",
        )
    finally:
        stop(quant)

    assert said.code == 0, said.stderr + (tmp_path / "worker.log").read_text()
    assert [run["state"] for run in said.json["runs"]] == ["committed"] * 3
    assert all(run["bars_written"] > 1000 for run in said.json["runs"])
    assert (again.json["state"], again.json["bars_written"]) == ("committed", 0)
    verified = installation.run("verify", "--json").json
    assert verified["equal"]
    assert verified["bars"] == sum(run["bars_written"] for run in said.json["runs"])


def test_without_a_worker_the_command_says_so(
    installation: Installation, redis_server: RedisServer, simulator: SimulatorServer
) -> None:
    """A run that nobody takes is not a silent wait."""
    installation.environment |= {
        "CELERY_BROKER_URL": redis_server.url(1),
        "CELERY_RESULT_BACKEND": redis_server.url(2),
    }
    waiting = installation.start("sync", "stocks", "--upstream", simulator.url)
    said = next((line for line in waiting.stderr or () if "no worker has taken" in line), "")
    stop(waiting)

    assert "no worker has taken a batch yet" in said
