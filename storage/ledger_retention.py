"""Which runs of the ledger are old and needed no more, and letting them and old revisions go.

A run is needed while anything that is decided later rests on it:

==============================  ====================================================================
who needs it                    what is kept
==============================  ====================================================================
recovery                        runs that have not ended, or ended in the middle of a commit
ticks                           the newest slot of each kind, lane and period
coverage, ex-rights, quarantine runs that they name
``verify --gaps``               the runs that say since when and until when something is expected,
                                and the last word on every session that is not covered
==============================  ====================================================================
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select

from market.bars import Dataset
from market.sessions import Window, exchange_calendar
from storage.coverage import Coverage, read_coverage
from storage.database import Database
from storage.ex_right_tables import ex_right
from storage.gap_facts import GAPS_PARAM
from storage.ledger_tables import (
    coverage,
    kline_quarantine,
    sync_batch,
    sync_outcome,
    sync_run,
    sync_wave,
)
from storage.run_records import RunState, WaveState
from storage.tables import kline_revision, list_quarantine

_DAY_S = 86_400.0
_PORTION = 5_000
_NAMES = 500  # in one statement


@dataclass(frozen=True, slots=True)
class _Run:
    """A run as far as retention looks at it."""

    run_id: str
    kind: str
    period: str | None
    lane: str
    slot: str | None
    state: str
    created_at: float
    finished_at: float | None
    window: Window | None
    names: tuple[str, ...] | None
    repairs_gaps: bool

    @property
    def series(self) -> tuple[bool, str | None]:
        """Runs of the same series: stocks or boards, and the period."""
        return self.kind == "stocks", self.period


def expired_runs(database: Database, days: float) -> list[str]:
    """Runs that ended more than so many days ago and are needed no more, oldest first.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.reading() as connection:
        oldest = database.now(connection) - days * _DAY_S
        runs = [_run(row) for row in connection.execute(select(sync_run))]
        runs.sort(key=lambda run: run.created_at)
        old = [run for run in runs if _has_expired(run, oldest)]
        if not old:
            return []
        needed = {*_half_committed(connection), *_newest_slots(runs), *_named(connection)}
        needed |= set(_bounds(runs))
        old = [run for run in old if run.run_id not in needed]
    last_words: set[str] = set()
    for series in dict.fromkeys(run.series for run in old):
        mine = [run for run in old if run.series == series and run.window is not None]
        if mine:
            last_words |= _last_words(database, mine, [r for r in runs if r.series == series])
    return [run.run_id for run in old if run.run_id not in last_words]


def forget_run(database: Database, run_id: str) -> bool:
    """Delete a run that has ended, with its waves, batches and outcomes. Idempotent.

    Returns:
        Whether it was there.

    Raises:
        StorageError: The database cannot be used; nothing was deleted.
    """
    with database.writing() as connection:
        for table in (sync_outcome, sync_batch, sync_wave):
            ended = select(sync_run.c.run_id).where(
                sync_run.c.run_id == run_id, sync_run.c.state != RunState.RUNNING.value
            )
            connection.execute(delete(table).where(table.c.run_id.in_(ended)))
        gone = connection.execute(
            delete(sync_run).where(
                sync_run.c.run_id == run_id, sync_run.c.state != RunState.RUNNING.value
            )
        )
    return bool(gone.rowcount)


