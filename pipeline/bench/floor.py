"""The least that the same data costs: read, parse, one Parquet file, one SQL statement.

No budget, no validation, no ledger, nothing durable before the end, nothing that could be resumed:
what is between this and the pipeline is what the promises cost.
"""

import http.client
import io
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

_CELLS = {
    "day": pa.date32(), "open": pa.float64(), "close": pa.float64(), "high": pa.float64(),
    "low": pa.float64(), "lots": pa.int64(), "amount": pa.float64(), "amplitude": pa.float64(),
    "change_percent": pa.float64(), "change": pa.float64(), "turnover_rate": pa.float64(),
}  # fmt: skip
_KEPT = ("day", "open", "high", "low", "close", "lots", "amount", "turnover_rate")
_QUOTED = {"f17": "open", "f15": "high", "f16": "low", "f2": "close", "f5": "lots", "f6": "amount",
           "f8": "turnover_rate"}  # fmt: skip

Parse = Callable[[bytes], pa.Table]
"""A body as columns: ``code``, ``day`` and the numbers of a bar."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What it took.

    Attributes:
        bars: Rows written to each store.
        seconds: By the clock.
        cpu_s: Of this process.
        steps: Seconds by the clock: ``read and parse``, ``Parquet``, ``SQL``.
    """

    bars: int
    seconds: float
    cpu_s: float
    steps: dict[str, float]


def floor(url: str, targets: Sequence[str], parse: Parse, folder: Path, *, threads: int) -> Floor:
    """Read every body on kept connections, one a thread, and write all bars once to each store.

    Args:
        url: Who serves them.
        targets: Path and query of each body.
        parse: Reads one.
        folder: Where ``floor.parquet`` and ``floor.db`` are made anew.
        threads: How many read at a time.
    """
    began, cpu = time.perf_counter(), time.process_time()
    bars = pa.concat_tables(_read(url, targets, parse, threads)).combine_chunks()
    read = time.perf_counter()
    pq.write_table(bars, folder / "floor.parquet", compression="zstd", compression_level=1)
    written = time.perf_counter()
    insert_once(folder / "floor.db", bars)
    ended = time.perf_counter()
    steps = {"read and parse": read - began, "Parquet": written - read, "SQL": ended - written}
    return Floor(bars.num_rows, ended - began, time.process_time() - cpu, steps)


def klines(body: bytes) -> pa.Table:
    """The bars of one symbol."""
    data = json.loads(body)["data"]
    cells = csv.read_csv(
        io.BytesIO("\n".join(data["klines"]).encode()),
        read_options=csv.ReadOptions(column_names=list(_CELLS), use_threads=False),
        convert_options=csv.ConvertOptions(column_types=_CELLS, include_columns=list(_KEPT)),
    )
    code = pa.DictionaryArray.from_arrays(
        pa.repeat(pa.scalar(0, pa.int32()), cells.num_rows), pa.array([data["code"]])
    )
    return cells.append_column("code", code)


def quotes(body: bytes) -> pa.Table:
    """The bars of one page of quotes, as a day's; symbols without a trade have none."""
    rows = json.loads(body)["data"]["diff"]
    rows = [row for row in rows if not isinstance(row["f17"], str)]
    columns: dict[str, pa.Array] = {
        name: pa.array([float(row[number]) for row in rows], pa.float64())
        for number, name in _QUOTED.items()
    }
    columns["day"] = pa.array([row["f124"] // 86_400 for row in rows], pa.int32()).cast(pa.date32())
    columns["code"] = pa.array([row["f12"] for row in rows], pa.string()).dictionary_encode()
    return pa.table(columns)


def insert_once(path: Path, bars: pa.Table) -> None:
    """One table, one transaction, one ``executemany``; rows come in the order of the key."""
    path.unlink(missing_ok=True)
    names = ", ".join(bars.column_names)
    values = [_plain(bars[name]).to_pylist() for name in bars.column_names]
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(f"CREATE TABLE bars ({names}, PRIMARY KEY (code, day)) WITHOUT ROWID")
    with database:
        database.executemany(
            f"INSERT INTO bars VALUES ({', '.join('?' * len(values))})",  # noqa: S608
            zip(*values, strict=True),
        )
    database.close()


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values as SQLite takes them: days as numbers."""
    if pa.types.is_date32(column.type):
        return column.cast(pa.int32())
    return pc.cast(column, pa.string()) if pa.types.is_dictionary(column.type) else column


def _read(url: str, targets: Sequence[str], parse: Parse, threads: int) -> list[pa.Table]:
    place = urlsplit(url)
    tables: dict[int, pa.Table] = {}
    todo = iter(enumerate(targets))
    lock = threading.Lock()
    failed: list[Exception] = []

    def work() -> None:
        connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=30)
        try:
            while not failed:
                with lock:
                    number, target = next(todo, (-1, ""))
                if number < 0:
                    return
                connection.request("GET", target)
                tables[number] = parse(connection.getresponse().read())
        except Exception as error:  # noqa: BLE001  (raised below, by who waits)
            failed.append(error)
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    if failed:
        raise failed[0]
    return [tables[number] for number in sorted(tables)]
