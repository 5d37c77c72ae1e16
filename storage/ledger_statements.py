"""The ledger's statements: each works inside its caller's transaction."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, case, func, insert, select, update

from market.bars import Dataset
from market.periods import Period
from storage.aliases import aliases_within
from storage.coverage import extend_all, prolong_coverage
from storage.ledger_tables import (
    coverage,
    sync_batch,
    sync_outcome,
    sync_run,
    sync_wave,
)
from storage.run_records import (
    SUCCESSES,
    SUSPECT_AFTER,
    BatchPlan,
    BatchState,
    Claim,
    OutcomeRow,
    RunPlan,
    RunState,
    RunStatus,
    WavePlan,
    WaveState,
    Work,
)


def run_row(plan: RunPlan, now: float) -> dict[str, object]:
    """The row of a run."""
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


def insert_waves(connection: Connection, run_id: str, waves: Sequence[WavePlan]) -> None:
    """Record waves and their batches after those the run has."""
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
    new_waves, new_batches = [], []
    for plan in waves:
        wave += 1
        new_waves.append(
            {"run_id": run_id, "wave": wave, "queue": plan.queue, "state": WaveState.PLANNED.value}
        )
        for batch in plan.batches:
            number += 1
            new_batches.append(
                {
                    "run_id": run_id,
                    "batch_no": number,
                    "wave": wave,
                    "work": batch.to_json(),
                    "item_count": len(batch.items),
                    "state": BatchState.PENDING.value,
                }
            )
    connection.execute(insert(sync_wave), new_waves)
    if new_batches:
        connection.execute(insert(sync_batch), new_batches)


FREE: dict[str, None] = {"token": None, "owner": None, "lease_until": None}
"""Column values of a batch or wave that nobody holds."""


def still_running(connection: Connection, run_id: str, *, alone: bool = False) -> bool:
    """Whether the run has not ended; it cannot before this transaction does.

    Args:
        connection: The transaction.
        run_id: The run.
        alone: Whether the transaction changes the run, so that no other may rely on it meanwhile.
    """
    running = sync_run.c.state == RunState.RUNNING.value
    query = select(sync_run.c.run_id).where(sync_run.c.run_id == run_id, running)
    return connection.scalar(query.with_for_update(read=not alone)) is not None


def slot_is_served(plan: RunPlan) -> Select[tuple[str]]:
    """The run that serves a plan's slot, or that of an earlier slot which has not ended.

    Runs of another lane or period have slots of their own: a tick never waits for a backfill.
    """
    running = sync_run.c.slot.is_not(None) & (sync_run.c.state == RunState.RUNNING.value)
    alike = (sync_run.c.lane == plan.lane) & (
        sync_run.c.period == (plan.period.value if plan.period else None)
    )
    return (
        select(sync_run.c.run_id)
        .where(sync_run.c.kind == plan.kind, (sync_run.c.slot == plan.slot) | (running & alike))
        .limit(1)
    )


def free_batch(now: float) -> ColumnElement[bool]:
    """Whether a batch is pending, or its lease has ended."""
    expired = (sync_batch.c.state == BatchState.LEASED.value) & (sync_batch.c.lease_until < now)
    return (sync_batch.c.state == BatchState.PENDING.value) | expired


def may_be_tried(now: float) -> ColumnElement[bool]:
    """Whether a batch is no suspect, or no other suspect is being tried."""
    other = sync_batch.alias()
    tried = (
        select(other.c.batch_no)
        .where(other.c.state == BatchState.LEASED.value, other.c.lease_until >= now)
        .where(other.c.attempt > SUSPECT_AFTER)
    )
    return (sync_batch.c.attempt < SUSPECT_AFTER) | ~tried.exists()


def free_wave(now: float) -> ColumnElement[bool]:
    """Whether nobody commits a wave, or the lease of who did has ended."""
    waiting = sync_wave.c.state.in_([WaveState.PLANNED.value, WaveState.PUBLISHED.value])
    expired = (sync_wave.c.state == WaveState.COMMITTING.value) & (sync_wave.c.lease_until < now)
    return waiting | expired


def at_least(column: ColumnElement[int], number: int) -> ColumnElement[int]:
    """The larger of a column and a number."""
    return case((column > number, column), else_=number)


def has_open_batches() -> ColumnElement[bool]:
    """Whether a batch of the wave still needs a worker."""
    return (
        select(sync_batch.c.batch_no)
        .where(sync_batch.c.run_id == sync_wave.c.run_id, sync_batch.c.wave == sync_wave.c.wave)
        .where(sync_batch.c.state.in_([BatchState.PENDING.value, BatchState.LEASED.value]))
        .exists()
    )


def held_batch(claim: Claim) -> Any:
    """An update of a batch that takes effect only while the claim holds."""
    return (
        update(sync_batch)
        .where(sync_batch.c.run_id == claim.run_id, sync_batch.c.batch_no == claim.number)
        .where(sync_batch.c.state == BatchState.LEASED.value, sync_batch.c.token == claim.token)
    )


def held_wave(claim: Claim) -> Any:
    """An update of a wave that takes effect only while the claim holds."""
    return (
        update(sync_wave)
        .where(sync_wave.c.run_id == claim.run_id, sync_wave.c.wave == claim.number)
        .where(sync_wave.c.state == WaveState.COMMITTING.value, sync_wave.c.token == claim.token)
    )


def replace_outcomes(
    connection: Connection, claim: Claim, work: Work, outcomes: Sequence[OutcomeRow]
) -> None:
    """Record a batch's outcomes in place of those of an earlier attempt."""
    connection.execute(
        sync_outcome.delete().where(
            sync_outcome.c.run_id == claim.run_id, sync_outcome.c.batch_no == claim.number
        )
    )
    if outcomes:
        rows = _outcome_rows(claim.run_id, claim.number, work, outcomes)
        connection.execute(insert(sync_outcome), rows)


