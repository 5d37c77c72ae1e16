"""Ex-rights as they are kept: append-only in SQL, and for readers of the lake as Parquet.

A record is never changed. Of one symbol and session the newest holds, so a correction supersedes
what was known, and what was known at an earlier instant can still be read.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from market.adjustments import Adjustment, AdjustMethod, ExRight, one_per_session, steps_of
from storage.catalog_rows import upsert
from storage.database import Database
from storage.errors import CorruptFileError
from storage.ex_right_tables import ex_right, ex_right_factor
from storage.files import discard_leftovers, make_folder, replace_file, unwritable
from storage.hashing import Content, HashingFile
from storage.lake_manifest import LakeManifest
from storage.tables import symbol

EX_RIGHT_FILE = Path("ex_right") / "ex_right.parquet"
"""Where they lie below the lake's root."""

EX_RIGHT_SCHEMA = pa.schema(
    [
        pa.field(name, kind, nullable=False, metadata={"meaning": meaning})
        for name, kind, meaning in (
            ("symbol", pa.string(), "symbol code"),
            ("ex_session", pa.date32(), "first session that trades without it"),
            ("previous_close", pa.float64(), "CNY, unadjusted close before it"),
            ("cash", pa.float64(), "CNY a share"),
            ("bonus", pa.float64(), "new shares a share"),
            ("rights", pa.float64(), "shares offered a share"),
            ("rights_price", pa.float64(), "CNY for one of them"),
            ("reference_price", pa.float64(), "CNY, the exchange's, rounded to 0.01"),
            ("factor", pa.float64(), "previous_close / reference_price"),
            ("source", pa.string(), "who delivered it"),
            ("recorded_at", pa.timestamp("us", tz="UTC"), "when it was recorded, UTC"),
        )
    ]
)
"""One row per symbol and ex-session, those that hold; sorted by both."""

_LOCK = 7_215_004
_NUMBERS = ("previous_close", "cash", "bonus", "rights", "rights_price")
_SAME = 1e-9
_FIRST_DAY, _LAST_DAY = date(1, 1, 1), date(9999, 12, 31)


