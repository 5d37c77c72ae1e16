"""The ledger: the truth about runs. Celery delivers hints; what counts is written here.

Claims are compare-and-swap with a lease token, so a message may arrive twice, late, or after its
twin: whoever lost the lease is refused. Ledger time is the database's clock.
"""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from market.bars import Dataset
from market.boards import BoardKind
from market.periods import Period
from storage.coverage import extend_coverage
from storage.database import Database
from storage.errors import StorageError
from storage.ledger_tables import (
    installation,
    kline_quarantine,
    sync_batch,
    sync_outcome,
    sync_run,
    sync_wave,
)


class Work(StrEnum):
    """What a batch fetches."""

    SYMBOL_LIST = "symbol_list"
    KLINE = "kline"
    BOARD_LIST = "board_list"
    BOARD_MEMBERS = "board_members"
    BOARD_KLINE = "board_kline"

    @property
    def dataset(self) -> Dataset | None:
        """The klines this work yields; None for lists."""
        return {Work.KLINE: Dataset.KLINE, Work.BOARD_KLINE: Dataset.BOARD_KLINE}.get(self)


class RunState(StrEnum):
    """How a run stands. ``COMMITTED``, ``PARTIAL``, ``FAILED`` are ends."""

    RUNNING = "running"
    COMMITTED = "committed"
    PARTIAL = "partial"
    FAILED = "failed"

    @property
    def is_end(self) -> bool:
        """Whether the run can still change."""
        return self is not RunState.RUNNING


class BatchState(StrEnum):
    """How a batch stands. ``STAGED``, ``FAILED`` and ``COMMITTED`` need no worker any more."""

    PENDING = "pending"
    LEASED = "leased"
    STAGED = "staged"
    FAILED = "failed"
    COMMITTED = "committed"


class WaveState(StrEnum):
    """How a wave stands."""

    PLANNED = "planned"
    PUBLISHED = "published"
    COMMITTING = "committing"
    COMMITTED = "committed"


@dataclass(frozen=True, slots=True)
class Item:
    """One fetch of a batch.

    Attributes:
        subject: Symbol, board code, or the list's own name.
        start: First session wanted; None for lists.
        end: Last session wanted; None for lists.
        held: Whether bars of it were already held when this was planned.
        suspended_on: Session at which the latest list showed no trade of it.
        listed: Whether the latest list names it.
    """

    subject: str
    start: date | None = None
    end: date | None = None
    held: bool = False
    suspended_on: date | None = None
    listed: bool | None = None


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What one header task of a chord fetches."""

    work: Work
    items: tuple[Item, ...]
    period: Period | None = None
    board_kind: BoardKind | None = None

    def to_json(self) -> str:
        """Text for the ledger."""
        return json.dumps(
            {
                "work": self.work.value,
                "period": self.period and self.period.value,
                "board_kind": self.board_kind and self.board_kind.value,
                "items": [
                    [i.subject, _iso(i.start), _iso(i.end), i.held, _iso(i.suspended_on), i.listed]
                    for i in self.items
                ],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "BatchPlan":
        """The plan that :meth:`to_json` wrote."""
        raw = json.loads(text)
        return cls(
            work=Work(raw["work"]),
            period=Period(raw["period"]) if raw["period"] else None,
            board_kind=BoardKind(raw["board_kind"]) if raw["board_kind"] else None,
            items=tuple(
                Item(subject, _day(start), _day(end), held, _day(suspended), listed)
                for subject, start, end, held, suspended, listed in raw["items"]
            ),
        )


@dataclass(frozen=True, slots=True)
class WavePlan:
    """One chord: its queue and the batches of its header."""

    queue: str
    batches: tuple[BatchPlan, ...]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A run as it enters the ledger.

    Attributes:
        kind: ``stocks``, ``concepts`` or ``industries``.
        slot: Scheduled instant it serves (ISO 8601); None on demand. ``(kind, slot)`` is unique.
        params: What was asked for, as JSON values.
        notices: Sentences about the plan that the asker should read.
        deadline_s: Seconds after which the run ends as partial.
    """

    run_id: str
    kind: str
    period: Period | None
    upstream: str
    lane: str
    params: Mapping[str, object]
    waves: tuple[WavePlan, ...]
    slot: str | None = None
    notices: tuple[str, ...] = ()
    deadline_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a batch or to commit a wave, until the lease ends."""

    run_id: str
    number: int
    token: str
    attempt: int


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """How one fetch ended, as the ledger keeps it."""

    subject: str
    outcome: str
    reason: str | None = None
    rows: int = 0
    covered_from: date | None = None
    covered_to: date | None = None


@dataclass(frozen=True, slots=True)
class QuarantinedBar:
    """A rejected bar: its key, the whole row as JSON values, and the invariants it breaks."""

    dataset: Dataset
    period: Period
    subject: str
    end_at: int
    row: Mapping[str, object]
    reasons: str


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run at a glance.

    Attributes:
        items: Fetches planned so far; a run that begins with a list learns more on the way.
        done: Fetches ended.
        outcomes: How often each outcome stands, by name.
    """

    run_id: str
    kind: str
    period: str | None
    slot: str | None
    upstream: str
    lane: str
    params: dict[str, Any]
    notices: list[str]
    state: RunState
    reason: str | None
    created_at: float
    finished_at: float | None
    elapsed_s: float
    waves: int
    waves_committed: int
    batches: int
    batches_leased: int
    items: int
    done: int
    requests: int
    bars_written: int
    outcomes: dict[str, int]


