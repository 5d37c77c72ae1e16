"""Other ways to store the same bars, each written as a fair baseline by someone who means well.

All of them start from bars in memory and end with bars that are durable; each round writes into
stores that are empty.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import (
    BigInteger,
    Date,
    Double,
    Engine,
    String,
    create_engine,
    event,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from market.bars import VALUE_COLUMNS
from market.periods import Period
from market.sessions import Window, exchange_calendar
from pipeline.bench.figures import Figure, Section
from pipeline.bench.postgresql_server import run_postgresql
from pipeline.bench.redis_server import MissingServerError
from pipeline.bench.sections import Bench
from pipeline.bench.stores import KLINE, Stores
from pipeline.bench.synthetic import Market, symbols
from pipeline.bench.timing import Timed

_SESSIONS = Window(date(2024, 1, 1), date(2025, 12, 31))
_BATCH = 1000  # rows of a statement, as the manuals advise
_CARRIED = (*VALUE_COLUMNS, "state", "source", "fetched_at")


class _Base(DeclarativeBase):
    pass


class PeerBar(_Base):
    """A bar as an ORM would map it: the same columns and key as ours, the code as its text."""

    __tablename__ = "peer_bar"

    symbol: Mapped[str] = mapped_column(String(16), primary_key=True)
    end_at: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    session: Mapped[date] = mapped_column(Date)
    open: Mapped[float | None] = mapped_column(Double)
    high: Mapped[float] = mapped_column(Double)
    low: Mapped[float] = mapped_column(Double)
    close: Mapped[float] = mapped_column(Double)
    volume: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[float] = mapped_column(Double)
    turnover_rate: Mapped[float | None] = mapped_column(Double)
    state: Mapped[str] = mapped_column(String(16))
    source: Mapped[str] = mapped_column(String(32))
    fetched_at: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True, slots=True)
class _Bars:
    """The bars in the forms that the ways start from."""

    table: pa.Table
    frame: pd.DataFrame
    by_symbol: dict[str, pa.Table]


def measure(bench: Bench) -> Section:
    """Measure all of them; without PostgreSQL where none can be started."""
    many, days = bench.size(200, 10), bench.size(250, 20)
    rounds = bench.size(3, 1)
    bars = _bars(bench, many, days)
    section = Section(
        "Against other ways",
        f"{bars.table.num_rows:,} daily bars of {many} symbols in memory, written in turn into "
        f"empty stores, durable at the end; median of {rounds}. The peers merge nothing, keep no "
        "revisions and no manifest; to_sql cannot even be repeated.",
    )
    files = _sqlite_files(bench.folder)
    section.figures += _files(bench, bars, rounds, files)
    section.figures += _databases(bench, bars, rounds, "SQLite", files)
    try:
        with run_postgresql() as url:
            fresh = _postgresql_database(url, bench.folder)
            section.figures += _databases(bench, bars, rounds, "PostgreSQL", fresh)
    except MissingServerError as error:
        section.missing.append(error.message)
    return section


def _bars(bench: Bench, many: int, days: int) -> _Bars:
    names = symbols(many)
    sessions = exchange_calendar().sessions_in(_SESSIONS)[-days:]
    market = Market(Period.DAILY, names, sessions, bench.seed)
    table = market.bars(0, many)
    frame = table.to_pandas()
    frame["end_at"] = frame["end_at"].dt.tz_convert("UTC").dt.as_unit("s").astype("int64")
    frame["fetched_at"] = frame["fetched_at"].dt.as_unit("us").astype("int64")
    for name in ("symbol", "state", "source"):
        frame[name] = frame[name].astype(str)
    return _Bars(table, frame, {name: market.bars(at, at + 1) for at, name in enumerate(names)})


NewDatabase = Callable[[], str]
"""Gives the URL of a database that has our tables and no rows."""


def _files(bench: Bench, bars: _Bars, rounds: int, new: NewDatabase) -> list[Figure]:
    bench.say("files")
    timed = {"lake": Timed(), "files": Timed()}
    for round_ in range(rounds + 1):  # the first is to warm up
        folder = bench.folder / f"lake-{round_}"
        with _stores(folder, new()) as stores:
            _timed(timed["lake"], round_, partial(_lake, stores, bars), bars)
        _timed(timed["files"], round_, partial(_file_per_symbol, bars, folder / "files"), bars)
        shutil.rmtree(folder)
    return [_figure("one Parquet file per symbol", timed["files"], "our lake", timed["lake"], bars)]


def _lake(stores: Stores, bars: _Bars) -> int:
    return sum(part.inserted for part in stores.lake.write(KLINE, Period.DAILY, bars.table))


def _file_per_symbol(bars: _Bars, folder: Path) -> int:
    """Each symbol's file read if it is there, written beside, made durable, moved to its place."""
    folder.mkdir()
    for name, table in bars.by_symbol.items():
        path, beside = folder / f"{name}.parquet", folder / f".{name}.tmp"
        held = [pq.read_table(path)] if path.exists() else []
        pq.write_table(pa.concat_tables([*held, table]), beside, compression="zstd")
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.rename(path)
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    return sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))


