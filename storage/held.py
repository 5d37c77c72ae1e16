"""Single bars that are held, for comparing what is fetched with."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import select

from market.bars import BarState, Dataset
from market.periods import Period
from market.sessions import Window, bar_end
from storage.database import Database
from storage.tables import KLINE_TABLES, symbol


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
    bars = KLINE_TABLES[Dataset.KLINE, Period.DAILY]
    query = (
        select(bars.c.close, bars.c.state)
        .join(symbol, symbol.c.id == bars.c.symbol_id)
        .where(symbol.c.symbol == name)
        .where(bars.c.end_at < int(bar_end(before).timestamp()))
        .where(bars.c.end_at >= int(bar_end(since).timestamp()))
        .order_by(bars.c.end_at.desc())
        .limit(1)
    )
    with database.reading() as connection:
        found = connection.execute(query).one_or_none()
    if found is None or found.state != BarState.FINAL.value:
        return None
    return float(found.close)


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
