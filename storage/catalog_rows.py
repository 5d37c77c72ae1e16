"""Rows of the catalog, written set-wise inside the caller's transaction."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, select, update

from storage.tables import board, board_member, board_name, symbol
from storage.upserts import insert_into


def upsert(
    connection: Connection,
    table: Table,
    key: ColumnElement[str],
    rows: Sequence[Mapping[str, object]],
) -> None:
    """Insert rows, or give those whose key is there the values; a ``first_listed`` known stays.

    Sorted by key, so that two writers never deadlock. Idempotent.
    """
    if not rows:
        return
    statement = insert_into(connection, table)
    values: dict[str, Any] = {n: statement.excluded[n] for n in rows[0] if n != key.name}
    if "first_listed" in values:
        values["first_listed"] = func.coalesce(
            table.c.first_listed, statement.excluded.first_listed
        )
    connection.execute(
        statement.on_conflict_do_update(index_elements=[key.name], set_=values),
        sorted((dict(row) for row in rows), key=lambda row: str(row[key.name])),
    )


def name_boards(connection: Connection, names: Mapping[str, str], session: date) -> None:
    """Note the names that boards, which must be there, bear from a session on. Idempotent."""
    for code, number in _ids(connection, board, board.c.code, names).items():
        mine = {"board_id": number, "valid_from": session}
        connection.execute(delete(board_name).filter_by(**mine))
        connection.execute(board_name.insert().values(**mine, name=names[code]))


def open_members(connection: Connection, board_id: int) -> dict[str, int]:
    """Symbols in a board now, with their ids."""
    rows = connection.execute(
        select(symbol.c.symbol, symbol.c.id)
        .join(board_member, board_member.c.symbol_id == symbol.c.id)
        .where(board_member.c.board_id == board_id, board_member.c.valid_to.is_(None))
    )
    return {code: number for code, number in rows}  # noqa: C416  (rows are Row, not tuple)


def open_intervals(
    connection: Connection, board_id: int, names: Mapping[str, str], session: date
) -> None:
    """Let symbols, known or not, be members from a session on."""
    unknown = names.keys() - _ids(connection, symbol, symbol.c.symbol, names).keys()
    upsert(
        connection,
        symbol,
        symbol.c.symbol,
        [{"symbol": code, "name": names[code], "listed": False} for code in unknown],
    )
    ids = sorted(_ids(connection, symbol, symbol.c.symbol, names).values())
    # Left and joined again within one session: the interval was never closed to a reader.
    closed = and_(board_member.c.board_id == board_id, board_member.c.valid_to == session)
    reopened = set(connection.scalars(select(board_member.c.symbol_id).where(closed))) & set(ids)
    for number in reopened:
        mine = and_(closed, board_member.c.symbol_id == number)
        connection.execute(update(board_member).where(mine).values(valid_to=None))
    rows = [
        {"board_id": board_id, "symbol_id": number, "valid_from": session, "valid_to": None}
        for number in ids
        if number not in reopened
    ]
    if rows:
        connection.execute(board_member.insert(), rows)


def close_intervals(
    connection: Connection, board_id: int, members: Sequence[int], session: date
) -> None:
    """Let members be none from a session on."""
    for number in members:
        mine = and_(
            board_member.c.board_id == board_id,
            board_member.c.symbol_id == number,
            board_member.c.valid_to.is_(None),
        )
        # Joined and left within one session: it was a member on no session.
        connection.execute(delete(board_member).where(mine, board_member.c.valid_from == session))
        connection.execute(update(board_member).where(mine).values(valid_to=session))


def _ids(
    connection: Connection, table: Table, key: ColumnElement[str], codes: Mapping[str, str]
) -> dict[str, int]:
    if not codes:
        return {}
    rows = connection.execute(select(key, table.c.id).where(key.in_(sorted(codes))))
    return {code: number for code, number in rows}  # noqa: C416  (rows are Row, not tuple)
