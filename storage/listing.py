"""What a whole list of symbols tells beyond the list: names, listing, delisting, suspensions.

Everything here is written in the transaction that takes the list.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date

import pyarrow as pa
from sqlalchemy import Connection, Select, delete, func, insert, select

from market.bars import Dataset
from market.sessions import exchange_calendar
from storage.database import Database
from storage.identity_tables import symbol_listing, symbol_name
from storage.no_trade import LIST_PERIOD, Proof, add_no_trade
from storage.tables import symbol

_FIRST_DAY_MARK = "N"
"""What the exchange puts before a name on the day of its listing, and on no other."""


def proven_suspended(listing: pa.Table) -> frozenset[str]:
    """Symbols without a price on the list of a settled session.

    A list on which most symbols have none shows quotes that were reset before the open, and proves
    nothing of anybody.
    """
    names = listing["symbol"].to_pylist()
    found = frozenset(
        name for name, idle in zip(names, listing["suspended"].to_pylist(), strict=True) if idle
    )
    return found if len(found) * 2 <= len(names) else frozenset()


def note_suspended(connection: Connection, suspended: Collection[str], session: date) -> None:
    """Record that symbols did not trade in a settled session. Idempotent."""
    days = {name: [session] for name in suspended}
    add_no_trade(connection, Dataset.KLINE, LIST_PERIOD, Proof.LIST, days)


def note_listing(
    connection: Connection, names: Mapping[str, str], session: date, before: date | None
) -> None:
    """Record names from the session they are first seen, listings and delistings. Idempotent.

    Args:
        connection: In the transaction that takes the list.
        names: The name of every listed symbol, all of them in the catalog.
        session: The session the list shows.
        before: The session of the list taken before; None: this is the first.
    """
    known = {row.symbol: row for row in connection.execute(_known()).all()}
    _note_names(connection, {name: known[name].id for name in names}, names, session)
    for name, row in known.items():
        listed_on, delisted_on = row.listed_on, row.delisted_on
        if name in names:
            delisted_on = None
            if row.first_listed == session and _is_first_day(names[name], session, before):
                listed_on = session
        elif delisted_on is None:
            delisted_on = session
        if (listed_on, delisted_on) != (row.listed_on, row.delisted_on):
            connection.execute(delete(symbol_listing).where(symbol_listing.c.symbol_id == row.id))
            connection.execute(
                insert(symbol_listing).values(
                    symbol_id=row.id, listed_on=listed_on, delisted_on=delisted_on
                )
            )


def read_listed_on(database: Database) -> dict[str, date]:
    """The first session of every symbol of which lists prove it.

    Raises:
        StorageError: The database cannot be used.
    """
    query = (
        select(symbol.c.symbol, symbol_listing.c.listed_on)
        .join(symbol_listing, symbol_listing.c.symbol_id == symbol.c.id)
        .where(symbol_listing.c.listed_on.is_not(None))
    )
    with database.reading() as connection:
        return {name: first for name, first in connection.execute(query)}  # noqa: C416  (Rows)


def _known() -> Select[tuple[int, str, date | None, date | None, date | None]]:
    return select(
        symbol.c.id,
        symbol.c.symbol,
        symbol.c.first_listed,
        symbol_listing.c.listed_on,
        symbol_listing.c.delisted_on,
    ).join(symbol_listing, symbol_listing.c.symbol_id == symbol.c.id, isouter=True)


def _is_first_day(name: str, session: date, before: date | None) -> bool:
    """Whether a symbol that a list names for the first time was listed on that very session."""
    if name.startswith(_FIRST_DAY_MARK):
        return True
    # It was on no list of the session before, so it can only be new.
    return before is not None and before == exchange_calendar().offset(session, -1)


def _note_names(
    connection: Connection, ids: Mapping[str, int], names: Mapping[str, str], session: date
) -> None:
    newest = (
        select(symbol_name.c.symbol_id, func.max(symbol_name.c.valid_from).label("since"))
        .group_by(symbol_name.c.symbol_id)
        .subquery()
    )
    query = select(symbol_name.c.symbol_id, symbol_name.c.name).join(
        newest,
        (newest.c.symbol_id == symbol_name.c.symbol_id)
        & (newest.c.since == symbol_name.c.valid_from),
    )
    said = {number: name for number, name in connection.execute(query).all()}  # noqa: C416
    changed = [(ids[code], name) for code, name in names.items() if said.get(ids[code]) != name]
    for group in _chunks(changed):
        mine = symbol_name.c.symbol_id.in_([number for number, _ in group])
        connection.execute(delete(symbol_name).where(mine, symbol_name.c.valid_from == session))
        connection.execute(
            insert(symbol_name),
            [{"symbol_id": n, "valid_from": session, "name": name} for n, name in group],
        )


def _chunks(
    rows: Sequence[tuple[int, str]], size: int = 500
) -> Iterator[Sequence[tuple[int, str]]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
