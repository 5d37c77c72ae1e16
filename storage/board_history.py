"""How boards changed: versions of the taxonomy, names, joins and leaves, as lists showed them.

A *taxonomy version* is the set of boards of one kind, with the first and the last session whose
list showed it. The upstream says neither when it changes the set nor which level of a hierarchy a
board belongs to, so a version is known by the boards it has.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from market.boards import BoardKind
from market.sessions import Window
from storage.database import Database
from storage.tables import board, board_member, board_name, board_taxonomy, symbol


class BoardEvent(StrEnum):
    """What happened to a board, or to a taxonomy."""

    TAXONOMY = "taxonomy"
    APPEARED = "appeared"
    VANISHED = "vanished"
    RENAMED = "renamed"
    JOINED = "joined"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class BoardChange:
    """One change, dated by the session whose list first showed it.

    Attributes:
        board: Its code; None for a change of the taxonomy.
        name: Its present name.
        symbol: Who joined or left.
        before: The name, or the taxonomy version, before.
        after: The name, or the taxonomy version, since.
    """

    session: date
    kind: str | None
    event: BoardEvent
    board: str | None = None
    name: str | None = None
    symbol: str | None = None
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """A version of the set of boards of one kind.

    Attributes:
        first_session: The first session whose list showed this set.
        last_session: The last one.
        boards: Codes, ascending.
    """

    kind: str
    content_hash: str
    first_session: date
    last_session: date
    boards: tuple[str, ...]

    @property
    def version(self) -> str:
        """Its name: ``concept-20250303-1a2b3c4d``."""
        return f"{self.kind}-{self.first_session:%Y%m%d}-{self.content_hash[:8]}"


def note_taxonomy(
    connection: Connection, kind: BoardKind, codes: Sequence[str], session: date
) -> None:
    """Note that a whole list of a session shows these boards. Idempotent.

    Args:
        connection: A transaction that only one writer of lists has at a time.
        kind: Which boards.
        codes: All of them, in any order.
        session: Not before that of any list noted already.
    """
    content = hashlib.sha256("\n".join(sorted(codes)).encode()).hexdigest()
    mine = board_taxonomy.c.kind == kind.value
    latest = select(board_taxonomy).where(mine).order_by(board_taxonomy.c.first_session.desc())
    rows = connection.execute(latest.limit(2)).all()
    if rows and rows[0].first_session == session and rows[0].content_hash != content:
        # Within one session only the latest list counts: no reader ever asks for an earlier one.
        connection.execute(delete(board_taxonomy).where(board_taxonomy.c.id == rows[0].id))
        rows = rows[1:]
    if rows and rows[0].content_hash == content:
        same = board_taxonomy.c.id == rows[0].id
        connection.execute(update(board_taxonomy).where(same).values(last_session=session))
        return
    connection.execute(
        insert(board_taxonomy).values(
            kind=kind.value,
            content_hash=content,
            first_session=session,
            last_session=session,
            boards=json.dumps(sorted(codes)),
        )
    )


def taxonomies(database: Database, kind: BoardKind | None = None) -> list[Taxonomy]:
    """All versions, by kind and time."""
    with database.reading() as connection:
        return _taxonomies(connection, kind)


def board_changes(
    database: Database, window: Window, kind: BoardKind | None = None
) -> list[BoardChange]:
    """What lists of a window of sessions showed to have changed, by session.

    The first list of a kind, and the first members of a board, are where knowledge begins: they are
    no changes.
    """
    with database.reading() as connection:
        found = [
            *_set_changes(connection, kind),
            *_renames(connection, kind),
            *_memberships(connection, window, kind),
        ]
    order = list(BoardEvent)
    inside = (change for change in found if window.start <= change.session <= window.end)
    return sorted(
        inside,
        key=lambda c: (
            c.session,
            c.kind or "",
            order.index(c.event),
            c.board or "",
            c.symbol or "",
        ),
    )


def _taxonomies(connection: Connection, kind: BoardKind | None) -> list[Taxonomy]:
    columns = board_taxonomy.c
    query = select(
        columns.kind,
        columns.content_hash,
        columns.first_session,
        columns.last_session,
        columns.boards,
    ).order_by(columns.kind, columns.first_session)
    if kind is not None:
        query = query.where(columns.kind == kind.value)
    return [
        Taxonomy(*row[:4], boards=tuple(json.loads(row.boards)))
        for row in connection.execute(query)
    ]


def _set_changes(connection: Connection, kind: BoardKind | None) -> list[BoardChange]:
    names: dict[str, str | None] = {
        row.code: row.name for row in connection.execute(select(board.c.code, board.c.name))
    }
    found = []
    for old, new in pairwise(_taxonomies(connection, kind)):
        if old.kind != new.kind:
            continue
        at: dict[str, Any] = {"session": new.first_session, "kind": new.kind}
        found.append(
            BoardChange(**at, event=BoardEvent.TAXONOMY, before=old.version, after=new.version)
        )
        gone, come = set(old.boards) - set(new.boards), set(new.boards) - set(old.boards)
        for event, codes in ((BoardEvent.VANISHED, gone), (BoardEvent.APPEARED, come)):
            found += [BoardChange(**at, event=event, board=c, name=names.get(c)) for c in codes]
    return found


def _renames(connection: Connection, kind: BoardKind | None) -> list[BoardChange]:
    query = (
        select(board.c.code, board.c.kind, board.c.name, board_name)
        .join(board_name, board_name.c.board_id == board.c.id)
        .order_by(board.c.code, board_name.c.valid_from)
    )
    if kind is not None:
        query = query.where(board.c.kind == kind.value)
    rows = connection.execute(query).all()
    return [
        BoardChange(
            session=new.valid_from,
            kind=new.kind,
            event=BoardEvent.RENAMED,
            board=new.code,
            name=new[2],
            before=old[5],
            after=new[5],
        )
        for old, new in pairwise(rows)
        if old.code == new.code and old[5] != new[5]
    ]


def _memberships(
    connection: Connection, window: Window, kind: BoardKind | None
) -> list[BoardChange]:
    begins = (
        select(board_member.c.board_id, func.min(board_member.c.valid_from).label("known_from"))
        .group_by(board_member.c.board_id)
        .subquery()
    )
    columns = (board.c.code, board.c.kind, board.c.name, symbol.c.symbol)
    found = []
    for event, when in (
        (BoardEvent.JOINED, board_member.c.valid_from),
        (BoardEvent.LEFT, board_member.c.valid_to),
    ):
        query = (
            select(when.label("session"), *columns)
            .join(board, board.c.id == board_member.c.board_id)
            .join(symbol, symbol.c.id == board_member.c.symbol_id)
            .join(begins, begins.c.board_id == board_member.c.board_id)
            .where(when > begins.c.known_from, when >= window.start, when <= window.end)
        )
        if kind is not None:
            query = query.where(board.c.kind == kind.value)
        found += [
            BoardChange(
                session=row.session,
                kind=row.kind,
                event=event,
                board=row.code,
                name=row.name,
                symbol=row.symbol,
            )
            for row in connection.execute(query)
        ]
    return found
