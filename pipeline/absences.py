"""What the answers of a wave prove to hold no bar, recorded before coverage says so."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import select

from market.bars import Dataset
from market.sessions import Window
from pipeline.runtime import Runtime
from storage.ledger_tables import sync_outcome
from storage.no_trade import Proof, add_no_trade
from storage.run_records import BatchPlan

_Days = dict[str, list[date]]


def record_absences(
    runtime: Runtime, run_id: str, staged: Sequence[tuple[BatchPlan, Mapping[str, Any]]]
) -> None:
    """Record the sessions that staged answers cover without a bar. Idempotent.

    It comes before the coverage of the same answers: a crash between the two leaves proof of what
    nobody calls complete yet, which is true; the other way round, suspensions would look like lost
    bars.

    Raises:
        StorageError: The database cannot be used, or a staged file is gone.
    """
    for plan, manifest in staged:
        dataset = plan.work.dataset
        if dataset is None or plan.period is None:
            continue
        covered = _covered(runtime, run_id, plan)
        if not covered:
            continue
        traded = _traded(runtime, dataset, manifest)
        edges, absent = _sort_out(runtime, covered, traded)
        with runtime.database.writing() as connection:
            period = plan.period.value
            add_no_trade(connection, dataset, period, Proof.EDGE, edges)
            add_no_trade(connection, dataset, period, Proof.ANSWER, absent)


def _covered(runtime: Runtime, run_id: str, plan: BatchPlan) -> dict[str, Window]:
    """What the outcomes of a batch prove complete."""
    names = [item.subject for item in plan.items]
    query = (
        select(sync_outcome.c.subject, sync_outcome.c.covered_from, sync_outcome.c.covered_to)
        .where(sync_outcome.c.run_id == run_id, sync_outcome.c.work == plan.work.value)
        .where(sync_outcome.c.subject.in_(names), sync_outcome.c.covered_from.is_not(None))
    )
    with runtime.database.reading() as connection:
        rows = connection.execute(query).all()
    return {name: Window(start, end) for name, start, end in rows}


def _traded(
    runtime: Runtime, dataset: Dataset, manifest: Mapping[str, Any]
) -> dict[str, set[date]]:
    """The sessions of which each series of a batch has bars, by its answers."""
    if dataset.value not in manifest["tables"]:
        return {}
    bars = runtime.staging.read(manifest, dataset.value)
    pairs = pa.table(
        {"name": pc.cast(bars[dataset.key], pa.string()), "session": bars["session"]}
    ).group_by(["name", "session"])
    traded: dict[str, set[date]] = {}
    for name, session in zip(*pairs.aggregate([]).to_pydict().values(), strict=True):
        traded.setdefault(name, set()).add(session)
    return traded


def _sort_out(
    runtime: Runtime, covered: Mapping[str, Window], traded: Mapping[str, set[date]]
) -> tuple[_Days, _Days]:
    """Sessions without a bar: those before an answer's first bar, and all others."""
    edges: _Days = {}
    absent: _Days = {}
    for name, window in covered.items():
        bars = traded.get(name, set())
        first = min(bars, default=date.max)
        for session in runtime.calendar.sessions_in(window):
            if session not in bars:
                (edges if session < first else absent).setdefault(name, []).append(session)
    return edges, absent