def expired_revisions(database: Database, days: float) -> int:
    """How many revisions were made more than so many days ago.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.reading() as connection:
        oldest = _microseconds(database.now(connection) - days * _DAY_S)
        query = select(func.count()).where(kline_revision.c.revised_at < oldest)
        return int(connection.scalar(query) or 0)


def forget_revisions(database: Database, days: float) -> int:
    """Delete those revisions, some thousand in a transaction; how many there were. Idempotent.

    Raises:
        StorageError: The database cannot be used; calling again goes on.
    """
    gone = 0
    while True:
        with database.writing() as connection:
            oldest = _microseconds(database.now(connection) - days * _DAY_S)
            some = (
                select(kline_revision.c.id)
                .where(kline_revision.c.revised_at < oldest)
                .order_by(kline_revision.c.id)
                .limit(_PORTION)
            )
            done = connection.execute(delete(kline_revision).where(kline_revision.c.id.in_(some)))
        gone += done.rowcount
        if done.rowcount < _PORTION:
            return gone


def _microseconds(epoch_s: float) -> int:
    return int(epoch_s * 1_000_000)


def _run(row: Row[Any]) -> _Run:
    params = json.loads(row.params)
    window = None
    if params.get("from") and params.get("to"):
        window = Window(date.fromisoformat(params["from"]), date.fromisoformat(params["to"]))
    names = params.get("symbols")
    return _Run(
        run_id=row.run_id,
        kind=row.kind,
        period=row.period,
        lane=row.lane,
        slot=row.slot,
        state=row.state,
        created_at=row.created_at,
        finished_at=row.finished_at,
        window=window,
        names=None if names is None else tuple(names),
        repairs_gaps=bool(params.get(GAPS_PARAM)),
    )


def _has_expired(run: _Run, oldest: float) -> bool:
    ended = run.state != RunState.RUNNING.value
    return ended and run.finished_at is not None and run.finished_at < oldest


def _half_committed(connection: Connection) -> Iterator[str]:
    undone = [WaveState.PUBLISHED.value, WaveState.COMMITTING.value]
    query = select(sync_wave.c.run_id).where(sync_wave.c.state.in_(undone), sync_wave.c.attempt > 0)
    yield from connection.scalars(query)


def _newest_slots(runs: Collection[_Run]) -> Iterator[str]:
    newest: dict[tuple[str, str, str | None], _Run] = {}
    for run in runs:
        key = (run.kind, run.lane, run.period)
        if run.slot is not None and (key not in newest or run.slot > (newest[key].slot or "")):
            newest[key] = run
    return (run.run_id for run in newest.values())


def _named(connection: Connection) -> Iterator[str]:
    for table in (coverage, ex_right, kline_quarantine, list_quarantine):
        yield from connection.scalars(select(table.c.run_id).distinct())


def _bounds(runs: Collection[_Run]) -> Iterator[str]:
    """The runs that say since when everything, or a series, is expected, and until when.

    Of several that say the same the newest is kept, so that the old ones can go.
    """
    first: dict[tuple[tuple[bool, str | None], str | None], _Run] = {}
    last: dict[tuple[bool, str | None], _Run] = {}
    for run in runs:
        if run.window is None:
            continue
        if run.series not in last or run.window.end >= _end(last[run.series]):
            last[run.series] = run
        if run.repairs_gaps:
            continue
        for name in (None,) if run.names is None else run.names:
            key = (run.series, name)
            if key not in first or run.window.start <= _start(first[key]):
                first[key] = run
    yield from (run.run_id for run in (*first.values(), *last.values()))


def _window(run: _Run) -> Window:
    assert run.window is not None
    return run.window


def _start(run: _Run) -> date:
    return _window(run).start


def _end(run: _Run) -> date:
    return _window(run).end


def _last_words(database: Database, old: Sequence[_Run], runs: Sequence[_Run]) -> set[str]:
    """Those of some old runs that say last why a session which is not covered is missing.

    Args:
        database: The ledger.
        old: Runs of one series of runs, with windows.
        runs: All runs of the same.
    """
    stocks, period = old[0].series
    dataset = Dataset.KLINE if stocks else Dataset.BOARD_KLINE
    covered, calendar = read_coverage(database, dataset.value, period or ""), exchange_calendar()
    nothing, widest = Coverage(()), Window(min(map(_start, old)), max(map(_end, old)))
    with database.reading() as connection:
        asked = _subjects(connection, dataset, [run.run_id for run in old])
        # Almost all series are covered, and nobody asks why they lack a session.
        incomplete = sorted(
            name for name in asked if covered.get(name, nothing).missing(widest, calendar)
        )
        runs_of = _runs_of(connection, dataset, incomplete)
    by_id = {run.run_id: run for run in runs}
    last: set[str] = set()
    for name in incomplete:
        spoke = [by_id[run_id] for run_id in runs_of.get(name, ()) if run_id in by_id]
        for run in old:
            if run not in spoke or any(_says_it_again(later, run) for later in spoke):
                continue
            if covered.get(name, nothing).missing(_window(run), calendar):
                last.add(run.run_id)
    return last


def _says_it_again(later: _Run, run: _Run) -> bool:
    """Whether a later run has looked at all the sessions that a run did."""
    if later.created_at <= run.created_at or later.window is None or later.repairs_gaps:
        return False
    return _start(later) <= _start(run) and _end(later) >= _end(run)


def _subjects(connection: Connection, dataset: Dataset, run_ids: Sequence[str]) -> set[str]:
    """The series of which some runs have outcomes."""
    found: set[str] = set()
    for at in range(0, len(run_ids), _NAMES):
        query = (
            select(sync_outcome.c.subject)
            .distinct()
            .where(sync_outcome.c.work == dataset.value)
            .where(sync_outcome.c.run_id.in_(run_ids[at : at + _NAMES]))
        )
        found.update(connection.scalars(query))
    return found


def _runs_of(
    connection: Connection, dataset: Dataset, names: Sequence[str]
) -> dict[str, list[str]]:
    """The runs that have outcomes of some series, by series."""
    found: dict[str, list[str]] = {}
    for at in range(0, len(names), _NAMES):
        query = (
            select(sync_outcome.c.subject, sync_outcome.c.run_id)
            .where(sync_outcome.c.work == dataset.value)
            .where(sync_outcome.c.subject.in_(names[at : at + _NAMES]))
        )
        for name, run_id in connection.execute(query):
            found.setdefault(name, []).append(run_id)
    return found
