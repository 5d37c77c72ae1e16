"""Single bars that are held, for comparing what is fetched with."""

from datetime import date

from sqlalchemy import select

from market.bars import BarState, Dataset
from market.periods import Period
from market.sessions import bar_end
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
