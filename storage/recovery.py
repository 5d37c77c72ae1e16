"""What recovery asks of the ledger: who is stuck, since when, and what may be handed out again.

Every change here is compare-and-swap like the claims themselves, so any number of reconcilers may
work at once. Ledger time is the database's clock.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, update

from storage.catalog_rows import upsert
from storage.database import Database
from storage.ledger_statements import FREE, free_wave, has_open_batches, replace_outcomes
from storage.ledger_tables import installation, sync_batch, sync_run, sync_wave
from storage.run_records import (
    SUSPECT_AFTER,
    BatchPlan,
    BatchState,
    Claim,
    OutcomeRow,
    RunState,
    WaveState,
)

_RECONCILED = "reconciled_at"


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch that needs a worker.

    Attributes:
        owner: The process that holds it; None if nobody does.
        left_s: Seconds until its lease ends (negative: ended since); None if nobody holds it.
        published_s: Seconds since it was last handed to the broker; None if it was not.
    """

    run_id: str
    batch_no: int
    wave: int
    queue: str
    attempt: int
    owner: str | None
    left_s: float | None
    published_s: float | None

    @property
    def lost(self) -> int:
        """How many workers died or hung on it: one that works on it now has not."""
        return self.attempt - (1 if self.left_s is not None and self.left_s >= 0 else 0)

    @property
    def suspect(self) -> bool:
        """Whether it is tried alone."""
        return self.lost >= SUSPECT_AFTER