def _outcome_rows(
    run_id: str, number: int, work: Work, outcomes: Sequence[OutcomeRow]
) -> list[dict[str, Any]]:
    return [
        {
            "run_id": run_id,
            "work": work.value,
            "subject": o.subject,
            "batch_no": number,
            "outcome": o.outcome,
            "reason": o.reason,
            "rows": o.rows,
            "covered_from": o.covered_from,
            "covered_to": o.covered_to,
        }
        for o in outcomes
    ]


def refuse(connection: Connection, run_id: str, refused: Mapping[str, str]) -> None:
    """Turn the outcomes of lists that were fetched but not taken into what they are."""
    for subject, reason in refused.items():
        connection.execute(
            update(sync_outcome)
            .where(sync_outcome.c.run_id == run_id, sync_outcome.c.subject == subject)
            .where(sync_outcome.c.work.in_([w.value for w in Work if w.dataset is None]))
            .values(outcome="not_stored", reason=reason, covered_from=None, covered_to=None)
        )


def cover(connection: Connection, claim: Claim) -> None:
    """Extend the coverage of every series by what the wave's outcomes prove."""
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
    present = aliases_within(connection)  # it may have been planned before it was renumbered
    series: dict[str, tuple[str, str]] = {}
    proven: dict[tuple[str, str], dict[str, list[tuple[date, date]]]] = {}
    for text, subject, start, end in rows:
        if text not in series:  # the plan of a batch, the same for all of its subjects
            plan = BatchPlan.from_json(text)
            dataset = plan.work.dataset.value if plan.work.dataset else plan.work.value
            series[text] = (dataset, plan.period.value if plan.period else "session")
        of_series = proven.setdefault(series[text], {})
        of_series.setdefault(present.get(subject, subject), []).append((start, end))
    for (dataset, period), ranges in proven.items():
        extend_all(connection, dataset, period, ranges, claim.run_id)


