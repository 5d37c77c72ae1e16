"""The catalog: symbols, boards and members, and when a fetched list may replace the one held.

A list is replaced only when it is proven whole. That its rows equal the upstream's own total is
proven where it is fetched; here it is held against what was known: a list that was cut at a full
page, or shrunk by more than a tenth, is set aside until a second run sees the same.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, Table, insert, select, update

from market.boards import BoardKind, InvalidBoardError
from storage.database import Database
from storage.tables import board, board_member, board_name, list_quarantine, symbol

_PAGE = 100
_SHRINK_SHARE = 0.1
_SHRINK_ROWS = 2


@dataclass(frozen=True, slots=True)
class ListChange:
    """What a fetched list did to the one held.

    Attributes:
        accepted: False if it was set aside; the list held stays.
        reason: Why it was set aside.
    """

    accepted: bool
    reason: str | None = None
    added: int = 0
    removed: int = 0
    renamed: int = 0


@dataclass(frozen=True, slots=True)
class SymbolRow:
    """A symbol as the lists show it."""

    symbol: str
    name: str | None
    listed: bool
    first_listed: date | None
    last_listed: date | None
    suspended_on: date | None


@dataclass(frozen=True, slots=True)
class BoardRow:
    """A board as the lists show it."""

    code: str
    kind: str | None
    name: str | None
    active: bool
    members_on: date | None


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a board, with its present name."""

    symbol: str
    name: str | None


@dataclass(frozen=True, slots=True)
class Members:
    """Members of a board on a session; ``known_from`` is the first session that is known."""

    members: tuple[Member, ...]
    known_from: date | None


