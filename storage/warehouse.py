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
from storage.database import Database
from storage.tables import KLINE_TABLES

_NULLABLE = ("open", "turnover_rate")
_CARRIED = (*VALUE_COLUMNS, "state", "source", "fetched_at")


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
            bars: In the dataset's schema, one row per key.

        Raises:
            StorageError: The database cannot be used; nothing was written.
        """
        if not bars.num_rows:
            return WriteCount(0, 0, 0, 0)
        incoming = self._columns(dataset, bars)
        statements = _Statements(dataset, period, is_sqlite=self._database.is_sqlite)
        retrying = Retrying(
            stop=stop_after_attempt(5),
            wait=wait_random_exponential(multiplier=0.1, max=5),
            retry=retry_if_exception(_is_conflict),
            reraise=True,
        )
        upsert = self._upsert_sqlite if self._database.is_sqlite else self._upsert_postgresql
        return retrying(upsert, incoming, statements)

    def _upsert_sqlite(self, incoming: pa.Table, statements: "_Statements") -> WriteCount:
        columns = [column.to_pylist() for column in incoming.columns]
        with self._database.writing() as connection:
            cursor = connection.connection.cursor()
            cursor.execute(f"CREATE TEMP TABLE incoming ({', '.join(incoming.column_names)})")
            places = ", ".join("?" * len(columns))
            cursor.executemany(
                f"INSERT INTO incoming VALUES ({places})",  # noqa: S608
                list(zip(*columns, strict=True)),
            )
            count = _apply(cursor, statements)
            cursor.execute("DROP TABLE incoming")
            cursor.close()
        return count

    def _upsert_postgresql(self, incoming: pa.Table, statements: "_Statements") -> WriteCount:
        with self._database.adbc() as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("incoming", incoming, mode="create", temporary=True)
            count = _apply(cursor, statements)
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
        statements = _Statements(dataset, period, is_sqlite=self._database.is_sqlite)
        conditions = []
        if window is not None:
            start, end = window.start.isoformat(), window.end.isoformat()
            conditions.append(f"k.session >= '{start}' AND k.session <= '{end}'")
        if names is not None:
            listed = ", ".join("'" + name.replace("'", "''") + "'" for name in sorted(names))
            conditions.append(f"o.{statements.code} IN ({listed or 'NULL'})")
        query = statements.select(conditions)
        if self._database.is_sqlite:
            with self._database.reading() as connection:
                result = connection.exec_driver_sql(query)
                names_of, rows = list(result.keys()), result.fetchall()
            columns = zip(*rows, strict=True) if rows else [[] for _ in names_of]
            return _as_bars(dataset, dict(zip(names_of, map(list, columns), strict=True)))
        with self._database.adbc() as connection, connection.cursor() as cursor:
            cursor.execute(query)
            table = cursor.fetch_arrow_table()
        return _as_bars(dataset, {name: table[name] for name in table.column_names})

    def sessions(self, dataset: Dataset, period: Period) -> list[date]:
        """The sessions of which bars are held, ascending."""
        table = KLINE_TABLES[dataset, period]
        with self._database.reading() as connection:
            column = table.c.session
            return list(connection.scalars(select(column).distinct().order_by(column)))


class _Statements:
    """The SQL of one kline table, in words that SQLite and PostgreSQL share."""

    def __init__(self, dataset: Dataset, period: Period, *, is_sqlite: bool) -> None:
        self.owner = dataset.key
        self.code = "symbol" if dataset is Dataset.KLINE else "code"
        self.table = f'"{KLINE_TABLES[dataset, period].name}"'
        self._dataset, self._period = dataset, period
        self._flag = "0" if is_sqlite else "false"
        kept = {n: f"COALESCE(i.{n}, t.{n})" if n in _NULLABLE else f"i.{n}" for n in _CARRIED}
        self._differs = " OR ".join(
            f"{kept[n]} IS DISTINCT FROM t.{n}" for n in (*VALUE_COLUMNS, "state")
        )
        self._outranks = (
            "((i.state = 'final' AND t.state <> 'final') "
            "OR (i.state = t.state AND i.fetched_at > t.fetched_at))"
        )

    @property
    def add_owners(self) -> str:
        """Give every symbol or board that is new an id."""
        flag = "listed" if self._dataset is Dataset.KLINE else "active"
        return (
            f"INSERT INTO {self.owner} ({self.code}, {flag}) "  # noqa: S608
            f"SELECT DISTINCT owner, {self._flag} FROM incoming WHERE owner NOT IN "
            f"(SELECT {self.code} FROM {self.owner}) ON CONFLICT DO NOTHING"
        )

    @property
    def _joined(self) -> str:
        return (
            f"FROM incoming i JOIN {self.owner} o ON o.{self.code} = i.owner "
            f"LEFT JOIN {self.table} t ON t.{self.owner}_id = o.id AND t.end_at = i.end_at"
        )

    @property
    def count(self) -> str:
        """Rows, rows whose key is held, rows that will change one, and revisions among these."""
        changes = f"t.end_at IS NOT NULL AND {self._outranks} AND ({self._differs})"
        return (
            "SELECT count(*), count(t.end_at), "
            f"sum(CASE WHEN {changes} THEN 1 ELSE 0 END), "
            f"sum(CASE WHEN {changes} AND t.state = 'final' AND i.state = 'final' "
            f"THEN 1 ELSE 0 END) {self._joined}"
        )

    @property
    def keep_revised(self) -> str:
        """Keep the final bars that are about to be replaced by different final ones."""
        columns = ", ".join(_CARRIED)
        old = ", ".join(f"t.{name}" for name in _CARRIED)
        return (
            "INSERT INTO kline_revision "
            f"(dataset, period, subject_id, end_at, {columns}, revised_at) "
            f"SELECT '{self._dataset.value}', '{self._period.value}', o.id, t.end_at, {old}, "
            f"i.fetched_at {self._joined} WHERE t.end_at IS NOT NULL AND t.state = 'final' "
            f"AND i.state = 'final' AND {self._outranks} AND ({self._differs})"
        )

    @property
    def upsert(self) -> str:
        """Insert what is new, change what differs; sorted, so that two writers never deadlock."""
        columns = ", ".join(_CARRIED)
        values = ", ".join(f"i.{name}" for name in _CARRIED)
        excluded = {
            n: f"COALESCE(excluded.{n}, {self.table}.{n})" if n in _NULLABLE else f"excluded.{n}"
            for n in _CARRIED
        }
        rename = {"i.": "excluded.", "t.": f"{self.table}."}
        condition = f"{self._outranks} AND ({self._differs})"
        for short, long in rename.items():
            condition = condition.replace(f" {short}", f" {long}").replace(f"({short}", f"({long}")
        return (
            f"INSERT INTO {self.table} ({self.owner}_id, end_at, session, {columns}) "  # noqa: S608
            f"SELECT o.id, i.end_at, i.session, {values} FROM incoming i "
            f"JOIN {self.owner} o ON o.{self.code} = i.owner WHERE true "
            f"ORDER BY o.id, i.end_at ON CONFLICT ({self.owner}_id, end_at) DO UPDATE SET "
            + ", ".join(f"{name} = {excluded[name]}" for name in _CARRIED)
            + f" WHERE {condition}"
        )

    def select(self, conditions: list[str]) -> str:
        """All columns of the bars that meet the conditions."""
        columns = ", ".join(f"k.{name}" for name in ("end_at", "session", *_CARRIED))
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return (
            f"SELECT o.{self.code} AS {self.owner}, {columns} FROM {self.table} k "  # noqa: S608
            f"JOIN {self.owner} o ON o.id = k.{self.owner}_id{where}"
        )


def _apply(cursor: Any, statements: _Statements) -> WriteCount:
    """Apply the temporary table ``incoming`` to the bars held, inside the caller's transaction."""
    cursor.execute(statements.add_owners)
    cursor.execute(statements.count)
    total, known, updated, revised = (int(n or 0) for n in cursor.fetchone())
    if revised:
        cursor.execute(statements.keep_revised)
    if updated or known < total:
        cursor.execute(statements.upsert)
    return WriteCount(total - known, updated, known - updated, revised)


