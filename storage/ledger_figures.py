"""What the ledger says in figures: runs by state, and how long batches and commits take."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select

from storage.database import Database
from storage.ledger_tables import sync_batch, sync_run, sync_wave


@dataclass(frozen=True, slots=True)
class RunCount:
    """How many runs of a sort stand so, of those that the ledger still has."""

    kind: str
    period: str
    lane: str
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class NewestSlot:
    """The latest slot of a sort of run that was served."""

    kind: str
    period: str
    lane: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Durations:
    """How long something took, by queue and lane, of what the ledger still has.

    Attributes:
        what: ``batch`` (last claim to end), ``batch_wait`` (handed to the broker to claim) or
            ``commit`` (last claim to commit).
    """

    what: str
    queue: str
    lane: str
    count: int
    seconds: float


def count_runs(database: Database) -> list[RunCount]:
    """Runs by kind, period, lane and state.

    Raises:
        StorageError: The database cannot be used.
    """
    of = (sync_run.c.kind, sync_run.c.period, sync_run.c.lane, sync_run.c.state)
    with database.reading() as connection:
        rows = connection.execute(select(*of, func.count()).group_by(*of).order_by(*of)).all()
    return [RunCount(kind, period or "", lane, state, n) for kind, period, lane, state, n in rows]


def newest_slots(database: Database) -> list[NewestSlot]:
    """The latest slot of each sort of run that serves slots.

    Raises:
        StorageError: The database cannot be used.
    """
    of = (sync_run.c.kind, sync_run.c.period, sync_run.c.lane)
    with database.reading() as connection:
        rows = connection.execute(
            select(*of, func.max(sync_run.c.slot))
            .where(sync_run.c.slot.is_not(None))
            .group_by(*of)
            .order_by(*of)
        ).all()
    return [
        NewestSlot(kind, period or "", lane, datetime.fromisoformat(slot))
        for kind, period, lane, slot in rows
    ]


def read_durations(database: Database) -> list[Durations]:
    """How long batches and commits took.

    Raises:
        StorageError: The database cannot be used.
    """
    batch, wave = sync_batch.c, sync_wave.c
    return [
        *_sums(database, "batch", batch.claimed_at, batch.ended_at),
        *_sums(database, "batch_wait", batch.published_at, batch.claimed_at),
        *_sums(database, "commit", wave.claimed_at, wave.committed_at),
    ]


def _sums(
    database: Database, what: str, begin: ColumnElement[float], end: ColumnElement[float]
) -> Sequence[Durations]:
    of = (sync_wave.c.queue, sync_run.c.lane)
    query = (
        select(*of, func.count(), func.sum(end - begin))
        .select_from(sync_wave)
        .join(sync_run, sync_run.c.run_id == sync_wave.c.run_id)
        # A batch that was handed out again while it was worked on waited for nothing.
        .where(begin.is_not(None), end >= begin)
        .group_by(*of)
        .order_by(*of)
    )
    if what != "commit":
        query = query.join(
            sync_batch,
            (sync_batch.c.run_id == sync_wave.c.run_id) & (sync_batch.c.wave == sync_wave.c.wave),
        )
    with database.reading() as connection:
        rows = connection.execute(query).all()
    return [Durations(what, queue, lane, count, float(total)) for queue, lane, count, total in rows]