class ExRights:
    """Ex-rights in SQL and in the lake.

    Args:
        database: Where they are kept.
        lake_root: The lake's folder, for the copy that plain readers use.
    """

    def __init__(self, database: Database, lake_root: Path) -> None:
        self._database = database
        self.path = Path(lake_root) / EX_RIGHT_FILE
        self._manifest = LakeManifest(lambda: database, lake_root)

    def record(
        self, found: Iterable[ExRight], *, whole: Collection[str] = (), source: str, run_id: str
    ) -> int:
        """Add what was found, where it differs from what is known. Idempotent.

        Those of one symbol and day are added up first. The copy in the lake follows.

        Args:
            found: Ex-rights of any symbols.
            whole: Symbols of which ``found`` holds all there are: others known of them are
                withdrawn by a newer record.
            source: Who delivered them.
            run_id: Who fetched them.

        Returns:
            How many records were added.

        Raises:
            StorageError: A store cannot be written; calling again repairs it.
        """
        by_symbol: dict[str, list[ExRight]] = {name: [] for name in whole}
        for event in one_per_session(found):
            by_symbol.setdefault(event.symbol, []).append(event)
        if not by_symbol:
            return 0
        with self._database.writing() as connection:
            self._database.serialise(connection, _LOCK)  # two would each miss the other's records
            ids = _symbol_ids(connection, by_symbol)
            known = _current(connection, by_symbol)
            rows = [
                _row(event, ids[name])
                for name, mine in sorted(by_symbol.items())
                for event in _news(known.get(name, {}), mine, whole=name in whole)
            ]
            if rows:
                stamp = {
                    "source": source,
                    "run_id": run_id,
                    # To the microsecond, as instants are told.
                    "recorded_at": round(self._database.now(connection), 6),
                }
                connection.execute(insert(ex_right), [{**row, **stamp} for row in rows])
                _write_factors(connection, ids, _current(connection, by_symbol))
        if rows or not self.path.exists():
            self.export()
        return len(rows)

    def read(
        self, symbols: Collection[str] | None = None, *, as_of: datetime | None = None
    ) -> list[ExRight]:
        """The ex-rights that hold, by symbol and session.

        Args:
            symbols: Whose; None: all.
            as_of: What was known at this instant (aware); None: now.

        Raises:
            StorageError: The database cannot be used.
        """
        with self._database.reading() as connection:
            current = _current(connection, symbols, as_of=as_of)
        return one_per_session(e for mine in current.values() for e in mine.values())

    def export(self) -> None:
        """Write the copy in the lake anew. Idempotent.

        Raises:
            UnwritableError: The folder cannot be written; the old copy stays.
        """
        lock = FileLock(self.path.parents[1] / ".locks" / "ex_right.lock")
        try:
            make_folder(Path(lock.lock_file).parent)
            lock.acquire()
        except OSError as error:
            raise unwritable(self.path, error) from error
        try:
            # Read under the lock, or an older state could be written over a newer one.
            table = self._table()
            discard_leftovers(self.path)
            written: list[Content] = []
            replace_file(self.path, lambda temporary: written.append(_write(table, temporary)))
            self._manifest.record(self.path, written[-1])
        finally:
            lock.release()

    def _table(self) -> pa.Table:
        with self._database.reading() as connection:
            rows = _current_rows(connection)
        columns: dict[str, list[object]] = {name: [] for name in EX_RIGHT_SCHEMA.names}
        for row in rows:
            event = _event(row)
            if event.is_void:
                continue
            for name in ("symbol", "ex_session", *_NUMBERS, "reference_price", "factor"):
                columns[name].append(getattr(event, name))
            columns["source"].append(row.source)
            columns["recorded_at"].append(datetime.fromtimestamp(row.recorded_at, UTC))
        return pa.table(columns, schema=EX_RIGHT_SCHEMA)


def read_lake_ex_rights(lake_root: Path, symbols: Collection[str] | None = None) -> list[ExRight]:
    """The ex-rights in the lake's copy, for readers without the database; none if there is no copy.

    Raises:
        CorruptFileError: It is no readable Parquet file.
    """
    path = Path(lake_root) / EX_RIGHT_FILE
    if not path.exists():
        return []
    filters = None if symbols is None else [("symbol", "in", sorted(symbols))]
    names = ["symbol", "ex_session", *_NUMBERS]
    try:
        with pa.OSFile(str(path)) as file:  # opened once, though it is replaced meanwhile
            table = pq.read_table(file, columns=names, filters=filters, partitioning=None)
        rows = table.to_pylist()
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise CorruptFileError(
            f"{path} is no readable Parquet file ({str(error).splitlines()[0]}): remove it, "
            "and the next sync that fetches ex-rights writes it anew from the database",
            {"path": str(path)},
        ) from error
    return [ExRight(**row) for row in rows]


def _write(table: pa.Table, path: Path) -> Content:
    with HashingFile(path.open("wb")) as file:
        pq.write_table(
            table, file, compression="zstd", compression_level=1, write_page_checksum=True
        )
        return file.content


def _symbol_ids(connection: Connection, names: Iterable[str]) -> dict[str, int]:
    """Ids of symbols; one that no list and no bar has named yet gets one."""
    wanted = sorted(names)
    query = select(symbol.c.symbol, symbol.c.id).where(symbol.c.symbol.in_(wanted))
    known = {code: number for code, number in connection.execute(query)}  # noqa: C416  (Rows)
    unknown = [{"symbol": name, "listed": False} for name in wanted if name not in known]
    if unknown:
        upsert(connection, symbol, symbol.c.symbol, unknown)
        known = {code: number for code, number in connection.execute(query)}  # noqa: C416
    return known


