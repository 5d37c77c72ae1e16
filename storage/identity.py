"""Identity: one symbol through every code it bears.

A renumbering is accepted in the transaction that takes the list which shows it: the symbol keeps
its id, and everything that was held under either code is its own from then on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, and_, delete, insert, or_, select, update

from market.bars import BarState, Dataset
from market.errors import UsageError
from market.identity import find_renumberings
from market.periods import Period
from market.sessions import Window, exchange_calendar
from storage.coverage import join_ranges
from storage.database import Database
from storage.ex_right import move_ex_rights, write_factors_of
from storage.identity_tables import (
    alias_proposal,
    no_trade,
    symbol_alias,
    symbol_listing,
    symbol_name,
)
from storage.ledger_tables import coverage
from storage.run_records import Work
from storage.tables import KLINE_TABLES, board_member, kline_revision, symbol


def renumber(
    connection: Connection, names: Mapping[str, str], session: date, before: date | None
) -> list[str]:
    """Find codes that a list shows under a new number; accept what is proven, note the rest.

    Call it before the list is written to the catalog. Idempotent.

    Args:
        connection: In the transaction that takes the list.
        names: Code and name of everything listed.
        session: The session the list shows.
        before: The session of the list taken before; None: this is the first.

    Returns:
        A sentence for each renumbering that is new.
    """
    rows = {row.symbol: row for row in connection.execute(_symbols()).all()}
    lately = {session, before}
    gone = {
        code: row.name
        for code, row in rows.items()
        if code not in names
        and (row.listed or row.last_listed is None or row.delisted_on in lately)
    }
    appeared = {
        code: name
        for code, name in names.items()
        if code not in rows or rows[code].last_listed is None or _is_new(rows[code], before)
    }
    said = []
    for pair in find_renumberings(gone, appeared, names.keys()) if gone and appeared else ():
        if pair.doubt is None:
            accept_alias(connection, pair.old, pair.new, session)
            said.append(f"{pair.old} is now {pair.new} ({names[pair.new]}): one history, one id")
        elif _propose(connection, pair.old, pair.new, session, pair.doubt):
            said.append(
                f"{pair.old} may now be {pair.new} ({names[pair.new]}): {pair.doubt}; "
                f"`quantsync symbols {pair.old} --became {pair.new}` makes them one"
            )
    return said


def _symbols() -> Select[Any]:
    return select(
        symbol.c.symbol,
        symbol.c.name,
        symbol.c.listed,
        symbol.c.first_listed,
        symbol.c.last_listed,
        symbol_listing.c.delisted_on,
    ).join(symbol_listing, symbol_listing.c.symbol_id == symbol.c.id, isouter=True)


def _is_new(row: Row[Any], before: date | None) -> bool:
    return before is not None and row.first_listed == before


def _propose(connection: Connection, old: str, new: str, session: date, reason: str) -> bool:
    known = select(alias_proposal.c.session).filter_by(old_code=old, new_code=new)
    if connection.scalar(known) is not None:
        return False
    connection.execute(
        insert(alias_proposal).values(old_code=old, new_code=new, session=session, reason=reason)
    )
    return True


def accept_alias(connection: Connection, old: str, new: str, session: date) -> None:
    """Make two codes one symbol, inside the caller's transaction.

    The id is that of the old code. Bars, members, names, coverage and proofs of both become its.

    Args:
        connection: In the transaction.
        old: The code it bore until now; it is in the catalog.
        new: The code it bears from now on.
        session: The first session under the new code.
    """
    keep = connection.scalar(select(symbol.c.id).where(symbol.c.symbol == old))
    assert keep is not None
    other = connection.scalar(select(symbol.c.id).where(symbol.c.symbol == new))
    if other is not None:
        _merge_ids(connection, keep, other)
    connection.execute(update(symbol).where(symbol.c.id == keep).values(symbol=new))
    write_factors_of(connection, keep, new)
    mine = symbol_alias.c.symbol_id == keep
    known = connection.scalar(select(symbol_alias.c.code).where(mine, symbol_alias.c.code == old))
    if known is None:
        connection.execute(insert(symbol_alias).values(symbol_id=keep, code=old, recoded=False))
    ended = {"valid_to": session, "recoded": False}
    connection.execute(update(symbol_alias).where(mine, symbol_alias.c.code == old).values(**ended))
    connection.execute(
        insert(symbol_alias).values(symbol_id=keep, code=new, valid_from=session, recoded=True)
    )
    _join_ranges_of(connection, coverage, ("covered_from", "covered_to"), old, new)
    _join_ranges_of(connection, no_trade, ("first", "last"), old, new)
    pair = (old, new)
    connection.execute(
        delete(alias_proposal).where(
            or_(alias_proposal.c.old_code.in_(pair), alias_proposal.c.new_code.in_(pair))
        )
    )


def _merge_ids(connection: Connection, keep: int, other: int) -> None:
    """Give everything of one id to another, and drop it."""
    for (dataset, _), table in KLINE_TABLES.items():
        if dataset is Dataset.KLINE:
            _merge_bars(connection, table, keep, other)
    _merge_revisions(connection, keep, other)
    move_ex_rights(connection, keep, other)
    _merge_members(connection, keep, other)
    held = select(symbol_name.c.valid_from).where(symbol_name.c.symbol_id == keep)
    theirs = symbol_name.c.symbol_id == other
    connection.execute(delete(symbol_name).where(theirs, symbol_name.c.valid_from.in_(held)))
    connection.execute(update(symbol_name).where(theirs).values(symbol_id=keep))
    connection.execute(delete(symbol_listing).where(symbol_listing.c.symbol_id == other))
    connection.execute(
        update(symbol_alias).where(symbol_alias.c.symbol_id == other).values(symbol_id=keep)
    )
    connection.execute(delete(symbol).where(symbol.c.id == other))


def _merge_bars(connection: Connection, table: Table, keep: int, other: int) -> None:
    """Bars of both under one id; where both have one, that which outranks the other stands."""
    mine, theirs = table.alias(), table.alias()
    final = BarState.FINAL.value
    outranks = or_(
        and_(theirs.c.state == final, mine.c.state != final),
        and_(theirs.c.state == mine.c.state, theirs.c.fetched_at > mine.c.fetched_at),
    )
    beaten = (
        select(mine.c.end_at)
        .join(theirs, theirs.c.end_at == mine.c.end_at)
        .where(mine.c.symbol_id == keep, theirs.c.symbol_id == other, outranks)
    )
    connection.execute(delete(table).where(table.c.symbol_id == keep, table.c.end_at.in_(beaten)))
    standing = select(mine.c.end_at).where(mine.c.symbol_id == keep)
    connection.execute(
        delete(table).where(table.c.symbol_id == other, table.c.end_at.in_(standing))
    )
    connection.execute(update(table).where(table.c.symbol_id == other).values(symbol_id=keep))


def _merge_revisions(connection: Connection, keep: int, other: int) -> None:
    """Revisions of both under one id; one that both have is kept once."""
    mine = kline_revision.alias()
    of_stocks = kline_revision.c.dataset == Dataset.KLINE.value
    same = [
        mine.c[name] == kline_revision.c[name]
        for name in ("dataset", "period", "end_at", "fetched_at", "state")
    ]
    held = select(mine.c.id).where(mine.c.subject_id == keep, *same)
    theirs = [of_stocks, kline_revision.c.subject_id == other]
    connection.execute(delete(kline_revision).where(*theirs, held.exists()))
    connection.execute(update(kline_revision).where(*theirs).values(subject_id=keep))


def _merge_members(connection: Connection, keep: int, other: int) -> None:
    """Memberships of both under one id: leaving as the one and joining as the other is staying."""
    query = select(board_member).where(board_member.c.symbol_id.in_([keep, other]))
    boards: dict[int, list[tuple[date, date]]] = {}
    for row in connection.execute(query):
        boards.setdefault(row.board_id, []).append((row.valid_from, row.valid_to or date.max))
    connection.execute(delete(board_member).where(board_member.c.symbol_id.in_([keep, other])))
    for board_id, intervals in boards.items():
        joined: list[tuple[date, date]] = []
        for start, end in sorted(intervals):
            if joined and start <= joined[-1][1]:
                joined[-1] = joined[-1][0], max(end, joined[-1][1])
            else:
                joined.append((start, end))
        connection.execute(
            insert(board_member),
            [
                {
                    "board_id": board_id,
                    "symbol_id": keep,
                    "valid_from": start,
                    "valid_to": None if end == date.max else end,
                }
                for start, end in joined
            ],
        )


def _join_ranges_of(
    connection: Connection, table: Table, ends: tuple[str, str], old: str, new: str
) -> None:
    """Give the ranges of one subject to another, as few as possible."""
    mine = [Dataset.KLINE.value, Work.EX_RIGHT.value]
    both = and_(table.c.dataset.in_(mine), table.c.subject.in_([old, new]))
    groups: dict[tuple[object, ...], list[tuple[Window, dict[str, object]]]] = {}
    kept = [c.name for c in table.primary_key if c.name not in ("subject", *ends)]
    for row in connection.execute(select(table).where(both)).mappings():
        window = Window(row[ends[0]], row[ends[1]])
        groups.setdefault(tuple(row[name] for name in kept), []).append((window, dict(row)))
    connection.execute(delete(table).where(both))
    for rows in groups.values():
        pattern = rows[0][1]
        connection.execute(
            insert(table),
            [
                {**pattern, "subject": new, ends[0]: each.start, ends[1]: each.end}
                for each in join_ranges([window for window, _ in rows], exchange_calendar())
            ],
        )


@dataclass(frozen=True, slots=True)
class Code:
    """A code that a symbol bears or has borne, ``[valid_from, valid_to)``; None: open."""

    code: str
    valid_from: date | None
    valid_to: date | None


@dataclass(frozen=True, slots=True)
class Identity:
    """A symbol through time.

    Attributes:
        number: Its permanent id.
        symbol: Its present code.
        codes: All codes, oldest first.
        names: Each name with the session of the first list that showed it, oldest first.
        listed: Whether the latest list names it.
        first_seen: Session of the first list that named it; None: none did.
        listed_on: Its first session, where lists prove it.
        delisted_on: Session of the first list that no longer named it.
    """

    number: int
    symbol: str
    codes: tuple[Code, ...]
    names: tuple[tuple[str, date], ...]
    listed: bool
    first_seen: date | None
    listed_on: date | None
    delisted_on: date | None


def read_identity(database: Database, code: str) -> Identity | None:
    """A symbol by any code it bears or has borne; None if none is known.

    Raises:
        StorageError: The database cannot be used.
    """
    by_alias = select(symbol_alias.c.symbol_id).where(symbol_alias.c.code == code)
    query = (
        select(symbol, symbol_listing.c.listed_on, symbol_listing.c.delisted_on)
        .join(symbol_listing, symbol_listing.c.symbol_id == symbol.c.id, isouter=True)
        .where(or_(symbol.c.symbol == code, symbol.c.id.in_(by_alias)))
    )
    with database.reading() as connection:
        row = connection.execute(query).one_or_none()
        if row is None:
            return None
        aliases = connection.execute(
            select(symbol_alias.c.code, symbol_alias.c.valid_from, symbol_alias.c.valid_to)
            .where(symbol_alias.c.symbol_id == row.id)
            .order_by(symbol_alias.c.valid_to.is_(None), symbol_alias.c.valid_to)
        ).all()
        names = connection.execute(
            select(symbol_name.c.name, symbol_name.c.valid_from)
            .where(symbol_name.c.symbol_id == row.id)
            .order_by(symbol_name.c.valid_from)
        ).all()
    codes = tuple(Code(*each) for each in aliases) or (Code(row.symbol, None, None),)
    return Identity(
        number=row.id,
        symbol=row.symbol,
        codes=codes,
        names=tuple((name, since) for name, since in names),
        listed=row.listed,
        first_seen=row.first_listed,
        listed_on=row.listed_on,
        delisted_on=row.delisted_on,
    )


@dataclass(frozen=True, slots=True)
class Proposal:
    """A renumbering that a list suggests, and why it was not accepted by itself."""

    old_code: str
    new_code: str
    session: date
    reason: str


def read_proposals(database: Database) -> list[Proposal]:
    """Renumberings that wait for a person, by old code.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.reading() as connection:
        rows = connection.execute(select(alias_proposal).order_by(alias_proposal.c.old_code))
        return [Proposal(**row) for row in rows.mappings()]