def note_swept(connection: Connection, claim: Claim, outcomes: Sequence[OutcomeRow]) -> None:
    """Record the outcomes of daily klines that came with a sweep, and cover what they prove."""
    if not outcomes:
        return
    number = connection.scalar(
        select(func.min(sync_batch.c.batch_no)).where(
            sync_batch.c.run_id == claim.run_id, sync_batch.c.wave == claim.number
        )
    )
    rows = _outcome_rows(claim.run_id, number or 0, Work.KLINE, outcomes)
    connection.execute(insert(sync_outcome), rows)
    dataset, period = Dataset.KLINE.value, Period.DAILY.value
    known = set(
        connection.scalars(
            select(coverage.c.subject).where(
                coverage.c.dataset == dataset, coverage.c.period == period
            )
        )
    )
    next_ones: dict[date, list[str]] = {}
    first_ones: dict[str, list[tuple[date, date]]] = {}
    for o in outcomes:
        if o.covered_from is None or o.covered_to is None:
            continue
        if o.subject in known:
            next_ones.setdefault(o.covered_to, []).append(o.subject)
        else:
            first_ones[o.subject] = [(o.covered_from, o.covered_to)]
    extend_all(connection, dataset, period, first_ones, claim.run_id)
    for session, names in next_ones.items():
        prolong_coverage(connection, dataset, period, names, session, claim.run_id)


def add_notices(connection: Connection, run_id: str, notices: Sequence[str]) -> None:
    """Add sentences to those of a run."""
    text = connection.scalar(select(sync_run.c.notices).where(sync_run.c.run_id == run_id))
    connection.execute(
        update(sync_run)
        .where(sync_run.c.run_id == run_id)
        .values(notices=json.dumps([*json.loads(text or "[]"), *notices]))
    )


def give_up_staged(connection: Connection, run_id: str, reason: str) -> None:
    """Let the batches of a run go, and turn the good outcomes of those that were staged."""
    staged = select(sync_batch.c.batch_no).where(
        sync_batch.c.run_id == run_id, sync_batch.c.state == BatchState.STAGED.value
    )
    connection.execute(
        update(sync_batch)
        .where(sync_batch.c.run_id == run_id, sync_batch.c.state == BatchState.LEASED.value)
        .values(**FREE, state=BatchState.PENDING.value)
    )
    connection.execute(
        update(sync_outcome)
        .where(sync_outcome.c.run_id == run_id, sync_outcome.c.batch_no.in_(staged))
        .where(sync_outcome.c.outcome.in_(SUCCESSES))
        .values(outcome="not_stored", reason=reason, covered_from=None, covered_to=None)
    )


def end_run_if_done(connection: Connection, run_id: str, now: float) -> None:
    """End the run when all its waves are committed, by what its outcomes say."""
    open_waves = connection.scalar(
        select(func.count())
        .select_from(sync_wave)
        .where(sync_wave.c.run_id == run_id, sync_wave.c.state != WaveState.COMMITTED.value)
    )
    if open_waves:
        return
    counts = _outcome_counts(connection, run_id)
    good = sum(n for name, n in counts.items() if name in SUCCESSES)
    bad = sum(counts.values()) - good
    state = RunState.COMMITTED if not bad else RunState.PARTIAL if good else RunState.FAILED
    worst = [f"{n} {name}" for name, n in sorted(counts.items()) if name not in SUCCESSES]
    connection.execute(
        update(sync_run)
        .where(sync_run.c.run_id == run_id, sync_run.c.state == RunState.RUNNING.value)
        .values(state=state.value, reason=", ".join(worst) or None, finished_at=now)
    )


def _outcome_counts(
    connection: Connection, run_id: str, *which: ColumnElement[bool]
) -> dict[str, int]:
    rows = connection.execute(
        select(sync_outcome.c.outcome, func.count())
        .where(sync_outcome.c.run_id == run_id, *which)
        .group_by(sync_outcome.c.outcome)
        .order_by(sync_outcome.c.outcome)
    ).all()
    return {name: count for name, count in rows}  # noqa: C416  (rows are Row, not tuple)


def status_of(connection: Connection, row: Row[Any], now: float) -> RunStatus:
    """A run at a glance."""
    batches = connection.execute(
        select(
            func.count(),
            func.coalesce(func.sum(sync_batch.c.item_count), 0),
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
            func.min(sync_wave.c.reason),
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
        outcomes=_outcome_counts(
            connection, row.run_id, sync_outcome.c.work != Work.EX_RIGHT.value
        ),
        ex_rights=_outcome_counts(
            connection, row.run_id, sync_outcome.c.work == Work.EX_RIGHT.value
        ),
        deadline_at=row.deadline_at,
        trouble=waves[3],
    )