def _current_rows(
    connection: Connection,
    symbols: Collection[str] | None = None,
    *,
    as_of: datetime | None = None,
) -> Sequence[Row[tuple[object, ...]]]:
    newest = select(func.max(ex_right.c.id)).group_by(ex_right.c.symbol_id, ex_right.c.ex_session)
    if as_of is not None:
        newest = newest.where(ex_right.c.recorded_at <= as_of.timestamp())
    query = (
        select(symbol.c.symbol, ex_right)
        .join(symbol, symbol.c.id == ex_right.c.symbol_id)
        .where(ex_right.c.id.in_(newest))
        .order_by(symbol.c.symbol, ex_right.c.ex_session)
    )
    if symbols is not None:
        query = query.where(symbol.c.symbol.in_(sorted(symbols)))
    return connection.execute(query).all()


def _current(
    connection: Connection,
    symbols: Collection[str] | None = None,
    *,
    as_of: datetime | None = None,
) -> dict[str, dict[date, ExRight]]:
    """The records that hold, void ones too, by symbol and session."""
    current: dict[str, dict[date, ExRight]] = {}
    for row in _current_rows(connection, symbols, as_of=as_of):
        event = _event(row)
        current.setdefault(event.symbol, {})[event.ex_session] = event
    return current


def _event(row: Row[tuple[object, ...]]) -> ExRight:
    names = ("symbol", "ex_session", *_NUMBERS)
    return ExRight(**{name: getattr(row, name) for name in names})


def _row(event: ExRight, symbol_id: int) -> dict[str, object]:
    return {
        "symbol_id": symbol_id,
        "ex_session": event.ex_session,
        **{name: getattr(event, name) for name in _NUMBERS},
        "reference_price": event.reference_price,
    }


def _news(known: Mapping[date, ExRight], found: Sequence[ExRight], *, whole: bool) -> list[ExRight]:
    """What a symbol's records lack: new, corrected and withdrawn ex-rights."""
    news = [event for event in found if not _is_same(known.get(event.ex_session), event)]
    if whole:
        still = {event.ex_session for event in found}
        news += [
            ExRight(event.symbol, event.ex_session, event.previous_close)
            for event in known.values()
            if event.ex_session not in still and not event.is_void
        ]
    return news


def _is_same(known: ExRight | None, found: ExRight) -> bool:
    return known is not None and all(
        abs(getattr(known, name) - getattr(found, name)) < _SAME for name in _NUMBERS
    )


def move_ex_rights(connection: Connection, keep: int, other: int) -> None:
    """Give the ex-rights of one symbol id to another; follow it with :func:`write_factors_of`."""
    connection.execute(
        delete(ex_right_factor).where(ex_right_factor.c.symbol_id.in_([keep, other]))
    )
    connection.execute(update(ex_right).where(ex_right.c.symbol_id == other).values(symbol_id=keep))


def write_factors_of(connection: Connection, symbol_id: int, code: str) -> None:
    """Compute a symbol's factors anew, inside the caller's transaction.

    Args:
        connection: In the transaction.
        symbol_id: The symbol.
        code: The code it bears now.
    """
    _write_factors(connection, {code: symbol_id}, _current(connection, [code]))


def _write_factors(
    connection: Connection,
    ids: Mapping[str, int],
    current: Mapping[str, Mapping[date, ExRight]],
) -> None:
    """Compute the factors of symbols anew from the records that hold."""
    connection.execute(
        delete(ex_right_factor).where(ex_right_factor.c.symbol_id.in_(sorted(ids.values())))
    )
    rows = []
    for name, events in sorted(current.items()):
        qfq = steps_of(events.values(), Adjustment.QFQ, AdjustMethod.RATIO)
        hfq = steps_of(events.values(), Adjustment.HFQ, AdjustMethod.RATIO)
        ends = pairwise((_FIRST_DAY, *qfq.sessions, _LAST_DAY))
        rows += [
            {
                "symbol_id": ids[name],
                "valid_from": start,
                "valid_to": end,
                "qfq": forward,
                "hfq": back,
            }
            for (start, end), forward, back in zip(ends, qfq.slopes, hfq.slopes, strict=True)
        ]
    if rows:
        connection.execute(insert(ex_right_factor), rows)
