"""The ledger: the truth about runs. Celery delivers hints; what counts is written here.

Claims are compare-and-swap with a lease token, so a message may arrive twice, late, or after its
twin: whoever lost the lease is refused. Ledger time is the database's clock.
"""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from storage.database import Database
from storage.errors import NoSuchRunError, StorageError
from storage.kline_quarantine import enter_bars
from storage.ledger_statements import (
    FREE,
    add_notices,
    at_least,
    cover,
    end_run_if_done,
    free_batch,
    free_wave,
    give_up_staged,
    has_open_batches,
    held_batch,
    held_wave,
    insert_waves,
    may_be_tried,
    note_swept,
    refuse,
    replace_outcomes,
    run_row,
    slot_is_served,
    status_of,
    still_running,
)
from storage.ledger_tables import sync_batch, sync_outcome, sync_run, sync_wave
from storage.run_records import (
    BatchPlan,
    BatchState,
    Claim,
    OutcomeRow,
    QuarantinedBar,
    RunPlan,
    RunState,
    RunStatus,
    WavePlan,
    WaveState,
    Work,
)

_SLOTS, _CLAIMS = 7_215_004, 7_215_005
"""Numbers of the locks that PostgreSQL needs where one transaction must see what another wrote."""


class Ledger:
    """Runs, waves, batches and outcomes in SQL.

    Every method is one transaction. Safe to share between threads.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_run(self, plan: RunPlan) -> bool:
        """Record a run with all its waves and batches.

        Returns:
            False if a run serves this slot already, or one of an earlier slot still runs; nothing
            is recorded then.
        """
        with self._database.writing() as connection:
            now = self._database.now(connection)
            if plan.slot is not None:
                self._database.serialise(connection, _SLOTS)
                if connection.scalar(slot_is_served(plan)):
                    return False
            try:
                connection.execute(insert(sync_run).values(**run_row(plan, now)))
            except IntegrityError:
                return False
            insert_waves(connection, plan.run_id, plan.waves)
        return True

    def claim_batch(
        self, run_id: str, batch_no: int, lease_s: float, owner: str = ""
    ) -> Claim | None:
        """Take a batch that is pending, or whose lease has ended; None if it is not to be had.

        That is: someone else has it, it or its run has ended, or it is a suspect (its workers died
        :data:`SUSPECT_AFTER` times) and another suspect is being tried.

        Args:
            run_id: The run.
            batch_no: Which of its batches.
            lease_s: How long the claim holds unless it is renewed.
            owner: The process that asks, so that its leases are void when it dies.
        """
        with self._database.writing() as connection:
            self._database.serialise(connection, _CLAIMS)
            if not still_running(connection, run_id):
                return None
            now = self._database.now(connection)
            token = uuid.uuid4().hex
            changed = connection.execute(
                update(sync_batch)
                .where(sync_batch.c.run_id == run_id, sync_batch.c.batch_no == batch_no)
                .where(free_batch(now), may_be_tried(now))
                .values(
                    state=BatchState.LEASED.value,
                    token=token,
                    owner=owner,
                    lease_until=now + lease_s,
                    claimed_at=now,
                    attempt=sync_batch.c.attempt + 1,
                    done=0,
                )
            )
            if changed.rowcount != 1:
                return None
            attempt = connection.scalar(
                select(sync_batch.c.attempt).where(
                    sync_batch.c.run_id == run_id, sync_batch.c.batch_no == batch_no
                )
            )
        return Claim(run_id, batch_no, token, int(attempt or 1))

    def batch_plan(self, run_id: str, batch_no: int) -> BatchPlan:
        """What a batch is to fetch.

        Raises:
            StorageError: The ledger has no such batch.
        """
        with self._database.reading() as connection:
            text = connection.scalar(
                select(sync_batch.c.work).where(
                    sync_batch.c.run_id == run_id, sync_batch.c.batch_no == batch_no
                )
            )
        if text is None:
            raise StorageError(f"the ledger has no batch {batch_no} of run {run_id}")
        return BatchPlan.from_json(text)

    def renew(self, claim: Claim, lease_s: float, done: int) -> bool:
        """Prolong a lease and note the progress; False if the lease was lost."""
        with self._database.writing() as connection:
            now = self._database.now(connection)
            changed = connection.execute(
                held_batch(claim).values(lease_until=now + lease_s, done=done)
            )
        return changed.rowcount == 1

    def release_batch(self, claim: Claim) -> None:
        """Give a batch back unfinished; whoever gets its message next begins it anew.

        It does not count as an attempt: the batch is not at fault.
        """
        with self._database.writing() as connection:
            connection.execute(
                held_batch(claim).values(
                    **FREE, state=BatchState.PENDING.value, attempt=sync_batch.c.attempt - 1, done=0
                )
            )

    def stage_batch(
        self,
        claim: Claim,
        *,
        manifest: Mapping[str, object],
        rows: int,
        requests: int,
        work: Work,
        outcomes: Sequence[OutcomeRow],
    ) -> bool:
        """Record a batch as staged, with its outcomes; False if the lease was lost.

        The staged files must be durable before this is called.
        """
        values = {
            "state": BatchState.STAGED.value,
            "manifest": json.dumps(manifest),
            "rows": rows,
            "requests": requests,
            "done": len(outcomes),
            "reason": None,
        }
        return self._end_batch(claim, values, work, outcomes)

    def is_staged_by(self, claim: Claim) -> bool:
        """Whether a batch was staged under this very claim."""
        staged = [BatchState.STAGED.value, BatchState.COMMITTED.value]
        with self._database.reading() as connection:
            token = connection.scalar(
                select(sync_batch.c.token)
                .where(sync_batch.c.run_id == claim.run_id, sync_batch.c.batch_no == claim.number)
                .where(sync_batch.c.state.in_(staged))
            )
        return token == claim.token

    def fail_batch(
        self, claim: Claim, *, reason: str, work: Work, outcomes: Sequence[OutcomeRow]
    ) -> bool:
        """Record that a batch ended without anything staged; False if the lease was lost."""
        values = {"state": BatchState.FAILED.value, "reason": reason, "done": len(outcomes)}
        return self._end_batch(claim, values, work, outcomes)

    def _end_batch(
        self,
        claim: Claim,
        values: Mapping[str, object],
        work: Work,
        outcomes: Sequence[OutcomeRow],
    ) -> bool:
        with self._database.writing() as connection:
            if not still_running(connection, claim.run_id):
                return False
            now = self._database.now(connection)
            changed = connection.execute(
                held_batch(claim).values(**values, lease_until=None, ended_at=now)
            )
            if changed.rowcount != 1:
                return False
            replace_outcomes(connection, claim, work, outcomes)
        return True

    def mark_published(self, run_id: str, wave: int) -> None:
        """Note that a wave's chord was handed to the broker."""
        with self._database.writing() as connection:
            now = self._database.now(connection)
            connection.execute(
                update(sync_wave)
                .where(sync_wave.c.run_id == run_id, sync_wave.c.wave == wave)
                .where(sync_wave.c.state == WaveState.PLANNED.value)
                .values(state=WaveState.PUBLISHED.value)
            )
            connection.execute(
                update(sync_batch)
                .where(sync_batch.c.run_id == run_id, sync_batch.c.wave == wave)
                .values(published_at=now)
            )

    def batch_numbers(self, run_id: str, wave: int) -> tuple[str, str, list[int]]:
        """The queue of a wave, its lane, and its batches that still need a worker.

        Raises:
            StorageError: The ledger has no such wave.
        """
        with self._database.reading() as connection:
            place = connection.execute(
                select(sync_wave.c.queue, sync_run.c.lane)
                .join(sync_run, sync_run.c.run_id == sync_wave.c.run_id)
                .where(sync_wave.c.run_id == run_id, sync_wave.c.wave == wave)
            ).first()
            if place is None:
                raise StorageError(f"the ledger has no wave {wave} of run {run_id}")
            numbers = connection.scalars(
                select(sync_batch.c.batch_no)
                .where(sync_batch.c.run_id == run_id, sync_batch.c.wave == wave)
                .where(sync_batch.c.state.in_([BatchState.PENDING.value, BatchState.LEASED.value]))
                .order_by(sync_batch.c.batch_no)
            ).all()
        return place.queue, place.lane, list(numbers)

    def planned_wave_after(self, run_id: str, wave: int) -> int | None:
        """The next wave that was not yet published."""
        with self._database.reading() as connection:
            following: int | None = connection.scalar(
                select(func.min(sync_wave.c.wave))
                .where(sync_wave.c.run_id == run_id, sync_wave.c.wave > wave)
                .where(sync_wave.c.state == WaveState.PLANNED.value)
            )
        return following

    def claim_wave(self, run_id: str, wave: int, lease_s: float, owner: str = "") -> Claim | None:
        """Take the committing lease of a wave whose batches have all ended.

        None while a batch still needs a worker, while someone else commits, after it, and when the
        run has ended.
        """
        with self._database.writing() as connection:
            if not still_running(connection, run_id):
                return None
            now = self._database.now(connection)
            token = uuid.uuid4().hex
            changed = connection.execute(
                update(sync_wave)
                .where(sync_wave.c.run_id == run_id, sync_wave.c.wave == wave)
                .where(free_wave(now), ~has_open_batches())
                .values(
                    state=WaveState.COMMITTING.value,
                    token=token,
                    owner=owner,
                    lease_until=now + lease_s,
                    claimed_at=now,
                    attempt=sync_wave.c.attempt + 1,
                )
            )
        return Claim(run_id, wave, token, 1) if changed.rowcount == 1 else None

    def renew_wave(self, claim: Claim, lease_s: float, bars_written: int | None = None) -> bool:
        """Prolong a committing lease, and note the bars written so far.

        What is noted only grows: a commit that is repeated after a crash writes less. False if the
        lease was lost, or the run has ended.
        """
        with self._database.writing() as connection:
            if not still_running(connection, claim.run_id):
                return False
            now = self._database.now(connection)
            kept = held_wave(claim).values(lease_until=now + lease_s)
            if bars_written is not None:
                kept = kept.values(bars_written=at_least(sync_wave.c.bars_written, bars_written))
            changed = connection.execute(kept)
        return changed.rowcount == 1

    def release_wave(self, claim: Claim, reason: str) -> None:
        """Give a committing lease back after a failed commit, saying why it failed."""
        with self._database.writing() as connection:
            connection.execute(
                held_wave(claim).values(**FREE, state=WaveState.PUBLISHED.value, reason=reason)
            )

    def staged(self, run_id: str, wave: int) -> list[tuple[BatchPlan, dict[str, Any]]]:
        """Plan and manifest of every staged batch of a wave, in order."""
        with self._database.reading() as connection:
            rows = connection.execute(
                select(sync_batch.c.work, sync_batch.c.manifest)
                .where(sync_batch.c.run_id == run_id, sync_batch.c.wave == wave)
                .where(sync_batch.c.state == BatchState.STAGED.value)
                .order_by(sync_batch.c.batch_no)
            ).all()
        return [(BatchPlan.from_json(work), json.loads(manifest)) for work, manifest in rows]

    def commit_wave(
        self,
        claim: Claim,
        *,
        bars_written: int,
        refused: Mapping[str, str],
        quarantined: Iterable[QuarantinedBar],
        extension: Sequence[WavePlan],
        swept: Sequence[OutcomeRow] = (),
        notices: Sequence[str] = (),
    ) -> bool:
        """Record a wave as committed: coverage, quarantine, further waves, and the run's end.

        Call it after both stores hold the bars. False if the lease was lost, or the run has ended;
        nothing is recorded then, and what was staged is still needed by another.

        Args:
            claim: The committing lease.
            bars_written: Bars inserted or updated by this wave.
            refused: Subjects whose data was fetched but not stored, with the reason.
            quarantined: Bars that broke an invariant.
            extension: Waves that this one's lists made it possible to plan.
            swept: Outcomes of daily klines that came with a sweep of quotes.
            notices: To add to the run's.
        """
        with self._database.writing() as connection:
            if not still_running(connection, claim.run_id, alone=True):
                return False
            now = self._database.now(connection)
            changed = connection.execute(
                held_wave(claim).values(
                    state=WaveState.COMMITTED.value,
                    bars_written=at_least(sync_wave.c.bars_written, bars_written),
                    committed_at=now,
                    lease_until=None,
                    reason=None,
                )
            )
            if changed.rowcount != 1:
                return False
            connection.execute(
                update(sync_batch)
                .where(sync_batch.c.run_id == claim.run_id, sync_batch.c.wave == claim.number)
                .where(sync_batch.c.state == BatchState.STAGED.value)
                .values(state=BatchState.COMMITTED.value)
            )
            refuse(connection, claim.run_id, refused)
            enter_bars(connection, claim.run_id, quarantined, now)
            cover(connection, claim)
            note_swept(connection, claim, swept)
            insert_waves(connection, claim.run_id, extension)
            if notices:
                add_notices(connection, claim.run_id, notices)
            end_run_if_done(connection, claim.run_id, now)
        return True

    def end_run(self, run_id: str, state: RunState, reason: str) -> None:
        """End a run that cannot go on, saying why; one that has ended stays as it is.

        What was fetched but not committed becomes ``not_stored``: fetched is not held. A commit
        that was under way stays marked, so that both stores can be made the same.
        """
        with self._database.writing() as connection:
            now = self._database.now(connection)
            ended = connection.execute(
                update(sync_run)
                .where(sync_run.c.run_id == run_id, sync_run.c.state == RunState.RUNNING.value)
                .values(state=state.value, reason=reason, finished_at=now)
            )
            if ended.rowcount:
                give_up_staged(connection, run_id, reason)

    def status(self, run_id: str) -> RunStatus:
        """A run at a glance.

        Raises:
            NoSuchRunError: The ledger has no such run.
        """
        with self._database.reading() as connection:
            row = connection.execute(select(sync_run).where(sync_run.c.run_id == run_id)).first()
            if row is None:
                raise NoSuchRunError(
                    f"the ledger has no run {run_id}: `quantsync runs` lists those it has",
                    {"run_id": run_id},
                )
            return status_of(connection, row, self._database.now(connection))

    def runs(self, limit: int = 20, *, state: RunState | None = None) -> list[RunStatus]:
        """The newest runs, newest first."""
        query = select(sync_run).order_by(sync_run.c.created_at.desc()).limit(limit)
        if state is not None:
            query = query.where(sync_run.c.state == state.value)
        with self._database.reading() as connection:
            now = self._database.now(connection)
            return [status_of(connection, row, now) for row in connection.execute(query).all()]

    def outcomes(
        self, run_id: str, *, exclude: Sequence[str] = (), limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Outcome rows of a run, by work and subject, without those named in ``exclude``."""
        query = (
            select(sync_outcome)
            .where(sync_outcome.c.run_id == run_id)
            .where(sync_outcome.c.outcome.not_in(list(exclude)))
            .order_by(sync_outcome.c.work, sync_outcome.c.subject)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query.limit(limit) if limit else query).mappings().all()
        return [dict(row) for row in rows]
