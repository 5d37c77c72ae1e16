"""Sessions proven to hold no bar: the difference between a suspension and a lost bar.

Coverage says that a session is complete; only a record of its own says that it is complete
*without* a bar. A covered session with neither a bar nor such a record has lost its bar.

=========  =========================================================================================
proof      what it rests on
=========  =========================================================================================
``list``   the symbol list of the settled session shows no trade of it
``answer`` a whole answer has bars before the session and none in it; after it, it has a bar or the
           list of a later session shows that there was none until then
``edge``   a whole answer begins before the session, and its first bar comes later
=========  =========================================================================================
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from enum import StrEnum

from sqlalchemy import Connection, delete, insert, select

from market.bars import Dataset
from market.sessions import Window, exchange_calendar
from storage.aliases import aliases_within
from storage.coverage import join_ranges
from storage.database import Database
from storage.identity_tables import no_trade

LIST_PERIOD = "session"
"""The period of what a list proves: it holds for bars of every length."""
_CHUNK = 400

Ranges = dict[str, dict[str, list[Window]]]
"""Closed ranges by subject, then by proof."""


class Proof(StrEnum):
    """What proves that a session holds no bar."""

    LIST = "list"
    ANSWER = "answer"
    EDGE = "edge"


def add_no_trade(
    connection: Connection,
    dataset: Dataset,
    period: str,
    proof: Proof,
    sessions: Mapping[str, Collection[date]],
) -> None:
    """Record sessions without trade, by subject, inside the caller's transaction. Idempotent."""
    calendar = exchange_calendar()
    if dataset is Dataset.KLINE:
        present = aliases_within(connection)
        sessions = {present.get(name, name): days for name, days in sessions.items()}
    named = sorted(name for name, days in sessions.items() if days)
    for group in _chunks(named):
        mine = (
            (no_trade.c.dataset == dataset.value)
            & (no_trade.c.period == period)
            & (no_trade.c.proof == proof.value)
            & no_trade.c.subject.in_(group)
        )
        held: dict[str, list[Window]] = {}
        for row in connection.execute(select(no_trade).where(mine)):
            held.setdefault(row.subject, []).append(Window(row.first, row.last))
        grown = {}
        for name in group:
            before = held.get(name, [])
            after = join_ranges([*before, *(Window(d, d) for d in sessions[name])], calendar)
            if set(after) != set(before):
                grown[name] = after
        if grown:
            connection.execute(delete(no_trade).where(mine, no_trade.c.subject.in_(sorted(grown))))
            connection.execute(insert(no_trade), list(_rows(dataset, period, proof, grown)))


def _rows(
    dataset: Dataset, period: str, proof: Proof, ranges: Mapping[str, Sequence[Window]]
) -> Iterator[dict[str, object]]:
    for name, windows in ranges.items():
        for each in windows:
            yield {
                "dataset": dataset.value,
                "period": period,
                "subject": name,
                "proof": proof.value,
                "first": each.start,
                "last": each.end,
            }


def read_no_trade(
    database: Database, dataset: Dataset, periods: Collection[str], names: Collection[str] | None
) -> Ranges:
    """What is proven to hold no bar.

    Args:
        database: Where it is recorded.
        dataset: Whose sessions.
        periods: Proofs of these periods count.
        names: Symbols or boards; None: all.

    Raises:
        StorageError: The database cannot be used.
    """
    query = select(no_trade).where(
        no_trade.c.dataset == dataset.value, no_trade.c.period.in_(sorted(periods))
    )
    ranges: Ranges = {}
    with database.reading() as connection:
        for row in connection.execute(query):
            if names is None or row.subject in names:
                of_subject = ranges.setdefault(row.subject, {})
                of_subject.setdefault(row.proof, []).append(Window(row.first, row.last))
    return ranges


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _CHUNK):
        yield names[start : start + _CHUNK]
