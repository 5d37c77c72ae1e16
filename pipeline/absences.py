"""What the answers of a wave prove to hold no bar, recorded before coverage says so."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlalchemy import select

from market.bars import Dataset
from market.periods import Period
from market.sessions import Window, exchange_calendar
from pipeline.runtime import Runtime
from storage.ledger_tables import sync_outcome
from storage.no_trade import Proof, add_no_trade
from storage.run_records import BatchPlan

_Days = dict[str, list[date]]
_Dates = npt.NDArray[np.datetime64]
_PORTION = 500  # names in one statement


def record_absences(
    runtime: Runtime,
    run_id: str,
    plans: Sequence[BatchPlan],
    bars: Mapping[tuple[Dataset, Period], pa.Table],
) -> None:
    """Record the sessions that the answers of a wave cover without a bar. Idempotent.

    It comes before the coverage of the same answers: a crash between the two leaves proof of what
    nobody calls complete yet, which is true; the other way round, suspensions would look like lost
    bars.

    Args:
        runtime: The stores.
        run_id: The run.
        plans: Of the batches that were staged.
        bars: All that they brought.

    Raises:
        StorageError: The database cannot be used.
    """
    names: dict[tuple[Dataset, Period], list[str]] = {}
    for plan in plans:
        if plan.work.dataset is not None and plan.period is not None:
            asked = names.setdefault((plan.work.dataset, plan.period), [])
            asked += [item.subject for item in plan.items]
    for (dataset, period), subjects in names.items():
        covered = _covered(runtime, run_id, dataset, subjects)
        if not covered:
            continue
        traded = _traded(dataset, bars.get((dataset, period)))
        edges, absent = _sort_out(covered, traded)
        if not edges and not absent:
            continue
        with runtime.database.writing() as connection:
            add_no_trade(connection, dataset, period.value, Proof.EDGE, edges)
            add_no_trade(connection, dataset, period.value, Proof.ANSWER, absent)


def _covered(
    runtime: Runtime, run_id: str, dataset: Dataset, names: Sequence[str]
) -> dict[str, Window]:
    """What the outcomes of subjects prove complete."""
    covered = {}
    with runtime.database.reading() as connection:
        for some in _portions(names):
            query = (
                select(
                    sync_outcome.c.subject,
                    sync_outcome.c.covered_from,
                    sync_outcome.c.covered_to,
                )
                # The work that fetches a dataset's bars bears its name.
                .where(sync_outcome.c.run_id == run_id, sync_outcome.c.work == dataset.value)
                .where(sync_outcome.c.subject.in_(some), sync_outcome.c.covered_from.is_not(None))
            )
            for name, start, end in connection.execute(query):
                covered[name] = Window(start, end)
    return covered


def _portions(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _PORTION):
        yield names[start : start + _PORTION]


def _traded(dataset: Dataset, bars: pa.Table | None) -> dict[str, _Dates]:
    """The sessions of which each series has bars, ascending."""
    if bars is None or not bars.num_rows:
        return {}
    pairs = pa.table({"name": bars[dataset.key].cast(pa.string()), "session": bars["session"]})
    pairs = (
        pairs.group_by(["name", "session"])
        .aggregate([])
        .sort_by([("name", "ascending"), ("session", "ascending")])
    )
    names = pairs["name"].combine_chunks().dictionary_encode()
    days = np.asarray(pairs["session"].to_numpy(zero_copy_only=False), "datetime64[D]")
    places = names.indices.to_numpy()
    begins = np.flatnonzero(np.append(True, places[1:] != places[:-1]))
    return dict(zip(names.dictionary.to_pylist(), np.split(days, begins[1:]), strict=True))


def _sort_out(covered: Mapping[str, Window], traded: Mapping[str, _Dates]) -> tuple[_Days, _Days]:
    """Sessions without a bar: those before an answer's first bar, and all others."""
    edges: _Days = {}
    absent: _Days = {}
    none: _Dates = np.empty(0, "datetime64[D]")
    for name, window in covered.items():
        due, held = _sessions(window), traded.get(name, none)
        first, last = np.searchsorted(held, np.datetime64(window.start)), len(held)
        if last - first == len(due) and np.array_equal(held[first:last], due):
            continue
        begins = held[0].item() if len(held) else date.max
        for session in np.setdiff1d(due, held, assume_unique=True).tolist():
            (edges if session < begins else absent).setdefault(name, []).append(session)
    return edges, absent


@lru_cache(maxsize=64)
def _sessions(window: Window) -> _Dates:
    return np.array(exchange_calendar().sessions_in(window), "datetime64[D]")
