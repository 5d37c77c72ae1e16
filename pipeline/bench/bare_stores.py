"""What the stores are held against: the same rows by the drivers alone, with nothing kept safe.

No merge with what is held beyond the upsert, no revisions, no states, no locks, no hashes.
"""

import sqlite3
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from market.bars import VALUE_COLUMNS
from storage.database import Database

CARRIED = (*VALUE_COLUMNS, "state", "source", "fetched_at")
COLUMNS = ("symbol_id", "end_at", "session", *CARRIED)


def write_parquet(bars: pa.Table, path: Path) -> None:
    """One plain file of all rows: zstd at level 1, nothing else said."""
    pq.write_table(bars, path, compression="zstd", compression_level=1)


def rewrite_day(day: Path, bars: pa.Table, scratch: Path) -> None:
    """Read a file, add rows, sort, write it elsewhere; nothing is compared."""
    held = pq.read_table(day)
    both = pa.concat_tables([held, bars.cast(held.schema)]).unify_dictionaries()
    keys = pa.table({"symbol": both["symbol"].cast(pa.string()), "end_at": both["end_at"]})
    order = pc.sort_indices(keys, [("symbol", "ascending"), ("end_at", "ascending")])
    write_parquet(both.take(order), scratch)


def as_sql(bars: pa.Table, ids: dict[str, int], *, sqlite: bool) -> pa.Table:
    """Bars as the kline tables hold them."""
    codes = bars["symbol"].unify_dictionaries().combine_chunks()
    owners = pa.array([ids[code] for code in codes.dictionary.to_pylist()], pa.int32())
    session = bars["session"]
    plain = {name: bars[name] for name in VALUE_COLUMNS}
    return pa.table(
        {
            "symbol_id": owners.take(codes.indices),
            "end_at": bars["end_at"].cast(pa.int64()),
            "session": session.cast(pa.string()) if sqlite else session,
            **plain,
            "state": bars["state"].cast(pa.string()),
            "source": bars["source"].cast(pa.string()),
            "fetched_at": bars["fetched_at"].cast(pa.int64()),
        }
    )


def _upsert(into: str, values: str, differs: str) -> str:
    changed = " OR ".join(f"excluded.{name} {differs} t.{name}" for name in CARRIED)
    standing = ", ".join(f"{name} = excluded.{name}" for name in CARRIED)
    return (
        f"INSERT INTO {into} AS t ({', '.join(COLUMNS)}) {values} "
        f"ON CONFLICT (symbol_id, end_at) DO UPDATE SET {standing} WHERE {changed}"
    )


class BareStore(Protocol):
    """A kline table that its driver alone writes."""

    says: str
    """How, in words."""

    def write(self, rows: pa.Table) -> None:
        """Upsert rows as :func:`as_sql` makes them, in one transaction."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class BareSQLite:
    """A file with the kline tables, written by ``sqlite3`` alone: ``executemany`` with an upsert.

    Args:
        file: An SQLite file that has the tables.
        table: Which of them.
    """

    says = "sqlite3 alone: executemany of an upsert"

    def __init__(self, file: Path, table: str) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        places = ", ".join("?" * len(COLUMNS))
        self._statement = _upsert(table, f"VALUES ({places})", "IS NOT")

    def write(self, rows: pa.Table) -> None:
        """Upsert rows as :func:`as_sql` makes them, in one transaction."""
        columns = [column.to_pylist() for column in rows.columns]
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(self._statement, zip(*columns, strict=True))
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class BarePostgreSQL:
    """A kline table, written by binary COPY into a temporary table and one merge from there.

    Args:
        database: Which one.
        table: The table; ``like`` another one, it is made.
        like: Its columns, keys and indexes; it refers to the symbols, too.
    """

    says = "COPY into a temporary table, and one merge from there"

    def __init__(self, database: Database, table: str, like: str | None = None) -> None:
        self._entered = database.adbc()
        self._connection = self._entered.__enter__()
        if like is not None:
            self._execute(f"CREATE TABLE {table} (LIKE {like} INCLUDING ALL)")
            self._execute(f"ALTER TABLE {table} ADD FOREIGN KEY (symbol_id) REFERENCES symbol (id)")
            self._connection.commit()
        columns = ", ".join(COLUMNS)
        chosen = f"SELECT {columns} FROM incoming ORDER BY symbol_id, end_at"  # noqa: S608
        self._statement = _upsert(table, chosen, "IS DISTINCT FROM")

    def _execute(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)

    def write(self, rows: pa.Table) -> None:
        """Upsert rows as :func:`as_sql` makes them, in one transaction."""
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest("incoming", rows, mode="create", temporary=True)
            cursor.execute(self._statement)
            cursor.execute("DROP TABLE incoming")
        self._connection.commit()

    def close(self) -> None:
        """Close the connection."""
        self._entered.__exit__(None, None, None)
