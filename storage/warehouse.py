"""The warehouse: the same bars in SQL, upserted set-wise from Arrow.

The rows go into a temporary table (PostgreSQL: by ADBC), then one ``INSERT … ON CONFLICT`` applies
the rule of :mod:`storage.merging`. A row that changes nothing is not touched, so a re-run is the
fastest path.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

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
    sorted_bars,
)
from market.periods import Period
from market.sessions import Window
from storage.aliases import all_codes, read_aliases, under_present_codes
from storage.database import Database
from storage.merging import one_per_key
from storage.tables import KLINE_TABLES
from storage.warehouse_statements import Statements

_FETCH_ROWS = 50_000


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
        arrived = {"incoming": self._columns(dataset, single)}
        if single.num_rows < bars.num_rows:
            arrived["repeated"] = self._columns(dataset, bars)
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
        with self._database.writing() as connection:
            cursor = connection.connection.cursor()
            for name, bars in arrived.items():
                cursor.execute(f"CREATE TEMP TABLE {name} ({', '.join(bars.column_names)})")
                places = ", ".join("?" * bars.num_columns)
                columns = [column.to_pylist() for column in bars.columns]
                cursor.executemany(
                    f"INSERT INTO {name} VALUES ({places})",  # noqa: S608
                    list(zip(*columns, strict=True)),
                )
            count = _apply(cursor, statements, arrived)
            for name in arrived:
                cursor.execute(f"DROP TABLE {name}")
            cursor.close()
        return count

    def _upsert_postgresql(
        self, arrived: Mapping[str, pa.Table], statements: Statements
    ) -> WriteCount:
        with self._database.adbc() as connection, connection.cursor() as cursor:
            for name, bars in arrived.items():
                cursor.adbc_ingest(name, bars, mode="create", temporary=True)
            # One writer a table, as in SQLite: between the statements below nobody may change what
            # they compare with, or a revision would go unseen.
            cursor.execute(statements.lock)
            count = _apply(cursor, statements, arrived)
            connection.commit()
        return count

    def _columns(self, dataset: Dataset, bars: pa.Table) -> pa.Table:
        sessions = bars["session"]
        return pa.table(
            {
                "owner": bars[dataset.key].cast(pa.string()),
                "end_at": bars["end_at"].cast(pa.int64()),
                # SQLite keeps dates as ISO text.
                "session": sessions.cast(pa.string()) if self._database.is_sqlite else sessions,
                **{name: bars[name] for name in VALUE_COLUMNS},
                "state": bars["state"].cast(pa.string()),
                "source": bars["source"].cast(pa.string()),
                "fetched_at": bars["fetched_at"].cast(pa.int64()),
            }
        )

    def read_bars(
        self,
        dataset: Dataset,
        period: Period,
        *,
        names: Collection[str] | None = None,
        window: Window | None = None,
    ) -> pa.Table:
        """Bars of some symbols (or boards) in a closed window, in the dataset's schema, sorted.

        Raises:
            StorageError: The database cannot be used.
        """
        statements = Statements(dataset, period, is_sqlite=self._database.is_sqlite)
        conditions = []
        if window is not None:
            start, end = window.start.isoformat(), window.end.isoformat()
            conditions.append(f"k.session >= '{start}' AND k.session <= '{end}'")
        if names is not None:
            if dataset is Dataset.KLINE:
                names = all_codes(names, read_aliases(self._database))
            listed = ", ".join("'" + name.replace("'", "''") + "'" for name in sorted(names))
            conditions.append(f"o.{statements.code} IN ({listed or 'NULL'})")
        query = statements.select(conditions)
        if self._database.is_sqlite:
            return self._read_sqlite(dataset, query)
        with self._database.adbc() as connection, connection.cursor() as cursor:
            cursor.execute(query)
            table = cursor.fetch_arrow_table()
        return _as_bars(dataset, table)

    def _read_sqlite(self, dataset: Dataset, query: str) -> pa.Table:
        with self._database.reading() as connection:
            connection.begin()
            cursor = connection.connection.cursor()
            cursor.execute(query)
            names = [column[0] for column in cursor.description]
            tables = []
            # In portions: a year of the market as Python objects would not fit in memory.
            while rows := cursor.fetchmany(_FETCH_ROWS):
                columns = map(list, zip(*rows, strict=True))
                tables.append(_typed(dict(zip(names, columns, strict=True))))
            cursor.close()
        return _as_bars(dataset, pa.concat_tables(tables)) if tables else _as_bars(dataset, None)

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


def _apply(cursor: Any, statements: Statements, arrived: Collection[str]) -> WriteCount:
    """Apply the temporary table ``incoming`` to the bars held, inside the caller's transaction."""
    cursor.execute(statements.add_owners)
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


def _typed(columns: dict[str, list[Any]]) -> pa.Table:
    """Rows of SQLite, which knows no dates, with the types that PostgreSQL gives."""
    days = pa.array(columns["session"], pa.string()).dictionary_encode()
    parsed = pc.strptime(days.dictionary, format="%Y-%m-%d", unit="s").cast(pa.date32())
    kinds = {"end_at": pa.int64(), "fetched_at": pa.int64(), "volume": pa.int64()}
    kinds |= {name: pa.float64() for name in VALUE_COLUMNS if name != "volume"}
    return pa.table(
        {
            name: parsed.take(days.indices)
            if name == "session"
            else pa.array(values, kinds.get(name, pa.string()))
            for name, values in columns.items()
        }
    )


def _as_bars(dataset: Dataset, rows: pa.Table | None) -> pa.Table:
    if rows is None or not rows.num_rows:
        return bar_schema(dataset).empty_table()
    for name, unit, kind in (("end_at", "s", END_AT_TYPE), ("fetched_at", "us", FETCHED_AT_TYPE)):
        instants = rows[name].cast(pa.timestamp(unit, tz="UTC")).cast(kind)
        rows = rows.set_column(rows.schema.get_field_index(name), name, instants)
    return sorted_bars(dataset, rows)


def _is_conflict(error: BaseException) -> bool:
    """Whether another writer was in the way, so that trying again may succeed."""
    text = str(error).lower()
    return "deadlock" in text or "database is locked" in text or "could not serialize" in text
