"""The command: starting, being told of mistakes, and stopping."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from pipeline.settings import Settings
from pipeline.stack import simulator_arguments

COMMAND = [sys.executable, "-m", "ingest.simulator"]
RECORDED = Path(__file__).parents[3] / "data" / "replay"


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    ready = folder / "url"
    process = subprocess.Popen(
        [*COMMAND, "--ready-file", str(ready), *arguments], stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 20
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process, ready.read_text().strip()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/__simulator__/health", timeout=10).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, number: int) -> None:
    log = tmp_path / "log.jsonl"
    arguments = ["--seed", "3", "--symbols", "20", "--log", str(log), "--now", "2025-06-27T10:32"]
    with running(tmp_path, *arguments, "--fault", "http_status:status=502,count=1") as (
        process,
        url,
    ):
        market = requests.get(f"{url}/__simulator__/market", timeout=10).json()
        assert (market["seed"], market["symbols"]) == (3, 20)
        assert market["now"] == "2025-06-27T10:32:00+08:00"
        path = f"{url}/api/qt/stock/kline/get?secid=1.600519"
        assert [requests.get(path, timeout=10).status_code for _ in range(2)] == [502, 200]
        process.send_signal(number)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == f"listening on {url}\n"
    outcomes = [json.loads(line)["outcome"] for line in log.read_text().splitlines()]
    assert outcomes == ["http_status", "ok"]


@pytest.mark.usefixtures("forked")
def test_it_follows_the_machines_clock_when_asked_to(tmp_path: Path) -> None:
    with running(tmp_path, "--symbols", "5", "--now", "system") as (_, url):
        assert requests.get(f"{url}/__simulator__/clock", timeout=10).json()["ticking"] is True


@pytest.mark.usefixtures("forked")
def test_by_default_it_serves_the_market_that_a_run_would_start(tmp_path: Path) -> None:
    """Who points a run at it finds in it what `--upstream simulator` gave before."""
    for_a_run = simulator_arguments(Settings())
    markets = []
    for name, arguments in (("default", []), ("run", for_a_run)):
        folder = tmp_path / name
        folder.mkdir()
        with running(folder, *arguments) as (_, url):
            markets.append(requests.get(f"{url}/__simulator__/market", timeout=10).json())
    assert markets[0] == markets[1]


@pytest.mark.usefixtures("forked")
def test_it_replays_a_folder(tmp_path: Path) -> None:
    with running(tmp_path, "--replay", str(RECORDED)) as (_, url):
        market = requests.get(f"{url}/__simulator__/market", timeout=10).json()
        assert (market["kind"], market["now"]) == ("replay", "2026-03-27T16:00:00+08:00")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's service of Linux")
def test_it_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    ready = tmp_path / "url"
    starter = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen({[*COMMAND, '--symbols', '5', '--die-with-parent', '--ready-file']!r}"
        f" + [{str(ready)!r}])\ntime.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", starter], stderr=subprocess.DEVNULL)
    while not ready.exists():
        assert parent.poll() is None
        time.sleep(0.01)
    url = ready.read_text().strip()
    assert is_up(url)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while is_up(url):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--symbols", "0"], "a market has 1 to 6,000 symbols, not 0"),
        (["--symbols", "many"], "invalid int value: 'many'"),
        (["--seed", "x"], "a seed is a whole number"),
        (["--now", "noon"], "an instant is written 2025-12-31T10:32:00, or 'system'"),
        (["--now", "2040-01-01T10:00"], "beyond"),
        (["--now", "2014-01-06T10:00"], "the simulated market's first session"),
        (["--start", "2015"], "a day is written 2015-01-05"),
        (["--start", "2040-01-05"], "beyond"),
        (["--port", "99999"], "a port is 0 to 65535"),
        (["--fault", "gremlin"], "'gremlin' is not a fault"),
        (["--fault", "drop:often"], "key=value"),
        (["--replay", "nowhere"], "there is no folder nowhere to replay"),
        (["--replay", "."], "holds nothing to replay"),
        (["--log", "no/such/folder/log"], "cannot use no/such/folder/log: No such file"),
        (["--symbols", "5", "--host", "203.0.113.1"], "cannot listen on 203.0.113.1 port 0"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [*COMMAND, *arguments], check=False, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert said in last
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("forked")
def test_help_shows_examples_and_all_faults() -> None:
    done = subprocess.run(
        [*COMMAND, "--help"], check=True, capture_output=True, text=True, timeout=20
    )
    for word in ("examples:", "--replay", "moving_order", "slow_loris", "PUT clock"):
        assert word in done.stdout


def test_the_command_loads_neither_pandas_nor_akshare() -> None:
    code = "import sys, ingest.simulator.cli; print({'pandas', 'akshare'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout == "set()\n"