def new_run_id() -> str:
    """An id that sorts by time: UTC date and time, and a random tail."""
    from datetime import UTC, datetime  # noqa: PLC0415

    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


class Ledger:
    """Runs, waves, batches and outcomes in SQL.

    Every method is one transaction. Safe to share between threads.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- plan ------------------------------------------------------------------------------------

    def open_run(self, plan: RunPlan) -> bool:
        """Record a run with all its waves and batches.

        Returns:
            False if a run of this kind and slot is already there; nothing is recorded then.
        """
        with self._database.engine.begin() as connection:
            now = self._database.now(connection)
            if plan.slot is not None and connection.scalar(
                select(sync_run.c.run_id).where(
                    sync_run.c.kind == plan.kind, sync_run.c.slot == plan.slot
                )
            ):
                return False
            try:
                connection.execute(insert(sync_run).values(**_run_row(plan, now)))
            except IntegrityError:
                return False
            _insert_waves(connection, plan.run_id, plan.waves)
        return True

    # -- batches ---------------------------------------------------------------------------------

    def claim_batch(self, run_id: str, batch_no: int, lease_s: float) -> Claim | None:
        """Take a batch that is pending, or whose lease has ended; None if someone else has it."""
        with self._database.engine.begin() as connection:
            now = self._database.now(connection)
            token = uuid.uuid4().hex
            changed = connection.execute(
                update(sync_batch)
                .where(sync_batch.c.run_id == run_id, sync_batch.c.batch_no == batch_no)
                .where(
                    (sync_batch.c.state == BatchState.PENDING.value)
                    | (
                        (sync_batch.c.state == BatchState.LEASED.value)
                        & (sync_batch.c.lease_until < now)
                    )
                )
                .values(
                    state=BatchState.LEASED.value,
                    token=token,
                    lease_until=now + lease_s,
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
        with self._database.engine.connect() as connection:
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
        with self._database.engine.begin() as connection:
            now = self._database.now(connection)
            changed = connection.execute(_held(claim).values(lease_until=now + lease_s, done=done))
        return changed.rowcount == 1

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
        with self._database.engine.begin() as connection:
            changed = connection.execute(_held(claim).values(**values, lease_until=None))
            if changed.rowcount != 1:
                return False
            _replace_outcomes(connection, claim, work, outcomes)
        return True

    # -- waves -----------------------------------------------------------------------------------

    def mark_published(self, run_id: str, wave: int) -> None:
        """Note that a wave's chord was handed to the broker."""
        with self._database.engine.begin() as connection:
            connection.execute(
                update(sync_wave)
                .where(sync_wave.c.run_id == run_id, sync_wave.c.wave == wave)
                .where(sync_wave.c.state == WaveState.PLANNED.value)
                .values(state=WaveState.PUBLISHED.value)
            )

    def batch_numbers(self, run_id: str, wave: int) -> tuple[str, list[int]]:
        """The queue of a wave, and its batches that still need a worker.

        Raises:
            StorageError: The ledger has no such wave.
        """
        with self._database.engine.connect() as connection:
            queue = connection.scalar(
                select(sync_wave.c.queue).where(
                    sync_wave.c.run_id == run_id, sync_wave.c.wave == wave
                )
            )
            if queue is None:
                raise StorageError(f"the ledger has no wave {wave} of run {run_id}")
            numbers = connection.scalars(
                select(sync_batch.c.batch_no)
                .where(sync_batch.c.run_id == run_id, sync_batch.c.wave == wave)
                .where(sync_batch.c.state.in_([BatchState.PENDING.value, BatchState.LEASED.value]))
                .order_by(sync_batch.c.batch_no)
            ).all()
        return queue, list(numbers)

    def unfinished_waves(self, run_id: str) -> list[tuple[int, int]]:
        """Waves that were published but not committed, each with its batches that need a worker.

        A batch whose lease still runs is being worked on and is not counted.
        """
        with self._database.engine.connect() as connection:
            now = self._database.now(connection)
            idle = (sync_batch.c.state == BatchState.PENDING.value) | (
                (sync_batch.c.state == BatchState.LEASED.value) & (sync_batch.c.lease_until < now)
            )
            rows = connection.execute(
                select(sync_wave.c.wave, func.count(sync_batch.c.batch_no).filter(idle))
                .join(
                    sync_batch,
                    (sync_batch.c.run_id == sync_wave.c.run_id)
                    & (sync_batch.c.wave == sync_wave.c.wave),
                )
                .where(sync_wave.c.run_id == run_id)
                .where(sync_wave.c.state.in_([WaveState.PUBLISHED.value, WaveState.COMMITTING.value]))
                .group_by(sync_wave.c.wave)
                .order_by(sync_wave.c.wave)
            ).all()
        return [(wave, count) for wave, count in rows]

    def release_leases(self) -> int:
        """Give back every batch and wave lease; how many there were.

        Only for a caller who knows that no worker is alive, such as the owner of a home's stack
        before it starts any.
        """
        with self._database.engine.begin() as connection:
            batches = connection.execute(
                update(sync_batch)
                .where(sync_batch.c.state == BatchState.LEASED.value)
                .values(state=BatchState.PENDING.value, token=None, lease_until=None)
            )
            waves = connection.execute(
                update(sync_wave)
                .where(sync_wave.c.state == WaveState.COMMITTING.value)
                .values(state=WaveState.PUBLISHED.value, token=None, lease_until=None)
            )
        return batches.rowcount + waves.rowcount

    def planned_wave_after(self, run_id: str, wave: int) -> int | None:
        """The next wave that was not yet published."""
        with self._database.engine.connect() as connection:
            return connection.scalar(
                select(func.min(sync_wave.c.wave))
                .where(sync_wave.c.run_id == run_id, sync_wave.c.wave > wave)
                .where(sync_wave.c.state == WaveState.PLANNED.value)
            )

    def claim_wave(self, run_id: str, wave: int, lease_s: float) -> Claim | None:
        """Take the committing lease of a wave whose batches have all ended.

        None while a batch still needs a worker, while someone else commits, or after it.
        """
        open_batches = (
            select(func.count())
            .select_from(sync_batch)
            .where(sync_batch.c.run_id == run_id, sync_batch.c.wave == wave)
            .where(sync_batch.c.state.in_([BatchState.PENDING.value, BatchState.LEASED.value]))
            .scalar_subquery()
        )
        with self._database.engine.begin() as connection:
            now = self._database.now(connection)
            token = uuid.uuid4().hex
            changed = connection.execute(
                update(sync_wave)
                .where(sync_wave.c.run_id == run_id, sync_wave.c.wave == wave)
                .where(
                    sync_wave.c.state.in_([WaveState.PLANNED.value, WaveState.PUBLISHED.value])
                    | (
                        (sync_wave.c.state == WaveState.COMMITTING.value)
                        & (sync_wave.c.lease_until < now)
                    )
                )
                .where(open_batches == 0)
                .values(
                    state=WaveState.COMMITTING.value,
                    token=token,
                    lease_until=now + lease_s,
                    attempt=sync_wave.c.attempt + 1,
                )
            )
        return Claim(run_id, wave, token, 1) if changed.rowcount == 1 else None

    def release_wave(self, claim: Claim, reason: str) -> None:
        """Give a committing lease back after a failed commit, saying why it failed."""
        with self._database.engine.begin() as connection:
            connection.execute(
                _committing(claim).values(
                    state=WaveState.PUBLISHED.value, lease_until=None, reason=reason
                )
            )

    def staged(self, run_id: str, wave: int) -> list[tuple[BatchPlan, dict[str, Any]]]:
        """Plan and manifest of every staged batch of a wave, in order."""
        with self._database.engine.connect() as connection:
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
        notices: Sequence[str] = (),
    ) -> bool:
        """Record a wave as committed: coverage, quarantine, further waves, and the run's end.

        Call it after the lake and the warehouse hold the bars. False if the lease was lost.

        Args:
            claim: The committing lease.
            bars_written: Bars inserted or updated by this wave.
            refused: Subjects whose data was fetched but not stored, with the reason.
            quarantined: Bars that broke an invariant.
            extension: Waves that this one's lists made it possible to plan.
            notices: Sentences to add to the run's.
        """
        with self._database.engine.begin() as connection:
            now = self._database.now(connection)
            changed = connection.execute(
                _committing(claim).values(
                    state=WaveState.COMMITTED.value,
                    bars_written=bars_written,
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
            _refuse(connection, claim.run_id, refused)
            _quarantine(connection, claim.run_id, quarantined, now)
            _cover(connection, claim)
            _insert_waves(connection, claim.run_id, extension)
            if notices:
                _add_notices(connection, claim.run_id, notices)
            _end_run_if_done(connection, claim.run_id, now)
        return True

    # -- runs ------------------------------------------------------------------------------------

    def end_run(self, run_id: str, state: RunState, reason: str) -> None:
        """End a run that cannot go on, saying why; one that has ended stays as it is."""
        with self._database.engine.begin() as connection:
            now = self._database.now(connection)
            connection.execute(
                update(sync_run)
                .where(sync_run.c.run_id == run_id, sync_run.c.state == RunState.RUNNING.value)
                .values(state=state.value, reason=reason, finished_at=now)
            )

    def status(self, run_id: str) -> RunStatus:
        """A run at a glance.

        Raises:
            StorageError: The ledger has no such run.
        """
        with self._database.engine.connect() as connection:
            row = connection.execute(select(sync_run).where(sync_run.c.run_id == run_id)).first()
            if row is None:
                raise StorageError(
                    f"the ledger has no run {run_id}: `quantsync runs` lists those it has",
                    {"run_id": run_id},
                )
            return _status(connection, row, self._database.now(connection))

    def runs(self, limit: int = 20, *, state: RunState | None = None) -> list[RunStatus]:
        """The newest runs, newest first."""
        query = select(sync_run).order_by(sync_run.c.created_at.desc()).limit(limit)
        if state is not None:
            query = query.where(sync_run.c.state == state.value)
        with self._database.engine.connect() as connection:
            now = self._database.now(connection)
            return [_status(connection, row, now) for row in connection.execute(query).all()]

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
        with self._database.engine.connect() as connection:
            rows = connection.execute(query.limit(limit) if limit else query).mappings().all()
        return [dict(row) for row in rows]

    def installation_fact(self, name: str, value: str) -> str:
        """Record a fact about this installation if it is not yet known; the fact as known."""
        with self._database.engine.begin() as connection:
            known = connection.scalar(
                select(installation.c.value).where(installation.c.name == name)
            )
            if known is not None:
                return str(known)
            connection.execute(insert(installation).values(name=name, value=value))
        return value


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _run_row(plan: RunPlan, now: float) -> dict[str, object]:
    return {
        "run_id": plan.run_id,
        "kind": plan.kind,
        "slot": plan.slot,
        "period": plan.period.value if plan.period else None,
        "upstream": plan.upstream,
        "lane": plan.lane,
        "params": json.dumps(dict(plan.params)),
        "notices": json.dumps(list(plan.notices)),
        "state": (RunState.RUNNING if plan.waves else RunState.COMMITTED).value,
        "created_at": now,
        "deadline_at": now + plan.deadline_s,
        "finished_at": None if plan.waves else now,
    }


def _insert_waves(connection: Connection, run_id: str, waves: Sequence[WavePlan]) -> None:
    if not waves:
        return
    wave = connection.scalar(
        select(func.coalesce(func.max(sync_wave.c.wave), -1)).where(sync_wave.c.run_id == run_id)
    )
    number = connection.scalar(
        select(func.coalesce(func.max(sync_batch.c.batch_no), -1)).where(
            sync_batch.c.run_id == run_id
        )
    )
    assert wave is not None
    assert number is not None
    for plan in waves:
        wave += 1
        connection.execute(
            insert(sync_wave).values(
                run_id=run_id, wave=wave, queue=plan.queue, state=WaveState.PLANNED.value
            )
        )
        for batch in plan.batches:
            number += 1
            connection.execute(
                insert(sync_batch).values(
                    run_id=run_id,
                    batch_no=number,
                    wave=wave,
                    work=batch.to_json(),
                    items=len(batch.items),
                    state=BatchState.PENDING.value,
                )
            )


def _held(claim: Claim) -> Any:
    return (
        update(sync_batch)
        .where(sync_batch.c.run_id == claim.run_id, sync_batch.c.batch_no == claim.number)
        .where(sync_batch.c.state == BatchState.LEASED.value, sync_batch.c.token == claim.token)
    )


def _committing(claim: Claim) -> Any:
    return (
        update(sync_wave)
        .where(sync_wave.c.run_id == claim.run_id, sync_wave.c.wave == claim.number)
        .where(sync_wave.c.state == WaveState.COMMITTING.value, sync_wave.c.token == claim.token)
    )


def _replace_outcomes(
    connection: Connection, claim: Claim, work: Work, outcomes: Sequence[OutcomeRow]
) -> None:
    connection.execute(
        sync_outcome.delete().where(
            sync_outcome.c.run_id == claim.run_id, sync_outcome.c.batch_no == claim.number
        )
    )
    rows = [
        {
            "run_id": claim.run_id,
            "work": work.value,
            "subject": o.subject,
            "batch_no": claim.number,
            "outcome": o.outcome,
            "reason": o.reason,
            "rows": o.rows,
            "covered_from": o.covered_from,
            "covered_to": o.covered_to,
        }
        for o in outcomes
    ]
    if rows:
        connection.execute(insert(sync_outcome), rows)


def _refuse(connection: Connection, run_id: str, refused: Mapping[str, str]) -> None:
    for subject, reason in refused.items():
        connection.execute(
            update(sync_outcome)
            .where(sync_outcome.c.run_id == run_id, sync_outcome.c.subject == subject)
            .where(sync_outcome.c.work.in_([w.value for w in Work if w.dataset is None]))
            .values(outcome="not_stored", reason=reason, covered_from=None, covered_to=None)
        )


def _quarantine(
    connection: Connection, run_id: str, bars: Iterable[QuarantinedBar], now: float
) -> None:
    for bar in bars:
        key = {
            "dataset": bar.dataset.value,
            "period": bar.period.value,
            "subject": bar.subject,
            "end_at": bar.end_at,
            "reasons": bar.reasons,
        }
        known = select(kline_quarantine.c.id).filter_by(**key)
        if connection.scalar(known) is None:
            connection.execute(
                insert(kline_quarantine).values(
                    **key, run_id=run_id, row=json.dumps(dict(bar.row)), quarantined_at=now
                )
            )


def _cover(connection: Connection, claim: Claim) -> None:
    rows = connection.execute(
        select(
            sync_batch.c.work,
            sync_outcome.c.subject,
            sync_outcome.c.covered_from,
            sync_outcome.c.covered_to,
        )
        .join(
            sync_batch,
            (sync_batch.c.run_id == sync_outcome.c.run_id)
            & (sync_batch.c.batch_no == sync_outcome.c.batch_no),
        )
        .where(sync_outcome.c.run_id == claim.run_id, sync_batch.c.wave == claim.number)
        .where(sync_batch.c.state == BatchState.COMMITTED.value)
        .where(sync_outcome.c.covered_from.is_not(None))
    ).all()
    for text, subject, start, end in rows:
        plan = BatchPlan.from_json(text)
        dataset = plan.work.dataset.value if plan.work.dataset else plan.work.value
        period = plan.period.value if plan.period else "session"
        extend_coverage(connection, dataset, period, subject, (start, end), claim.run_id)


def _add_notices(connection: Connection, run_id: str, notices: Sequence[str]) -> None:
    text = connection.scalar(select(sync_run.c.notices).where(sync_run.c.run_id == run_id))
    connection.execute(
        update(sync_run)
        .where(sync_run.c.run_id == run_id)
        .values(notices=json.dumps([*json.loads(text or "[]"), *notices]))
    )


_SUCCESS = ("ok", "unchanged", "empty_suspended", "empty_not_listed", "delisted")


def _end_run_if_done(connection: Connection, run_id: str, now: float) -> None:
    open_waves = connection.scalar(
        select(func.count())
        .select_from(sync_wave)
        .where(sync_wave.c.run_id == run_id, sync_wave.c.state != WaveState.COMMITTED.value)
    )
    if open_waves:
        return
    counts = _outcome_counts(connection, run_id)
    good = sum(n for name, n in counts.items() if name in _SUCCESS)
    bad = sum(counts.values()) - good
    state = RunState.COMMITTED if not bad else RunState.PARTIAL if good else RunState.FAILED
    worst = [f"{n} {name}" for name, n in sorted(counts.items()) if name not in _SUCCESS]
    connection.execute(
        update(sync_run)
        .where(sync_run.c.run_id == run_id, sync_run.c.state == RunState.RUNNING.value)
        .values(state=state.value, reason=", ".join(worst) or None, finished_at=now)
    )


def _outcome_counts(connection: Connection, run_id: str) -> dict[str, int]:
    rows = connection.execute(
        select(sync_outcome.c.outcome, func.count())
        .where(sync_outcome.c.run_id == run_id)
        .group_by(sync_outcome.c.outcome)
        .order_by(sync_outcome.c.outcome)
    ).all()
    return {name: count for name, count in rows}  # noqa: C416  (rows are Row, not tuple)


def _status(connection: Connection, row: Row[Any], now: float) -> RunStatus:
    batches = connection.execute(
        select(
            func.count(),
            func.coalesce(func.sum(sync_batch.c.items), 0),
            func.coalesce(func.sum(sync_batch.c.done), 0),
            func.coalesce(func.sum(sync_batch.c.requests), 0),
            func.count().filter(sync_batch.c.state != BatchState.PENDING.value),
        ).where(sync_batch.c.run_id == row.run_id)
    ).one()
    waves = connection.execute(
        select(
            func.count(),
            func.count().filter(sync_wave.c.state == WaveState.COMMITTED.value),
            func.coalesce(func.sum(sync_wave.c.bars_written), 0),
        ).where(sync_wave.c.run_id == row.run_id)
    ).one()
    return RunStatus(
        run_id=row.run_id,
        kind=row.kind,
        period=row.period,
        slot=row.slot,
        upstream=row.upstream,
        lane=row.lane,
        params=json.loads(row.params),
        notices=json.loads(row.notices),
        state=RunState(row.state),
        reason=row.reason,
        created_at=row.created_at,
        finished_at=row.finished_at,
        elapsed_s=(row.finished_at or now) - row.created_at,
        waves=waves[0],
        waves_committed=waves[1],
        batches=batches[0],
        batches_leased=batches[4],
        items=int(batches[1]),
        done=int(batches[2]),
        requests=int(batches[3]),
        bars_written=int(waves[2]),
        outcomes=_outcome_counts(connection, row.run_id),
    )