class Catalog:
    """Symbols, boards and members in SQL. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace_symbols(self, listing: pa.Table, session: date, run_id: str) -> ListChange:
        """Take a whole list of symbols as of a session, or set it aside. Idempotent.

        Args:
            listing: ``SYMBOL_LIST_SCHEMA``.
            session: The session it shows.
            run_id: Who fetched it.
        """
        rows = {row["symbol"]: row for row in listing.to_pylist()}
        with self._database.writing() as connection:
            held = _held(connection, symbol, symbol.c.symbol, symbol.c.listed)
            fault = _fault(connection, "symbols", list(listing["symbol"].to_pylist()), held, run_id)
            if fault:
                return _set_aside(connection, "symbols", list(rows), session, run_id, fault)
            known = _by_code(connection, symbol, symbol.c.symbol)
            for code, row in rows.items():
                values = {
                    "name": row["name"],
                    "listed": True,
                    "last_listed": session,
                    "suspended_on": session if row["suspended"] else None,
                }
                _put(connection, symbol, symbol.c.symbol, code, known.get(code), values, session)
            for code in held - rows.keys():
                connection.execute(
                    update(symbol).where(symbol.c.symbol == code).values(listed=False)
                )
            renamed = sum(1 for c, r in rows.items() if c in held and known[c].name != r["name"])
        return ListChange(
            accepted=True,
            added=len(rows.keys() - held),
            removed=len(held - rows.keys()),
            renamed=renamed,
        )

    def replace_boards(
        self, kind: BoardKind, boards: pa.Table, session: date, run_id: str
    ) -> ListChange:
        """Take a whole list of boards of a kind as of a session, or set it aside. Idempotent."""
        name = f"{kind.value}_boards"
        rows = {row["board"]: row["name"] for row in boards.to_pylist()}
        with self._database.writing() as connection:
            held = _held(
                connection, board, board.c.code, board.c.active, board.c.kind == kind.value
            )
            fault = _fault(connection, name, list(boards["board"].to_pylist()), held, run_id)
            if fault:
                return _set_aside(connection, name, list(rows), session, run_id, fault)
            known = _by_code(connection, board, board.c.code)
            renamed = 0
            for code, title in rows.items():
                values = {
                    "kind": kind.value,
                    "name": title,
                    "active": True,
                    "last_listed": session,
                }
                before = known.get(code)
                number = _put(connection, board, board.c.code, code, before, values, session)
                if before is None or before.name != title:
                    renamed += before is not None and before.name is not None
                    _name_board(connection, number, title, session)
            for code in held - rows.keys():
                connection.execute(update(board).where(board.c.code == code).values(active=False))
        return ListChange(
            accepted=True,
            added=len(rows.keys() - held),
            removed=len(held - rows.keys()),
            renamed=renamed,
        )

    def replace_members(
        self, code: str, members: pa.Table, session: date, run_id: str
    ) -> ListChange:
        """Take the whole member list of a board as of a session, or set it aside. Idempotent.

        Joins open an interval at the session, leaves close one. A list of an earlier session than
        the latest one taken is refused: history is not rewritten.
        """
        rows = {row["symbol"]: row["name"] for row in members.to_pylist()}
        with self._database.writing() as connection:
            number = _board_id(connection, code)
            taken = connection.scalar(select(board.c.members_on).where(board.c.id == number))
            if taken is not None and session < taken:
                reason = f"it shows {session}, and the members of {taken} are already held"
                return ListChange(accepted=False, reason=reason)
            held = _open_members(connection, number)
            fault = _fault(connection, code, members["symbol"].to_pylist(), set(held), run_id)
            if fault:
                return _set_aside(connection, code, list(rows), session, run_id, fault)
            joins, leaves = rows.keys() - held.keys(), held.keys() - rows.keys()
            _join(connection, number, {name: rows[name] for name in joins}, session)
            _leave(connection, number, [held[name] for name in leaves], session)
            connection.execute(update(board).where(board.c.id == number).values(members_on=session))
        return ListChange(accepted=True, added=len(joins), removed=len(leaves))

    def symbols(self, *, listed_only: bool = True) -> list[SymbolRow]:
        """Symbols, ascending."""
        columns = [
            symbol.c.symbol, symbol.c.name, symbol.c.listed,
            symbol.c.first_listed, symbol.c.last_listed, symbol.c.suspended_on,
        ]  # fmt: skip
        query = select(*columns).order_by(symbol.c.symbol)
        if listed_only:
            query = query.where(symbol.c.listed)
        with self._database.reading() as connection:
            return [SymbolRow(*row) for row in connection.execute(query)]

    def boards(self, kind: BoardKind | None = None, *, active_only: bool = True) -> list[BoardRow]:
        """Boards, ascending by kind and code."""
        columns = [board.c.code, board.c.kind, board.c.name, board.c.active, board.c.members_on]
        query = select(*columns).order_by(board.c.kind, board.c.code)
        if kind is not None:
            query = query.where(board.c.kind == kind.value)
        if active_only:
            query = query.where(board.c.active)
        with self._database.reading() as connection:
            return [BoardRow(*row) for row in connection.execute(query)]

    def members(self, code: str, on: date) -> Members:
        """Members of a board on a day; of a later day than the last list, those of that list.

        Raises:
            InvalidBoardError: No such board is known.
        """
        with self._database.reading() as connection:
            number = connection.scalar(select(board.c.id).where(board.c.code == code))
            if number is None:
                raise InvalidBoardError(
                    f"no board {code} is known: `quantsync boards` lists those that are",
                    {"board": code},
                )
            mine = board_member.c.board_id == number
            known_from = connection.scalar(
                select(board_member.c.valid_from)
                .where(mine)
                .order_by(board_member.c.valid_from)
                .limit(1)
            )
            rows = connection.execute(
                select(symbol.c.symbol, symbol.c.name)
                .join(board_member, board_member.c.symbol_id == symbol.c.id)
                .where(mine, board_member.c.valid_from <= on)
                .where((board_member.c.valid_to.is_(None)) | (board_member.c.valid_to > on))
                .order_by(symbol.c.symbol)
            ).all()
        return Members(tuple(Member(*row) for row in rows), known_from)


def _fault(
    connection: Connection, name: str, codes: Sequence[str], held: set[str], run_id: str
) -> str | None:
    """Why a list cannot be taken as whole; None if it can."""
    if not codes:
        return "it is empty"
    if len(set(codes)) != len(codes):
        return "it names a code twice, so another is missing"
    fewer = len(held) - len(codes)
    doubt = None
    if fewer > 0 and len(codes) % _PAGE == 0:
        doubt = f"it has {len(codes)} rows, a full page, where {len(held)} are held"
    elif fewer > max(_SHRINK_ROWS, _SHRINK_SHARE * len(held)):
        doubt = f"it has {len(codes)} rows where {len(held)} are held"
    if doubt and not _seen_before(connection, name, codes, run_id):
        return f"{doubt}: it is taken if another run sees the same"
    return None


def _content_hash(codes: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(codes)).encode()).hexdigest()


def _seen_before(connection: Connection, name: str, codes: Sequence[str], run_id: str) -> bool:
    seen = connection.scalar(
        select(list_quarantine.c.id)
        .where(list_quarantine.c.list == name, list_quarantine.c.run_id != run_id)
        .where(list_quarantine.c.content_hash == _content_hash(codes))
        .limit(1)
    )
    return seen is not None


def _set_aside(
    connection: Connection,
    name: str,
    codes: Sequence[str],
    session: date,
    run_id: str,
    reason: str,
) -> ListChange:
    content = _content_hash(codes)
    known = select(list_quarantine.c.id).filter_by(list=name, run_id=run_id, content_hash=content)
    if connection.scalar(known) is None:
        connection.execute(
            insert(list_quarantine).values(
                list=name,
                session=session,
                run_id=run_id,
                reason=reason,
                rows=len(codes),
                content_hash=content,
                content=json.dumps(sorted(codes)),
            )
        )
    return ListChange(accepted=False, reason=f"{reason}; the last good list stays")


def _held(connection: Connection, table: Table, code: Any, flag: Any, *conditions: Any) -> set[str]:
    return set(connection.scalars(select(code).select_from(table).where(flag, *conditions)))


def _by_code(connection: Connection, table: Table, code: Any) -> dict[str, Any]:
    return {getattr(row, code.name): row for row in connection.execute(select(table))}


def _put(
    connection: Connection,
    table: Table,
    column: Any,
    code: str,
    before: Any,
    values: Mapping[str, object],
    session: date,
) -> int:
    """Insert or update one row; its id."""
    if before is None:
        row = {column.name: code, "first_listed": session, **values}
        return int(connection.execute(insert(table).values(row).returning(table.c.id)).scalar_one())
    changed = {k: v for k, v in values.items() if getattr(before, k) != v}
    if before.first_listed is None:
        changed["first_listed"] = session
    if changed:
        connection.execute(update(table).where(table.c.id == before.id).values(changed))
    return int(before.id)


def _name_board(connection: Connection, number: int, title: str, session: date) -> None:
    mine = (board_name.c.board_id == number, board_name.c.valid_from == session)
    if connection.execute(update(board_name).where(*mine).values(name=title)).rowcount == 0:
        connection.execute(
            insert(board_name).values(board_id=number, valid_from=session, name=title)
        )


def _board_id(connection: Connection, code: str) -> int:
    number = connection.scalar(select(board.c.id).where(board.c.code == code))
    if number is None:
        statement = insert(board).values(code=code, active=False).returning(board.c.id)
        number = connection.execute(statement).scalar_one()
    return int(number)


def _open_members(connection: Connection, number: int) -> dict[str, int]:
    rows = connection.execute(
        select(symbol.c.symbol, symbol.c.id)
        .join(board_member, board_member.c.symbol_id == symbol.c.id)
        .where(board_member.c.board_id == number, board_member.c.valid_to.is_(None))
    ).all()
    return {code: member for code, member in rows}  # noqa: C416  (rows are Row, not tuple)


def _join(connection: Connection, number: int, names: Mapping[str, str], session: date) -> None:
    for code, name in names.items():
        member = connection.scalar(select(symbol.c.id).where(symbol.c.symbol == code))
        if member is None:
            statement = insert(symbol).values(symbol=code, name=name, listed=False)
            member = connection.execute(statement.returning(symbol.c.id)).scalar_one()
        # Left and joined again within one session: the interval was never closed to a reader.
        reopened = connection.execute(
            update(board_member)
            .where(board_member.c.board_id == number, board_member.c.symbol_id == member)
            .where(board_member.c.valid_to == session)
            .values(valid_to=None)
        )
        if reopened.rowcount == 0:
            connection.execute(
                insert(board_member).values(
                    board_id=number, symbol_id=member, valid_from=session, valid_to=None
                )
            )


def _leave(connection: Connection, number: int, members: Sequence[int], session: date) -> None:
    for member in members:
        mine = (
            board_member.c.board_id == number,
            board_member.c.symbol_id == member,
            board_member.c.valid_to.is_(None),
        )
        # Joined and left within one session: it was a member on no session.
        gone = connection.execute(
            board_member.delete().where(*mine, board_member.c.valid_from == session)
        )
        if gone.rowcount == 0:
            connection.execute(update(board_member).where(*mine).values(valid_to=session))
