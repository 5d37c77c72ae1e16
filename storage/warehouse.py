"""The warehouse: the same bars in SQL, upserted set-wise from Arrow.

The rows go into a temporary table (PostgreSQL: by ADBC), then one ``INSERT … ON CONFLICT`` applies
the rule of :mod:`storage.merging`. A row that changes nothing is not touched, so a re-run is the
fastest path. Rows of symbols that have no bar in the time that came in meet nothing: they go
straight to their place.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import select
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from market.bars import (
    END_AT_TYPE,
    FETCHED_AT_TYPE,
    VALUE_COLUMNS,
    Dataset,
    bar_schema,
)
from market.periods import Period
from market.sessions import Window
from storage.aliases import all_codes, read_aliases, under_present_codes
from storage.database import Database, roomy
from storage.keys import ascending, key_numbers
from storage.merging import one_per_key
from storage.sqlite_rows import rows_of
from storage.tables import KLINE_TABLES
from storage.warehouse_statements import Statements

_FETCH_ROWS = 50_000
_TEXT = pa.string()


@dataclass(frozen=True, slots=True)
class WriteCount:
    """What a write did."""

    inserted: int
    updated: int
    unchanged: int
    revised: int


class Warehouse:
    """Bars in SQL tables, one per dataset and period. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write_bars(self, dataset: Dataset, period: Period, bars: pa.Table) -> WriteCount:
        """Upsert bars in one transaction. Idempotent.

        Args:
            dataset: Whose bars.
            period: Length of the bars.
            bars: In the dataset's schema, in any order, keys repeated or not.

        Raises:
            StorageError: The database cannot be used; nothing was written.
        """
        if not bars.num_rows:
            return WriteCount(0, 0, 0, 0)
        if dataset is Dataset.KLINE:
            bars = under_present_codes(bars, read_aliases(self._database))
        # A key twice in one statement is an error to PostgreSQL and a wrong count to SQLite.
        single = one_per_key(dataset, bars)
        arrived = {"incoming": _columns(dataset, single)}
        if single.num_rows < bars.num_rows:
            arrived["repeated"] = _columns(dataset, bars)
        statements = Statements(dataset, period, is_sqlite=self._database.is_sqlite)
        retrying = Retrying(
            stop=stop_after_attempt(5),
            wait=wait_random_exponential(multiplier=0.1, max=5),
            retry=retry_if_exception(_is_conflict),
            reraise=True,
        )
        upsert = self._upsert_sqlite if self._database.is_sqlite else self._upsert_postgresql
        return retrying(upsert, arrived, statements)

    def _upsert_sqlite(self, arrived: Mapping[str, pa.Table], statements: Statements) -> WriteCount:
        with self._database.writing() as connection, roomy(connection):
            cursor = connection.connection.cursor()
            count = _apply(cursor, statements, arrived, _SQLiteRows(cursor, statements))
            cursor.close()
        return count

    def _upsert_postgresql(
        self, arrived: Mapping[str, pa.Table], statements: Statements
    ) -> WriteCount:
        with self._database.adbc() as connection, connection.cursor() as cursor:
            # One writer a table, as in SQLite: between the statements below nobody may change what
            # they compare with, or a revision would go unseen.
            cursor.execute(statements.lock)
            count = _apply(cursor, statements, arrived, _PostgreSQLRows(cursor, statements))
            connection.commit()
        return count

    def read_bars(
        self,
        dataset: Dataset,
        period: Period,
        *,
        names: Collection[str] | None = None,
        window: Window | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Bars of some symbols (or boards) in a closed window, in the dataset's schema, sorted.

        Args:
            dataset: Whose bars.
            period: Length of the bars.
            names: Symbols or boards; None: all.
            window: Sessions; None: all.
            columns: Which columns, in this order; None: all.

        Raises:
            StorageError: The database cannot be used.
        """
        if names is not None and dataset is Dataset.KLINE:
            names = all_codes(names, read_aliases(self._database))
        wanted = list(columns or bar_schema(dataset).names)
        statements = Statements(dataset, period, is_sqlite=self._database.is_sqlite)
        query = statements.select(wanted, names=names, window=window)
        if self._database.is_sqlite:
            with self._database.reading() as connection:
                table = _read_sqlite(connection.connection.cursor(), query)
        else:
            with self._database.adbc() as adbc, adbc.cursor() as cursor:
                cursor.execute(query)
                table = cursor.fetch_arrow_table()
        return _as_bars(dataset, table).select(wanted)

    def drop_minutes_before(self, session: date) -> int:
        """Delete intraday bars of sessions before one; they stay in the lake. Idempotent.

        One transaction a session, so that no other writer waits for long.

        Returns:
            How many bars were deleted.

        Raises:
            StorageError: The database cannot be used; calling again goes on.
        """
        dropped = 0
        for (dataset, period), table in KLINE_TABLES.items():
            if not period.is_intraday:
                continue
            for day in self.sessions(dataset, period):
                if day < session:
                    with self._database.writing() as connection:
                        gone = connection.execute(table.delete().where(table.c.session == day))
                        dropped += gone.rowcount
        return dropped

    def sessions(self, dataset: Dataset, period: Period) -> list[date]:
        """The sessions of which bars are held, ascending."""
        table = KLINE_TABLES[dataset, period]
        with self._database.reading() as connection:
            column = table.c.session
            return list(connection.scalars(select(column).distinct().order_by(column)))


class _Rows(Protocol):
    """How rows get into tables, and columns out of them."""

    def fill(self, name: str, bars: pa.Table) -> None:
        """Make a temporary table of bars."""
        ...

    def insert(self, bars: pa.Table) -> None:
        """Insert bars that meet none, whose owners are ids."""
        ...

    def columns(self, query: str) -> list[list[Any]]:
        """The columns of a query's rows."""
        ...


@dataclass(frozen=True, slots=True)
class _SQLiteRows:
    cursor: Any
    statements: Statements

    def fill(self, name: str, bars: pa.Table) -> None:
        self.cursor.execute(f"CREATE TEMP TABLE {name} ({', '.join(bars.column_names)})")
        places = ", ".join("?" * bars.num_columns)
        self.cursor.executemany(
            f"INSERT INTO {name} VALUES ({places})",  # noqa: S608
            rows_of(_with_iso_dates(bars)),
        )

    def insert(self, bars: pa.Table) -> None:
        self.cursor.executemany(self.statements.insert, rows_of(_with_iso_dates(bars)))

    def columns(self, query: str) -> list[list[Any]]:
        self.cursor.execute(query)
        rows, count = self.cursor.fetchall(), len(self.cursor.description)
        return [[row[place] for row in rows] for place in range(count)]


@dataclass(frozen=True, slots=True)
class _PostgreSQLRows:
    cursor: Any
    statements: Statements

    def fill(self, name: str, bars: pa.Table) -> None:
        self.cursor.adbc_ingest(name, _plain(bars), mode="create", temporary=True)
        # Or PostgreSQL takes it for a small one, and reads the whole table to join the two.
        self.cursor.execute(f"ANALYZE {name}")

    def insert(self, bars: pa.Table) -> None:
        named = _plain(bars).rename_columns(self.statements.columns)
        self.cursor.adbc_ingest(self.statements.name, named, mode="append")

    def columns(self, query: str) -> list[list[Any]]:
        self.cursor.execute(query)  # its fetchall takes 5 µs a row
        return [column.to_pylist() for column in self.cursor.fetch_arrow_table().columns]


def _columns(dataset: Dataset, bars: pa.Table) -> pa.Table:
    """Bars as temporary tables hold them; texts still as dictionaries."""
    return pa.table(
        {
            "owner": bars[dataset.key],
            "end_at": bars["end_at"].cast(pa.int64()),
            "session": bars["session"],
            **{name: bars[name] for name in VALUE_COLUMNS},
            "state": bars["state"],
            "source": bars["source"],
            "fetched_at": bars["fetched_at"].cast(pa.int64()),
        }
    )


def _with_iso_dates(bars: pa.Table) -> pa.Table:
    """Dates as SQLite keeps them."""
    coded = bars["session"].combine_chunks().dictionary_encode()
    texts = pa.DictionaryArray.from_arrays(coded.indices, coded.dictionary.cast(pa.string()))
    return bars.set_column(bars.schema.get_field_index("session"), "session", texts)


def _plain(bars: pa.Table) -> pa.Table:
    """Texts as texts."""
    return pa.table(
        {
            field.name: bars[field.name].cast(pa.string())
            if pa.types.is_dictionary(field.type)
            else bars[field.name]
            for field in bars.schema
        }
    )


def _parted(
    cursor: Any, rows: _Rows, statements: Statements, incoming: pa.Table
) -> tuple[pa.Table, pa.Table]:
    """Rows that can meet no bar held, with their owners' ids; and the others, as they are.

    Inside the transaction that writes them: nobody can write what they would meet.
    """
    codes = incoming["owner"].unify_dictionaries().combine_chunks()
    names = codes.dictionary.to_pylist()
    ids = _ids(rows, statements, names)
    if unknown := [name for name in names if name not in ids]:
        cursor.execute(statements.add_named_owners(unknown))
        ids |= _ids(rows, statements, unknown)
    ends = pc.min_max(incoming["end_at"])
    (held,) = rows.columns(
        statements.owners_with_bars(ids.values(), ends["min"].as_py(), ends["max"].as_py())
    )
    owners = np.array([ids[name] for name in names], np.int32)[codes.indices.to_numpy()]
    numbered = incoming.set_column(0, "owner", pa.array(owners))
    if not held:
        return numbered, incoming.slice(0, 0)
    meets = np.isin(owners, held)
    return numbered.filter(pa.array(~meets)), incoming.filter(pa.array(meets))


def _ids(rows: _Rows, statements: Statements, names: list[str]) -> dict[str, int]:
    codes, ids = rows.columns(statements.owner_ids(names))
    return dict(zip(codes, ids, strict=True))


def _apply(
    cursor: Any, statements: Statements, arrived: Mapping[str, pa.Table], rows: _Rows
) -> WriteCount:
    """Write what arrived, inside the caller's transaction."""
    fresh, met = _parted(cursor, rows, statements, arrived["incoming"])
    if "repeated" in arrived:
        # What was repeated is compared with what stands: all goes one way.
        fresh, met = fresh.slice(0, 0), arrived["incoming"]
    if fresh.num_rows:
        rows.insert(fresh)
    if not met.num_rows:
        return WriteCount(fresh.num_rows, 0, 0, 0)
    tables = {**arrived, "incoming": met}
    for name, bars in tables.items():
        rows.fill(name, bars)
    count = _merge(cursor, statements, tables)
    for name in tables:
        cursor.execute(f"DROP TABLE {name}")
    return replace(count, inserted=count.inserted + fresh.num_rows)


def _merge(cursor: Any, statements: Statements, arrived: Collection[str]) -> WriteCount:
    """Merge the temporary table ``incoming`` into the bars held."""
    cursor.execute(statements.count)
    counts = (int(n or 0) for n in cursor.fetchone())
    total, known, touched, updated, revised, differing = counts
    if differing:
        cursor.execute(statements.keep_replaced)
    if touched or known < total:
        cursor.execute(statements.upsert)
    if differing:
        cursor.execute(statements.keep_outranked())
    if "repeated" in arrived:
        cursor.execute(statements.keep_outranked("repeated"))
    return WriteCount(total - known, updated, known - updated, revised)


def _read_sqlite(cursor: Any, query: str) -> pa.Table:
    cursor.execute(query)
    names = [column[0] for column in cursor.description]
    tables = []
    # In portions: a year of the market as Python objects would not fit in memory.
    while rows := cursor.fetchmany(_FETCH_ROWS):
        columns = map(list, zip(*rows, strict=True))
        tables.append(_typed(dict(zip(names, columns, strict=True))))
    cursor.close()
    return pa.concat_tables(tables) if tables else _typed({name: [] for name in names})


def _typed(columns: dict[str, list[Any]]) -> pa.Table:
    """Rows of SQLite, which knows no dates, with the types that PostgreSQL gives."""
    kinds = {"end_at": pa.int64(), "fetched_at": pa.int64(), "volume": pa.int64()}
    kinds |= {name: pa.float64() for name in VALUE_COLUMNS if name != "volume"}
    return pa.table(
        {
            name: _days(values) if name == "session" else pa.array(values, kinds.get(name, _TEXT))
            for name, values in columns.items()
        }
    )


def _days(texts: list[str]) -> pa.Array:
    coded = pa.array(texts, pa.string()).dictionary_encode()
    days = pc.strptime(coded.dictionary, format="%Y-%m-%d", unit="s").cast(pa.date32())
    return days.take(coded.indices)


def _as_bars(dataset: Dataset, rows: pa.Table) -> pa.Table:
    """Some columns of bars as the lake has them, sorted by key."""
    for name, unit, kind in (("end_at", "s", END_AT_TYPE), ("fetched_at", "us", FETCHED_AT_TYPE)):
        if name in rows.column_names:
            instants = rows[name].cast(pa.timestamp(unit, tz="UTC")).cast(kind)
            rows = rows.set_column(rows.schema.get_field_index(name), name, instants)
    kept = [field for field in bar_schema(dataset) if field.name in rows.column_names]
    bars = rows.select([field.name for field in kept]).cast(pa.schema(kept)).combine_chunks()
    (keys,) = key_numbers(dataset, bars)
    if ascending(keys):
        return bars
    return bars.take(pa.array(np.argsort(keys, kind="stable")))


def _is_conflict(error: BaseException) -> bool:
    """Whether another writer was in the way, so that trying again may succeed."""
    text = str(error).lower()
    return "deadlock" in text or "database is locked" in text or "could not serialize" in text