def _as_bars(dataset: Dataset, rows: Mapping[str, Any]) -> pa.Table:
    if not len(rows["end_at"]):
        return bar_schema(dataset).empty_table()
    sessions = (
        pa.chunked_array([rows["session"]])
        if isinstance(rows["session"], list)
        else (rows["session"])
    )
    if not pa.types.is_date(sessions.type):
        sessions = pc.strptime(sessions, format="%Y-%m-%d", unit="s").cast(pa.date32())
    columns: dict[str, Any] = dict(rows)
    columns["session"] = sessions
    columns["end_at"] = _instants(rows["end_at"], "s", END_AT_TYPE)
    columns["fetched_at"] = _instants(rows["fetched_at"], "us", FETCHED_AT_TYPE)
    for name in VALUE_COLUMNS:
        kind = pa.int64() if name == "volume" else pa.float64()
        columns[name] = pa.array(rows[name], kind) if isinstance(rows[name], list) else rows[name]
    return sorted_bars(dataset, pa.table(columns))


def _instants(values: Any, unit: str, kind: pa.DataType) -> pa.Array:
    numbers = pa.array(values, pa.int64()) if isinstance(values, list) else values
    return numbers.cast(pa.timestamp(unit, tz="UTC")).cast(kind)


def _is_conflict(error: BaseException) -> bool:
    """Whether another writer was in the way, so that trying again may succeed."""
    text = str(error).lower()
    return "deadlock" in text or "database is locked" in text or "could not serialize" in text