def _databases(
    bench: Bench, bars: _Bars, rounds: int, named: str, new: NewDatabase
) -> list[Figure]:
    bench.say(named)

    ways = {"pandas to_sql": _to_sql, "iterrows with ORM upserts": _iterrows}
    timed = {name: Timed() for name in ("ours", *ways)}
    for round_ in range(rounds + 1):
        with _stores(bench.folder / f"{named}-{round_}", new()) as stores:
            _timed(timed["ours"], round_, partial(_warehouse, stores, bars), bars)
        for name, way in ways.items():
            with _engine(new()) as engine:
                _timed(timed[name], round_, partial(way, bars.frame, engine), bars)
    return [
        _figure(f"{named}: {name}", timed[name], "our warehouse", timed["ours"], bars)
        for name in ways
    ]


def _timed(kept: Timed, round_: int, work: Callable[[], int], bars: _Bars) -> None:
    """Measure a round, and that it stored all bars; the first round is to warm up."""
    stored: list[int] = []
    (kept if round_ else Timed()).add(lambda: stored.append(work()))
    if stored != [bars.table.num_rows]:
        raise AssertionError(f"{stored} rows were stored instead of {bars.table.num_rows}")


def _warehouse(stores: Stores, bars: _Bars) -> int:
    return stores.warehouse.write_bars(KLINE, Period.DAILY, bars.table).inserted


def _to_sql(frame: pd.DataFrame, engine: Engine) -> int:
    """All rows appended in one transaction; a second time they would stand there twice."""
    with engine.begin() as connection:
        frame.to_sql("peer_bar", connection, if_exists="append", index=False, chunksize=10_000)
    return _count(engine)


def _iterrows(frame: pd.DataFrame, engine: Engine) -> int:
    """Row by row into dictionaries, upserted by the ORM in batches, one commit each."""
    insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
    statement = insert(PeerBar)
    changes = {name: statement.excluded[name] for name in ("session", *_CARRIED)}
    upsert = statement.on_conflict_do_update(index_elements=["symbol", "end_at"], set_=changes)
    with Session(engine) as session:
        batch: list[Any] = []
        for _, row in frame.iterrows():
            batch.append(row.to_dict())
            if len(batch) == _BATCH:
                session.execute(upsert, batch)
                session.commit()
                batch = []
        if batch:
            session.execute(upsert, batch)
            session.commit()
    return _count(engine)


def _count(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(PeerBar)) or 0)


@contextlib.contextmanager
def _stores(folder: Path, url: str) -> Iterator[Stores]:
    with contextlib.closing(Stores(folder, url)) as stores:
        yield stores


@contextlib.contextmanager
def _engine(url: str) -> Iterator[Engine]:
    """An engine on an empty database with the peers' table."""
    engine = create_engine(make_url(url).set(drivername=_DRIVERS[make_url(url).drivername]))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _as_ours)
    _Base.metadata.create_all(engine)
    try:
        yield engine
    finally:
        engine.dispose()


_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}


def _as_ours(connection: Any, _record: object) -> None:
    """The journal and the durability that our own file has."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _sqlite_files(folder: Path) -> NewDatabase:
    """Copies of one file: migrating takes a hundred times as long."""
    made, numbers = Stores(folder / "migrated"), count()
    made.close()

    def new() -> str:
        return f"sqlite:///{shutil.copy(made.sqlite_file, folder / f'peer-{next(numbers)}.db')}"

    return new


def _postgresql_database(url: str, folder: Path) -> NewDatabase:
    """One database, emptied each time: to copy it takes longer than all that is measured."""
    with contextlib.closing(Stores(folder / "served", url)) as made:
        engine = made.database.engine

    def new() -> str:
        with engine.begin() as connection:
            connection.execute(text("TRUNCATE symbol CASCADE"))
            connection.execute(text("DROP TABLE IF EXISTS peer_bar"))
        engine.dispose()
        return url

    return new


def _figure(name: str, theirs: Timed, against: str, ours: Timed, bars: _Bars) -> Figure:
    rows = bars.table.num_rows
    return Figure(
        name,
        rows / theirs.median_s,
        "rows/s",
        against,
        rows / ours.median_s,
        samples=tuple(rows / seconds for seconds in theirs.wall),
    )
