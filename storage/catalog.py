"""The catalog: symbols, boards and members, and when a fetched list may replace the one held.

A list is replaced only when it is proven whole. That its rows equal the upstream's own total is
proven where it is fetched; here it is held against what was known (:mod:`storage.list_quarantine`).
A list of an earlier session than one already taken is refused: history is not rewritten.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import pyarrow as pa
from sqlalchemy import Connection, func, select, update

from market.boards import BoardKind, InvalidBoardError
from storage.aliases import aliases_within
from storage.board_history import note_taxonomy
from storage.catalog_rows import (
    close_intervals,
    name_boards,
    open_intervals,
    open_members,
    upsert,
)
from storage.database import Database
from storage.identity import renumber
from storage.list_quarantine import doubt_about, set_aside, settle
from storage.listing import note_listing, note_suspended, proven_suspended
from storage.tables import board, board_member, symbol

_LOCK = 7_215_003


@dataclass(frozen=True, slots=True)
class ListChange:
    """What a fetched list did to the one held.

    Attributes:
        accepted: False if it was set aside; the list held stays.
        reason: Why it was set aside, or that it is older than the one held.
        notices: What a person should know of it, such as a renumbered code.
    """

    accepted: bool
    reason: str | None = None
    added: int = 0
    removed: int = 0
    renamed: int = 0
    kept: int = 0
    notices: tuple[str, ...] = ()


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
    """Members of a board on a day.

    Attributes:
        known_from: Session of the first list; None: none was taken yet.
        known_to: Session of the latest list: of later days nothing is known.
    """

    members: tuple[Member, ...]
    known_from: date | None
    known_to: date | None


class Catalog:
    """Symbols, boards and members in SQL. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace_symbols(
        self, listing: pa.Table, session: date, run_id: str, *, settled: bool = True
    ) -> ListChange:
        """Take a whole list of symbols as of a session, or set it aside. Idempotent.

        Args:
            listing: ``SYMBOL_LIST_SCHEMA``.
            session: The session it shows.
            run_id: Who fetched it.
            settled: Whether the session is over: only then does a symbol without a price prove that
                it did not trade.
        """
        codes = listing["symbol"].to_pylist()
        with self._database.writing() as connection:
            self._database.serialise(connection, _LOCK)  # two would each see half of the other
            query = select(symbol.c.symbol, symbol.c.name).where(symbol.c.listed)
            held = {code: name for code, name in connection.execute(query).all()}  # noqa: C416
            taken = connection.scalar(select(func.max(symbol.c.last_listed)))
            refused = self._refused(
                connection, "symbols", codes, set(held), (session, taken), run_id, listing
            )
            if refused:
                return refused
            names = dict(zip(codes, listing["name"].to_pylist(), strict=True))
            notices = renumber(connection, names, session, taken)
            aliases = aliases_within(connection)
            held = {aliases.get(code, code): name for code, name in held.items()}
            suspended = proven_suspended(listing) if settled else frozenset()
            rows = [
                {
                    "symbol": code,
                    "name": name,
                    "listed": True,
                    "first_listed": session,
                    "last_listed": session,
                    "suspended_on": session if code in suspended else None,
                }
                for code, name in names.items()
            ]
            upsert(connection, symbol, symbol.c.symbol, rows)
            gone = symbol.c.symbol.in_(sorted(held.keys() - set(codes)))
            connection.execute(update(symbol).where(gone).values(listed=False))
            note_listing(connection, names, session, taken)
            note_suspended(connection, suspended, session)
        return replace(_change(held, names), notices=tuple(notices))

    def replace_boards(
        self, kind: BoardKind, boards: pa.Table, session: date, run_id: str
    ) -> ListChange:
        """Take a whole list of boards of a kind as of a session, or set it aside. Idempotent."""
        codes = boards["board"].to_pylist()
        with self._database.writing() as connection:
            self._database.serialise(connection, _LOCK)  # two would each see half of the other
            known = {
                row.code: row
                for row in connection.execute(
                    select(
                        board.c.code,
                        board.c.name,
                        board.c.kind,
                        board.c.active,
                        board.c.last_listed,
                    )
                )
            }
            mine = {code: row for code, row in known.items() if row.kind == kind.value}
            held = {code: row.name for code, row in mine.items() if row.active}
            taken = max((row.last_listed for row in mine.values() if row.last_listed), default=None)
            refused = self._refused(
                connection,
                f"{kind.value}_boards",
                codes,
                set(held),
                (session, taken),
                run_id,
                boards,
            )
            if refused:
                return refused
            names = {row["board"]: row["name"] for row in boards.to_pylist()}
            rows = [
                {
                    "code": code,
                    "kind": kind.value,
                    "name": name,
                    "active": True,
                    "first_listed": session,
                    "last_listed": session,
                }
                for code, name in names.items()
            ]
            upsert(connection, board, board.c.code, rows)
            said = {c: row.name for c, row in known.items()}
            name_boards(connection, {c: n for c, n in names.items() if said.get(c) != n}, session)
            gone = board.c.code.in_(sorted(held.keys() - names.keys()))
            connection.execute(update(board).where(gone).values(active=False))
            note_taxonomy(connection, kind, codes, session)
        return _change(held, names)

    def replace_members(
        self, code: str, members: pa.Table, session: date, run_id: str
    ) -> ListChange:
        """Take the whole member list of a board as of a session, or set it aside. Idempotent.

        Joins open an interval at the session, leaves close one.
        """
        names = {row["symbol"]: row["name"] for row in members.to_pylist()}
        with self._database.writing() as connection:
            self._database.serialise(connection, _LOCK)  # two would each see half of the other
            found = connection.execute(
                select(board.c.id, board.c.members_on).where(board.c.code == code)
            ).one_or_none()
            number, taken = found or (None, None)
            held = open_members(connection, number) if number is not None else {}
            refused = self._refused(
                connection,
                code,
                members["symbol"].to_pylist(),
                set(held),
                (session, taken),
                run_id,
                members,
            )
            if refused:
                return refused
            if number is None:
                upsert(connection, board, board.c.code, [{"code": code, "active": False}])
                number = connection.scalar(select(board.c.id).where(board.c.code == code))
            assert number is not None
            joined = {name: names[name] for name in names.keys() - held.keys()}
            open_intervals(connection, number, joined, session)
            left = [held[name] for name in held.keys() - names.keys()]
            close_intervals(connection, number, left, session)
            connection.execute(update(board).where(board.c.id == number).values(members_on=session))
        return ListChange(
            accepted=True, added=len(joined), removed=len(left), kept=len(held) - len(left)
        )

    def _refused(
        self,
        connection: Connection,
        name: str,
        codes: Sequence[str],
        held: set[str],
        sessions: tuple[date, date | None],
        run_id: str,
        whole: pa.Table,
    ) -> ListChange | None:
        """The refusal of a list that is stale or not proven whole; None if it is to be taken."""
        session, taken = sessions
        if taken is not None and session < taken:
            reason = f"it shows {session}, and the list of {taken} is already held"
            return ListChange(accepted=False, reason=reason)
        doubt = doubt_about(connection, name, codes, held, session)
        if doubt:
            seen_at = self._database.now(connection)
            set_aside(connection, name, codes, run_id, (session, seen_at), doubt, whole)
            return ListChange(accepted=False, reason=f"{doubt}; the last good list stays")
        settle(connection, name, codes)
        return None

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

    def members_by_board(self, kind: BoardKind) -> dict[str, set[str]]:
        """Present members of every board of a kind that has any, by board code."""
        query = (
            select(board.c.code, symbol.c.symbol)
            .join(board_member, board_member.c.board_id == board.c.id)
            .join(symbol, symbol.c.id == board_member.c.symbol_id)
            .where(board.c.kind == kind.value, board_member.c.valid_to.is_(None))
        )
        held: dict[str, set[str]] = {}
        with self._database.reading() as connection:
            for code, name in connection.execute(query):
                held.setdefault(code, set()).add(name)
        return held

    def members(self, code: str, on: date) -> Members:
        """Members of a board on a day; of a later day than the last list, those of that list.

        Raises:
            InvalidBoardError: No such board is known.
        """
        with self._database.reading() as connection:
            found = connection.execute(
                select(board.c.id, board.c.members_on).where(board.c.code == code)
            ).one_or_none()
            if found is None:
                raise InvalidBoardError(
                    f"no board {code} is known: `quantsync boards` lists those that are",
                    {"board": code},
                )
            number, known_to = found
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
        return Members(tuple(Member(*row) for row in rows), known_from, known_to)


def _change(held: dict[str, str | None], names: dict[str, str]) -> ListChange:
    kept = held.keys() & names.keys()
    return ListChange(
        accepted=True,
        added=len(names) - len(kept),
        removed=len(held) - len(kept),
        renamed=sum(1 for code in kept if held[code] not in (None, names[code])),
        kept=len(kept),
    )
