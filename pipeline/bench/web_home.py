"""A home with long histories, the web application on it, and a sync that writes meanwhile."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from market.bars import Dataset, bar_schema
from market.errors import QuantsyncError
from market.periods import Period
from market.sessions import Window, bar_end, exchange_calendar
from pipeline.bench.processes import stop
from pipeline.bench.redis_server import free_port
from storage.api_keys import ApiKeys, Scope
from storage.database import Database
from storage.lake import Lake
from storage.ledger import Ledger

_LAST = date(2025, 12, 31)
_FIRST_CODE = 603_000
_START_S, _SYNC_S = 60.0, 90.0


class NotServingError(QuantsyncError):
    """The web application, or the sync beside it, did not start."""


@dataclass(frozen=True, slots=True)
class Served:
    """The web application on a home.

    Attributes:
        address: ``127.0.0.1:8000``.
        key: The text of a key that may read.
        symbols: What the lake has bars of.
    """

    process: "subprocess.Popen[bytes]"
    home: Path
    address: str
    key: str
    symbols: list[str]

    def resident_mib(self) -> float:
        """Memory that the process holds now."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        line = next(each for each in text.splitlines() if each.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


def fill(home: Path, symbols: int, sessions: int, seed: int) -> list[str]:
    """Daily bars of some symbols into the lake of a home, by its own writer; their names."""
    days = exchange_calendar().sessions_in(Window(date(2010, 1, 4), _LAST))[-sessions:]
    names = [f"{_FIRST_CODE + at}.SH" for at in range(symbols)]
    draw = np.random.default_rng(seed)
    rows = symbols * sessions
    close = np.round(10 * np.exp(np.cumsum(draw.normal(0, 0.01, rows)) % 3), 2)
    schema = bar_schema(Dataset.KLINE)
    ends = np.array([int(bar_end(day).timestamp()) for day in days])
    number = pa.array(np.zeros(rows, np.int32))
    columns = {
        "symbol": pa.DictionaryArray.from_arrays(
            pa.array(np.repeat(np.arange(symbols, dtype=np.int32), sessions)), names
        ),
        "session": pa.array(days * symbols, pa.date32()),
        "end_at": pa.array(np.tile(ends, symbols)).cast(pa.timestamp("s", tz="UTC")),
        **{name: np.round(close + more, 2) for name, more in _PRICES.items()},
        "volume": draw.integers(1_000, 10_000_000, rows) * 100,
        "amount": np.round(close * 1e6, 2),
        "turnover_rate": np.round(draw.random(rows) * 5, 2),
        "state": pa.DictionaryArray.from_arrays(number, ["final"]),
        "source": pa.DictionaryArray.from_arrays(number, ["bench"]),
        "fetched_at": pa.array(np.full(rows, 1_767_168_000_000_000)),
    }
    bars = pa.table({name: columns[name] for name in schema.names}).cast(schema)
    Lake(home / "lake").write(Dataset.KLINE, Period.DAILY, bars)
    return names


_PRICES = {"open": 0.0, "high": 0.1, "low": -0.1, "close": 0.05}


@contextlib.contextmanager
def serving(home: Path, symbols: list[str]) -> Iterator[Served]:
    """``python -m web`` on a home while the block runs; no request of a reader is refused.

    Raises:
        NotServingError: It did not start.
    """
    database = Database(f"sqlite:///{home / 'quantsync.db'}")
    database.migrate()
    _, key = ApiKeys(database).create("bench", Scope.READ, "bench")
    database.dispose()
    address, log = f"127.0.0.1:{free_port()}", home / "web.log"
    settings = {"QUANTSYNC_HOME": str(home), "WEB_READS_PER_S": "1000000"}
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "web", "--listen", address],
            env={**os.environ, **settings},
            stdout=output,
            stderr=output,
        )
    try:
        _await(process, address, log)
        yield Served(process, home, address, key, symbols)
    finally:
        stop(process)


def _await(process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        # S310: the address of the process that was started.
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError),
            urllib.request.urlopen(f"http://{address}/healthz", timeout=5),
        ):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise NotServingError(f"the web application did not start:\n{log.read_text()}")
        time.sleep(0.05)


@contextlib.contextmanager
def syncing(home: Path, symbols: int) -> Iterator[None]:
    """A sync of a simulated market into the same lake, which goes on while the block runs.

    It is permitted 4 requests a second, and commits each few of them: every commit merges into
    the file of the current year, which the readers' bars are in, too.

    Raises:
        NotServingError: It did not come to its first commit.
    """
    settings = {
        "QUANTSYNC_HOME": str(home),
        "SIMULATOR_SYMBOLS": str(symbols),
        "BUDGET_SIMULATOR": "4/1s",
        "WAVE_ITEMS": "5",
        "SYNC_EVENTS": "false",
        "FAILOVER_DAILY": "none",
    }
    words = ["sync", "stocks", "--from", "2025-01-02", "--upstream", "simulator"]
    log = home / "sync.log"
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "pipeline.cli", *words],
            env={**os.environ, **settings},
            stdout=output,
            stderr=output,
        )
    try:
        _await_commit(process, home, log)
        yield
    finally:
        stop(process)


def _await_commit(process: "subprocess.Popen[bytes]", home: Path, log: Path) -> None:
    database = Database(f"sqlite:///{home / 'quantsync.db'}")
    deadline = time.monotonic() + _SYNC_S
    try:
        while not any(run.bars_written for run in Ledger(database).runs(1)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise NotServingError(f"the sync wrote nothing:\n{log.read_text()}")
            time.sleep(0.1)
    finally:
        database.dispose()
