"""The runs of one session, and what the ledger keeps of their troubles."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from sqlalchemy import ColumnElement, func, or_, select

from market.clock import EXCHANGE_TZ
from market.sessions import TradingCalendar
from storage.database import Database
from storage.ledger_statements import status_of
from storage.ledger_tables import sync_batch, sync_outcome, sync_run, sync_wave
from storage.run_records import RunStatus

_AT_ONCE = 500
"""How many run ids go into one statement."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How one fetch of a run ended.

    Attributes:
        work: What kind of fetch, as :class:`storage.run_records.Work` names them.
        subject: Symbol, board or list.
    """

    run_id: str
    period: str | None
    work: str
    subject: str
    outcome: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Repeats:
    """Work that was begun more than once and ended all the same.

    Attributes:
        batches: Batches that were fetched after an earlier worker had died or hung on them.
        commits: Waves that were committed after an earlier commit had not come to its end.
    """

    batches: int = 0
    commits: int = 0


def runs_of_session(
    database: Database, session: date, calendar: TradingCalendar
) -> list[RunStatus]:
    """The runs that served a slot of a session, asked for it as their last, or began on its day.

    Days off belong to the session before them.

    Args:
        database: Where the ledger is.
        session: Which session.
        calendar: The exchange's sessions.

    Returns:
        Newest first.

    Raises:
        StorageError: The ledger cannot be read.
    """
    query = select(sync_run).where(_of_session(session, calendar))
    with database.reading() as connection:
        now = database.now(connection)
        rows = connection.execute(query.order_by(sync_run.c.created_at.desc())).all()
        return [status_of(connection, row, now) for row in rows]


def _of_session(session: date, calendar: TradingCalendar) -> ColumnElement[bool]:
    known = session < calendar.last_session
    following = calendar.offset(session, 1) if known else session + timedelta(days=1)
    began, ended = (
        datetime.combine(day, time.min, EXCHANGE_TZ).timestamp() for day in (session, following)
    )
    return or_(
        sync_run.c.slot.startswith(session.isoformat(), autoescape=True),
        # Written by json.dumps, which spells it one way only.
        sync_run.c.params.contains(f'"to": "{session.isoformat()}"', autoescape=True),
        (sync_run.c.created_at >= began) & (sync_run.c.created_at < ended),
    )


def endings_of(database: Database, run_ids: Sequence[str]) -> list[Ending]:
    """How the fetches of runs ended, those of the oldest run first.

    Raises:
        StorageError: The ledger cannot be read.
    """
    found: list[tuple[float, Ending]] = []
    with database.reading() as connection:
        for at in range(0, len(run_ids), _AT_ONCE):
            query = (
                select(
                    sync_run.c.created_at,
                    sync_run.c.run_id,
                    sync_run.c.period,
                    sync_outcome.c.work,
                    sync_outcome.c.subject,
                    sync_outcome.c.outcome,
                    sync_outcome.c.reason,
                )
                .join(sync_run, sync_run.c.run_id == sync_outcome.c.run_id)
                .where(sync_outcome.c.run_id.in_(run_ids[at : at + _AT_ONCE]))
                .order_by(sync_outcome.c.work, sync_outcome.c.subject)
            )
            found += [(row[0], Ending(*row[1:])) for row in connection.execute(query)]
    return [ending for _, ending in sorted(found, key=lambda each: each[0])]


def repeats_of(database: Database, run_ids: Sequence[str]) -> Repeats:
    """How much of the work of runs was begun more than once.

    Raises:
        StorageError: The ledger cannot be read.
    """
    batches = commits = 0
    with database.reading() as connection:
        for at in range(0, len(run_ids), _AT_ONCE):
            ids = run_ids[at : at + _AT_ONCE]
            for table in (sync_batch, sync_wave):
                again = select(func.count()).where(table.c.run_id.in_(ids), table.c.attempt > 1)
                count = connection.scalar(again) or 0
                if table is sync_batch:
                    batches += count
                else:
                    commits += count
    return Repeats(batches, commits)
