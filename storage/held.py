"""Single bars that are held, for comparing what is fetched with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import bindparam, exists, select

from market.bars import BarState, Dataset
from market.periods import Period
from market.sessions import Window, bar_end
from storage.database import Database
from storage.lake import Lake
from storage.tables import KLINE_TABLES, symbol

_LOOKBACK = timedelta(days=400)
"""Symbols that traded on no day of more than a year have no last bar."""


@dataclass(frozen=True, slots=True)
class LastBar:
    """The last final daily bar of a symbol before some session.

    Attributes:
        session: Its session.
        close: CNY, unadjusted.
        volume: Shares.
    """

    session: date
    close: float
    volume: int


def last_bars(lake: Lake, session: date) -> dict[str, LastBar]:
    """The last final daily bar before a session of every symbol that has one, by symbol.

    Raises:
        StorageError: The lake cannot be read.
    """
    window = Window(session - _LOOKBACK, session - timedelta(days=1))
    columns = ("symbol", "session", "close", "volume", "state")
    bars = lake.read(Dataset.KLINE, Period.DAILY, window=window, columns=columns)
    bars = bars.filter(pc.equal(bars["state"], BarState.FINAL.value))
    plain = bars.set_column(0, "symbol", bars["symbol"].cast(pa.string())).drop_columns("state")
    # Sorted by symbol and session, so the last row of a symbol is its latest.
    latest = plain.group_by("symbol", use_threads=False).aggregate(
        [("session", "last"), ("close", "last"), ("volume", "last")]
    )
    return {
        row["symbol"]: LastBar(row["session_last"], row["close_last"], row["volume_last"])
        for row in latest.to_pylist()
    }


def final_close_before(database: Database, name: str, before: date, *, since: date) -> float | None:
    """Raw close of the latest final daily bar that lies before a day, CNY.

    Args:
        database: Where bars are held.
        name: The symbol.
        before: The bar belongs to a session before this day.
        since: And to none before this one: None if there is no such bar.

    Raises:
        StorageError: The database cannot be used.
    """
    ends = {"before": int(bar_end(before).timestamp()), "since": int(bar_end(since).timestamp())}
    with database.reading() as connection:
        found = connection.execute(_CLOSE_BEFORE, {"name": name, **ends}).one_or_none()
    if found is None or found.state != BarState.FINAL.value:
        return None
    return float(found.close)


_DAILY = KLINE_TABLES[Dataset.KLINE, Period.DAILY]
_CLOSE_BEFORE = (  # made once: it is asked for thousands of symbols
    select(_DAILY.c.close, _DAILY.c.state)
    .join(symbol, symbol.c.id == _DAILY.c.symbol_id)
    .where(symbol.c.symbol == bindparam("name"))
    .where(_DAILY.c.end_at < bindparam("before"), _DAILY.c.end_at >= bindparam("since"))
    .order_by(_DAILY.c.end_at.desc())
    .limit(1)
)


def holding_daily_bars(database: Database, names: Sequence[str], window: Window) -> frozenset[str]:
    """Those of some symbols of which any daily bar is held within a closed window.

    Raises:
        StorageError: The database cannot be used.
    """
    ends = [int(bar_end(day).timestamp()) for day in (window.start, window.end)]
    held = exists().where(
        _DAILY.c.symbol_id == symbol.c.id, _DAILY.c.end_at.between(ends[0], ends[1])
    )
    with database.reading() as connection:
        query = select(symbol.c.symbol).where(symbol.c.symbol.in_(names), held)
        return frozenset(connection.scalars(query))


@dataclass(frozen=True, slots=True)
class HeldBar:
    """Which bar is held, and from whom.

    Attributes:
        session: The day it belongs to.
        end_at: Its end, Unix seconds.
        source: Who delivered it.
    """

    session: date
    end_at: int
    source: str


def held_bars(database: Database, name: str, period: Period, window: Window) -> list[HeldBar]:
    """The bars held of a symbol within a window, ascending; none of minutes that SQL has dropped.

    Raises:
        StorageError: The database cannot be used.
    """
    bars = KLINE_TABLES[Dataset.KLINE, period]
    query = (
        select(bars.c.session, bars.c.end_at, bars.c.source)
        .join(symbol, symbol.c.id == bars.c.symbol_id)
        .where(symbol.c.symbol == name)
        .where(bars.c.session >= window.start, bars.c.session <= window.end)
        .order_by(bars.c.end_at)
    )
    with database.reading() as connection:
        return [HeldBar(*row) for row in connection.execute(query)]
