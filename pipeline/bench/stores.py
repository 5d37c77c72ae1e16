"""The stores of a benchmark, made as a worker makes them, and bars taken through them in waves."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import insert, select

from market.bars import Dataset
from market.periods import Period
from scheduling.planner import BatchSizing
from storage.aliases import read_aliases
from storage.database import Database
from storage.lake import Lake
from storage.lake_manifest import LakeManifest
from storage.staging import Staging
from storage.tables import symbol
from storage.warehouse import Warehouse

KLINE = Dataset.KLINE
_THREADS = 8  # of a quant worker


@dataclass(slots=True)
class Watch:
    """Seconds of what ran inside it, added up."""

    seconds: float = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Count what the block takes."""
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began


class Stores:
    """A lake with its manifest, staging and a database, in a folder of their own.

    Args:
        folder: Where they lie; made if it lacks.
        url: Of the database; None: an SQLite file in the folder.
    """

    def __init__(self, folder: Path, url: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.sqlite_file = folder / "quantsync.db"
        self.database = Database(url or f"sqlite:///{self.sqlite_file}")
        self.database.migrate()
        self.warehouse = Warehouse(self.database)
        root = folder / "lake"
        self.lake = Lake(
            root,
            aliases=lambda: read_aliases(self.database),
            manifest=LakeManifest(lambda: self.database, root),
        )
        self.staging = Staging(folder / "staging")

    def ids(self) -> dict[str, int]:
        """The ids of the symbols that the database holds."""
        with self.database.reading() as connection:
            rows = connection.execute(select(symbol.c.symbol, symbol.c.id)).all()
        return {code: number for code, number in rows}  # noqa: C416  (Rows)

    def adopt(self, ids: Mapping[str, int]) -> None:
        """Name symbols as another database does, by the same ids."""
        rows = [{"id": number, "symbol": code, "listed": False} for code, number in ids.items()]
        with self.database.writing() as connection:
            connection.execute(insert(symbol), rows)

    def close(self) -> None:
        """Close the connections."""
        self.database.dispose()


@dataclass(slots=True)
class Staged:
    """A wave as its batches left it.

    Attributes:
        rows: How many bars.
        manifests: Of its batches, as the ledger keeps them.
    """

    rows: int = 0
    manifests: list[dict[str, Any]] = field(default_factory=list)


def stage(stores: Stores, number: int, batches: Sequence[pa.Table], watch: Watch) -> Staged:
    """Stage the batches of a wave as a worker does, on its eight threads."""

    def write(batch: int) -> dict[str, Any]:
        tables = {KLINE.value: batches[batch]}
        return stores.staging.write("bench", number * 1000 + batch, "token", tables)

    with ThreadPoolExecutor(_THREADS) as pool, watch.running():
        manifests = list(pool.map(write, range(len(batches))))
    return Staged(sum(bars.num_rows for bars in batches), manifests)


def commit(stores: Stores, period: Period, staged: Staged) -> int:
    """Take a wave into the lake as a commit does.

    Returns:
        How many bars were new or changed.
    """
    bars = stores.staging.read_bars(staged.manifests, KLINE)
    written = stores.lake.write(KLINE, period, bars)
    return sum(part.inserted + part.updated for part in written)


def waves(symbols: int, sizing: BatchSizing) -> Iterator[list[tuple[int, int]]]:
    """The batches of each wave: the place of their first symbol, and the one after their last."""
    for first in range(0, symbols, sizing.items_per_wave):
        last = min(first + sizing.items_per_wave, symbols)
        starts = range(first, last, sizing.items_per_batch)
        yield [(at, min(at + sizing.items_per_batch, last)) for at in starts]