class Recovery:
    """The ledger as the reconciler sees it. Every method is one transaction; safe to share."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- leases ----------------------------------------------------------------------------------

    def lease_owners(self) -> set[str]:
        """The processes that hold a lease on a batch or a wave."""
        with self._database.reading() as connection:
            return {
                owner
                for table, state in _LEASED
                for owner in connection.scalars(
                    select(table.c.owner).distinct().where(table.c.state == state)
                )
                if owner
            }

    def void_leases(self, owners: Collection[str] | None = None, *, at_fault: bool) -> int:
        """Give back every lease of processes that are known to be dead; how many there were.

        Args:
            owners: The dead; None: all, for the owner of a stack of which no worker is alive.
            at_fault: Whether the batch may have killed its worker. If not, the attempt is not
                counted.
        """
        with self._database.writing() as connection:
            given = 0
            for table, state in _LEASED:
                held = update(table).where(table.c.state == state)
                if owners is not None:
                    held = held.where(table.c.owner.in_(sorted(owners)))
                if table is sync_wave:
                    running = select(sync_run.c.run_id).where(
                        sync_run.c.state == RunState.RUNNING.value
                    )
                    # What is half committed of a run that has ended stays marked as such.
                    ended = held.where(table.c.run_id.not_in(running))
                    connection.execute(ended.values(token=None, owner=None, lease_until=0.0))
                    held = held.where(table.c.run_id.in_(running))
                    values: dict[str, object] = {"state": WaveState.PUBLISHED.value}
                else:
                    values = {"state": BatchState.PENDING.value, "done": 0, "published_at": None}
                    if not at_fault:
                        values["attempt"] = table.c.attempt - 1
                given += connection.execute(held.values(**FREE, **values)).rowcount
        return given

    def void_expired(self) -> list[tuple[str, int]]:
        """Give back the batches whose lease has ended; ``(run_id, batch_no)`` of each."""
        with self._database.writing() as connection:
            now = self._database.now(connection)
            rows = connection.execute(
                update(sync_batch)
                .where(sync_batch.c.state == BatchState.LEASED.value)
                .where(sync_batch.c.lease_until < now)
                .values(**FREE, state=BatchState.PENDING.value, done=0, published_at=None)
                .returning(sync_batch.c.run_id, sync_batch.c.batch_no)
            ).all()
        return [(run_id, number) for run_id, number in rows]

    def fail_exhausted(self, max_attempts: int) -> list[tuple[str, int]]:
        """End the batches that nobody finished in so many attempts; which they were.

        Each of their items gets the outcome ``worker_lost``, with the reason.
        """
        reason = (
            f"{max_attempts} workers in turn died or hung on the batch it belongs to, the last two "
            "with no other suspect beside it: see the workers' logs"
        )
        with self._database.writing() as connection:
            now = self._database.now(connection)
            rows = connection.execute(
                _open_batches()
                .where(sync_batch.c.state == BatchState.PENDING.value)
                .where(sync_batch.c.attempt >= max_attempts)
            ).all()
            failed = [row for row in rows if _fail(connection, row, "worker_lost", reason, now)]
        return [(row.run_id, row.batch_no) for row in failed]

    # -- runs ------------------------------------------------------------------------------------

    def running(self) -> list[str]:
        """Runs that have not ended, oldest first."""
        with self._database.reading() as connection:
            query = select(sync_run.c.run_id).where(sync_run.c.state == RunState.RUNNING.value)
            return list(connection.scalars(query.order_by(sync_run.c.created_at)))

    def knows(self, run_id: str) -> bool:
        """Whether the ledger has a run."""
        with self._database.reading() as connection:
            query = select(func.count()).select_from(sync_run).where(sync_run.c.run_id == run_id)
            return bool(connection.scalar(query))

    def has_ended(self, run_id: str) -> bool:
        """Whether the ledger knows a run, and that it has ended."""
        with self._database.reading() as connection:
            query = select(sync_run.c.state).where(sync_run.c.run_id == run_id)
            state = connection.scalar(query)
        return state is not None and RunState(state).is_end

    def overdue(self, run_id: str, by_s: float = 0.0) -> bool:
        """Whether a run that has not ended is past its deadline by so many seconds."""
        with self._database.reading() as connection:
            now = self._database.now(connection)
            return bool(
                connection.scalar(
                    select(func.count())
                    .select_from(sync_run)
                    .where(sync_run.c.run_id == run_id)
                    .where(sync_run.c.state == RunState.RUNNING.value)
                    .where(sync_run.c.deadline_at + by_s < now)
                )
            )

    def give_up_open(self, run_id: str, reason: str) -> int:
        """End every batch of a run that still needs a worker, so that the rest can be committed.

        Each of their items gets the outcome ``timeout``, with the reason.

        Returns:
            How many batches there were.
        """
        with self._database.writing() as connection:
            now = self._database.now(connection)
            rows = connection.execute(_open_batches().where(sync_batch.c.run_id == run_id)).all()
            return sum(_fail(connection, row, "timeout", reason, now) for row in rows)

    # -- waves and batches -----------------------------------------------------------------------

    def waves_to_commit(self, run_id: str, idle_s: float) -> list[int]:
        """Waves whose batches all ended so many seconds ago, and which nobody commits."""
        with self._database.reading() as connection:
            now = self._database.now(connection)
            ended = (
                select(func.coalesce(func.max(sync_batch.c.ended_at), 0.0))
                .where(sync_batch.c.run_id == sync_wave.c.run_id)
                .where(sync_batch.c.wave == sync_wave.c.wave)
                .scalar_subquery()
            )
            return list(
                connection.scalars(
                    select(sync_wave.c.wave)
                    .where(sync_wave.c.run_id == run_id, free_wave(now), ~has_open_batches())
                    .where(ended <= now - idle_s)
                    .order_by(sync_wave.c.wave)
                )
            )

    def published_waves(self, run_id: str) -> list[int]:
        """Waves that were handed to the broker and are not committed."""
        handed_out = [WaveState.PUBLISHED.value, WaveState.COMMITTING.value]
        with self._database.reading() as connection:
            return list(
                connection.scalars(
                    select(sync_wave.c.wave)
                    .where(sync_wave.c.run_id == run_id, sync_wave.c.state.in_(handed_out))
                    .order_by(sync_wave.c.wave)
                )
            )

    def wave_to_publish(self, run_id: str, idle_s: float) -> int | None:
        """The first wave that was never handed to the broker though all before it are done.

        None while a published wave is still open, and within ``idle_s`` of the moment at which
        whoever does it in the ordinary course began.
        """
        with self._database.reading() as connection:
            now = self._database.now(connection)
            begun = connection.scalar(
                select(sync_run.c.created_at).where(sync_run.c.run_id == run_id)
            )
            rows = connection.execute(
                select(sync_wave.c.wave, sync_wave.c.state, sync_wave.c.committed_at)
                .where(sync_wave.c.run_id == run_id)
                .order_by(sync_wave.c.wave)
            ).all()
        for row in rows:
            if row.state in (WaveState.PUBLISHED.value, WaveState.COMMITTING.value):
                return None
            if row.state == WaveState.PLANNED.value:
                return int(row.wave) if (begun or 0.0) <= now - idle_s else None
            begun = max(begun or 0.0, row.committed_at or 0.0)
        return None

    def half_committed(self) -> list[tuple[str, int]]:
        """Waves of runs that ended before a commit that had begun was done, and nobody is at it.

        ``(run_id, wave)`` of each: bars may be in one store and not in the other.
        """
        with self._database.reading() as connection:
            now = self._database.now(connection)
            rows = connection.execute(
                select(sync_wave.c.run_id, sync_wave.c.wave)
                .join(sync_run, sync_run.c.run_id == sync_wave.c.run_id)
                .where(sync_run.c.state != RunState.RUNNING.value)
                .where(_begun())
                .where(sync_wave.c.lease_until.is_(None) | (sync_wave.c.lease_until < now))
                .order_by(sync_wave.c.run_id, sync_wave.c.wave)
            ).all()
        return [(run_id, wave) for run_id, wave in rows]

    def close_half_committed(self, run_id: str, wave: int) -> None:
        """Note that both stores hold the same of such a wave. Idempotent."""
        with self._database.writing() as connection:
            connection.execute(
                update(sync_wave)
                .where(sync_wave.c.run_id == run_id, sync_wave.c.wave == wave)
                .where(_begun())
                .values(**FREE, state=WaveState.GIVEN_UP.value)
            )

    def may_be_swept(self, run_id: str) -> bool:
        """Whether what a run has staged is of no use any more: it has ended, all of it."""
        with self._database.reading() as connection:
            half = connection.scalar(
                select(func.count())
                .select_from(sync_wave)
                .where(sync_wave.c.run_id == run_id)
                .where(_begun())
            )
        return not half and self.has_ended(run_id)

    def open_batches(self, run_id: str | None = None) -> list[OpenBatch]:
        """Batches of published waves that need a worker, of one run or of all that have not ended.

        Oldest run first, each run's batches in order.
        """
        with self._database.reading() as connection:
            now = self._database.now(connection)
            query = _open_batches().where(
                sync_wave.c.state != WaveState.PLANNED.value,
                sync_run.c.state == RunState.RUNNING.value,
            )
            if run_id is not None:
                query = query.where(sync_batch.c.run_id == run_id)
            rows = connection.execute(query).all()
        return [
            OpenBatch(
                run_id=row.run_id,
                batch_no=row.batch_no,
                wave=row.wave,
                queue=row.queue,
                attempt=row.attempt,
                owner=row.owner,
                left_s=None if row.lease_until is None else row.lease_until - now,
                published_s=None if row.published_at is None else now - row.published_at,
            )
            for row in rows
        ]

    def mark_published(self, run_id: str, numbers: Collection[int]) -> None:
        """Note that batches were handed to the broker again."""
        with self._database.writing() as connection:
            now = self._database.now(connection)
            connection.execute(
                update(sync_batch)
                .where(sync_batch.c.run_id == run_id, sync_batch.c.batch_no.in_(sorted(numbers)))
                .values(published_at=now)
            )

    # -- slots and reconcilers -------------------------------------------------------------------

    def newest_slot(self, kind: str, lane: str, period: str) -> str | None:
        """The latest slot that a run of this sort serves, ISO 8601; None if none was served."""
        mine = {"kind": kind, "lane": lane, "period": period}
        with self._database.reading() as connection:
            slot: str | None = connection.scalar(
                select(func.max(sync_run.c.slot)).filter_by(**mine)
            )
        return slot

    def note_reconciled(self) -> None:
        """Note that a reconciler has looked at everything, now."""
        with self._database.writing() as connection:
            now = self._database.now(connection)
            row = {"name": _RECONCILED, "value": str(now)}
            upsert(connection, installation, installation.c.name, [row])

    def reconciled_s(self) -> float | None:
        """Seconds since a reconciler last looked at everything; None: none ever did."""
        with self._database.reading() as connection:
            now = self._database.now(connection)
            known = connection.scalar(
                select(installation.c.value).where(installation.c.name == _RECONCILED)
            )
        return None if known is None else now - float(known)


_LEASED = (
    (sync_batch, BatchState.LEASED.value),
    (sync_wave, WaveState.COMMITTING.value),
)


def _begun() -> ColumnElement[bool]:
    """Whether the commit of a wave was begun and not done."""
    undone = sync_wave.c.state.in_([WaveState.PUBLISHED.value, WaveState.COMMITTING.value])
    return undone & (sync_wave.c.attempt > 0)


def _open_batches() -> Select[Any]:
    """Batches that need a worker, each with its wave's queue."""
    return (
        select(sync_batch, sync_wave.c.queue)
        .join(
            sync_wave,
            (sync_wave.c.run_id == sync_batch.c.run_id) & (sync_wave.c.wave == sync_batch.c.wave),
        )
        .join(sync_run, sync_run.c.run_id == sync_batch.c.run_id)
        .where(sync_batch.c.state.in_([BatchState.PENDING.value, BatchState.LEASED.value]))
        .order_by(sync_run.c.created_at, sync_batch.c.run_id, sync_batch.c.batch_no)
    )


def _fail(connection: Connection, row: Row[Any], outcome: str, reason: str, now: float) -> bool:
    """End a batch with one outcome for all its items; False if it has changed meanwhile."""
    plan = BatchPlan.from_json(row.work)
    ended = connection.execute(
        update(sync_batch)
        .where(sync_batch.c.run_id == row.run_id, sync_batch.c.batch_no == row.batch_no)
        .where(sync_batch.c.state == row.state, sync_batch.c.attempt == row.attempt)
        .values(
            **FREE,
            state=BatchState.FAILED.value,
            reason=reason,
            done=len(plan.items),
            ended_at=now,
        )
    )
    if not ended.rowcount:
        return False
    outcomes = [OutcomeRow(item.subject, outcome, reason) for item in plan.items]
    claim = Claim(row.run_id, row.batch_no, "", row.attempt)
    replace_outcomes(connection, claim, plan.work, outcomes)
    return True