def decide(database: Database, old: str, new: str, session: date) -> None:
    """Make two codes one symbol because a person says so; it cannot be undone.

    Raises:
        UsageError: The old code is not known or was renumbered before, both are the same, or both
            are seen to be two symbols.
        StorageError: The database cannot be used.
    """
    with database.writing() as connection:
        why = _why_not_one(connection, old, new)
        if why:
            raise UsageError(f"{old} cannot become {new}: {why}", {"old": old, "new": new})
        accept_alias(connection, old, new, session)


def _why_not_one(connection: Connection, old: str, new: str) -> str | None:
    """Why two codes cannot be one symbol; None if they may be."""
    query = select(symbol.c.symbol, symbol.c.id, symbol.c.listed)
    rows = {
        row.symbol: row for row in connection.execute(query.where(symbol.c.symbol.in_([old, new])))
    }
    if old == new:
        return "they are the same"
    if old not in rows:
        return f"no symbol bears the code {old} now"
    if new not in rows:
        return None
    if rows[old].listed and rows[new].listed:
        return "the latest list names both, so they are two symbols"
    mine, theirs = (KLINE_TABLES[Dataset.KLINE, Period.DAILY].alias() for _ in range(2))
    final = and_(*(table.c.state == BarState.FINAL.value for table in (mine, theirs)))
    closes = connection.execute(
        select(mine.c.close, theirs.c.close)
        .join(theirs, mine.c.end_at == theirs.c.end_at)
        .where(mine.c.symbol_id == rows[old].id, theirs.c.symbol_id == rows[new].id, final)
    ).all()
    # A bar may have been revised between two fetches; most of them cannot.
    unlike = sum(one != other for one, other in closes)
    if unlike * 2 > len(closes):
        return f"they closed at different prices in {unlike} of the {len(closes)} sessions of both"
    return None


def pending_recodes(database: Database) -> list[str]:
    """Old codes under which bars may still lie in the lake.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.reading() as connection:
        waiting = symbol_alias.c.valid_to.is_not(None) & ~symbol_alias.c.recoded
        return list(connection.scalars(select(symbol_alias.c.code).where(waiting)))


def note_recoded(database: Database, codes: Sequence[str]) -> None:
    """Note that no bar lies under these codes any more. Idempotent."""
    with database.writing() as connection:
        connection.execute(
            update(symbol_alias).where(symbol_alias.c.code.in_(codes)).values(recoded=True)
        )
