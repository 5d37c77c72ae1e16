"""What is known of every series, read from the lake, the catalog and the ledger."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import ColumnElement, Connection, func, select

from market.bars import BarState, Dataset
from market.periods import Period
from market.sessions import SESSION_CLOSE, Window, bar_end, bar_end_times
from storage.aliases import aliases_within
from storage.coverage import Coverage, read_coverage
from storage.database import Database
from storage.gaps import Attempt, Mask, SeriesFacts
from storage.identity_tables import symbol_listing
from storage.lake import Lake
from storage.ledger_tables import sync_batch, sync_outcome, sync_run
from storage.no_trade import LIST_PERIOD, Proof, read_no_trade
from storage.run_records import BatchPlan
from storage.tables import symbol
from storage.verification import partition_window

GAPS_PARAM = "gaps"
"""Set in the params of a run that repairs gaps: its windows stand in its batches."""
_ATTEMPTS = 20
"""How many of the newest fetches of a series are looked at."""
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Asked:
    """What runs have asked for in one dataset and period.

    Attributes:
        runs: Window of each run, by its id.
        windows: Window of each series in a run that repaired gaps, by run id and name.
        everything_since: First day of the earliest run that asked for all that is listed.
        since: First day asked for, by symbol or board that was named.
        until: Last day that any run asked for; None: there was no run.
    """

    runs: Mapping[str, Window]
    windows: Mapping[tuple[str, str], Window]
    everything_since: date | None
    since: Mapping[str, date]
    until: date | None


@dataclass(slots=True)
class _Marks:
    """Masks of one series over the sessions.

    Attributes:
        final: With a final bar.
        closed: With the final bar of the close, and as many before it as the period has ends.
        seen: With any bar.
    """

    final: Mask
    closed: Mask
    seen: Mask


@dataclass(frozen=True, slots=True)
class _Listing:
    listed: bool = False
    listed_on: date | None = None
    delisted_on: date | None = None


@dataclass(slots=True)
class _Evidence:
    """Everything that is read once for all series."""

    marks: dict[str, _Marks]
    coverage: Mapping[str, Coverage]
    absent: dict[str, dict[str, list[Window]]]
    asked: Asked
    listings: Mapping[str, _Listing] = field(default_factory=dict)
    attempts: Mapping[str, list[Attempt]] = field(default_factory=dict)


def read_asked(database: Database, dataset: Dataset, period: Period) -> Asked:
    """What runs have asked for.

    Raises:
        StorageError: The database cannot be used.
    """
    query = select(sync_run.c.run_id, sync_run.c.params).where(_runs_of(dataset, period))
    runs: dict[str, Window] = {}
    since: dict[str, date] = {}
    everything: list[date] = []
    with database.reading() as connection:
        rows = connection.execute(query).all()
        repairs = [run_id for run_id, text in rows if json.loads(text).get(GAPS_PARAM)]
        windows = dict(_windows_of(connection, repairs))
        present = aliases_within(connection)
    for run_id, text in rows:
        params = json.loads(text)
        if not params.get("from") or not params.get("to"):
            continue
        window = Window(date.fromisoformat(params["from"]), date.fromisoformat(params["to"]))
        runs[run_id] = window
        if params.get(GAPS_PARAM):
            continue  # it asked for nothing that an earlier run had not asked for
        if params.get("symbols") is None:
            everything.append(window.start)
        for named in params.get("symbols") or ():
            name = present.get(named, named)
            since[name] = min(since.get(name, window.start), window.start)
    until = max((window.end for window in runs.values()), default=None)
    return Asked(runs, windows, min(everything, default=None), since, until)


def _windows_of(
    connection: Connection, run_ids: Sequence[str]
) -> Iterator[tuple[tuple[str, str], Window]]:
    for run_id in run_ids:
        query = select(sync_batch.c.work).where(sync_batch.c.run_id == run_id)
        for text in connection.scalars(query):
            for item in BatchPlan.from_json(text).items:
                if item.start is not None and item.end is not None:
                    yield (run_id, item.subject), Window(item.start, item.end)


def _runs_of(dataset: Dataset, period: Period) -> ColumnElement[bool]:
    of_stocks = sync_run.c.kind == "stocks"
    mine = of_stocks if dataset is Dataset.KLINE else ~of_stocks
    return mine & (sync_run.c.period == period.value)


def first_expected(lake: Lake, database: Database, dataset: Dataset, period: Period) -> date | None:
    """The first day of which anything was asked for or is held; None: nothing was, of any series.

    Raises:
        StorageError: A store cannot be read.
    """
    asked = read_asked(database, dataset, period)
    days = [*asked.since.values()]
    days += [
        r.start
        for c in read_coverage(database, dataset.value, period.value).values()
        for r in c.ranges[:1]
    ]
    days += [partition_window(each).start for each in lake.partitions(dataset, period)[:1]]
    if asked.everything_since is not None:
        days.append(asked.everything_since)
    return min(days, default=None)


def read_facts(
    lake: Lake,
    database: Database,
    dataset: Dataset,
    period: Period,
    sessions: Sequence[date],
    *,
    names: Collection[str] | None = None,
    only_asked: bool = False,
) -> list[SeriesFacts]:
    """The facts of every series, by name ascending.

    Without names these are all series that were ever asked for; once a run has asked for all that
    is listed, also those that were listed since.

    Args:
        lake: Where bars are held.
        database: Where coverage, proofs and outcomes are.
        dataset: Whose bars.
        period: Length of the bars.
        sessions: The sessions that may be expected, ascending.
        names: Symbols or boards; None: all that are expected.
        only_asked: Leave out those of ``names`` that nobody has asked for.

    Raises:
        StorageError: A store cannot be read.
    """
    asked = read_asked(database, dataset, period)
    known = _listings(database) if dataset is Dataset.KLINE else {}
    periods = {LIST_PERIOD, Period.DAILY.value, period.value}
    evidence = _Evidence(
        marks=_marks(lake, dataset, period, sessions, names),
        coverage=read_coverage(database, dataset.value, period.value),
        absent=read_no_trade(database, dataset, periods, names),
        asked=asked,
        listings=known,
    )
    wanted = _expected(evidence) if names is None or only_asked else set(names)
    wanted = wanted if names is None else wanted & set(names)
    evidence.attempts = _attempts(database, dataset, period, asked, wanted)
    return [_facts(name, evidence, sessions) for name in sorted(wanted)]


def _expected(evidence: _Evidence) -> set[str]:
    asked = evidence.asked
    wanted = {*asked.since, *evidence.coverage, *evidence.marks}
    if asked.everything_since is not None:
        wanted |= {name for name, row in evidence.listings.items() if row.listed}
    return wanted


def _facts(name: str, evidence: _Evidence, sessions: Sequence[date]) -> SeriesFacts:
    days = _days(sessions)
    nothing = np.zeros(len(sessions), dtype=bool)
    marks = evidence.marks.get(name) or _Marks(nothing, nothing, nothing)
    held = evidence.coverage.get(name, Coverage(()))
    covered = _within(days, held.ranges)
    absent = evidence.absent.get(name, {})
    final = marks.closed | (marks.final & covered)
    begins = [r.start for r in held.ranges[:1]]
    begins += [sessions[int(at)] for at in np.flatnonzero(marks.seen)[:1]]
    if name in evidence.asked.since:
        begins.append(evidence.asked.since[name])
    if evidence.asked.everything_since is not None:
        begins.append(evidence.asked.everything_since)
    listing = evidence.listings.get(name, _Listing())
    return SeriesFacts(
        name=name,
        since=min(begins, default=sessions[0]),
        final=final,
        partial=marks.seen & ~final,
        covered=covered,
        traded_not=_within(days, absent.get(Proof.LIST, []))
        | _within(days, absent.get(Proof.ANSWER, [])),
        edge=_within(days, absent.get(Proof.EDGE, [])),
        listed_on=listing.listed_on,
        delisted_on=listing.delisted_on,
        attempts=evidence.attempts.get(name, []),
    )


def _days(sessions: Sequence[date]) -> npt.NDArray[np.int32]:
    return np.array([day.toordinal() - _EPOCH for day in sessions], dtype=np.int32)


def _within(days: npt.NDArray[np.int32], ranges: Iterable[Window]) -> Mask:
    mask = np.zeros(len(days), dtype=bool)
    for each in ranges:
        low = np.searchsorted(days, each.start.toordinal() - _EPOCH, side="left")
        high = np.searchsorted(days, each.end.toordinal() - _EPOCH, side="right")
        mask[low:high] = True
    return mask


def _marks(
    lake: Lake,
    dataset: Dataset,
    period: Period,
    sessions: Sequence[date],
    names: Collection[str] | None,
) -> dict[str, _Marks]:
    """Which sessions each series has bars of, partition by partition: memory stays bounded."""
    marks: dict[str, _Marks] = {}
    if not sessions:
        return marks
    days = _days(sessions)
    for partition in lake.partitions(dataset, period):
        window = partition_window(partition)
        if window.end < sessions[0] or window.start > sessions[-1]:
            continue
        columns = [dataset.key, "session", "end_at", "state"]
        bars = lake.read(dataset, period, names=names, window=window, columns=columns)
        if bars.num_rows:
            _mark(marks, dataset, period, bars, days)
    return marks


def _mark(
    marks: dict[str, _Marks],
    dataset: Dataset,
    period: Period,
    bars: pa.Table,
    days: npt.NDArray[np.int32],
) -> None:
    """Mark the sessions of bars that are sorted by key."""
    subjects = bars[dataset.key].combine_chunks()
    codes = subjects.indices.to_numpy(zero_copy_only=False)
    when = bars["session"].cast(pa.int32()).to_numpy()
    at = np.minimum(np.searchsorted(days, when), len(days) - 1)
    inside = days[at] == when
    final = pc.equal(bars["state"].cast(pa.string()), BarState.FINAL.value).to_numpy()
    closed = final & _at_close(bars) if period.is_intraday else final
    names = subjects.dictionary.to_pylist()
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(codes)], strict=True):
        name = names[codes[start]]
        if name not in marks:
            marks[name] = _Marks(*(np.zeros(len(days), dtype=bool) for _ in range(3)))
        mine, places = inside[start:end], at[start:end]
        marks[name].seen[places[mine]] = True
        marks[name].final[places[mine & final[start:end]]] = True
        count = np.bincount(places[mine & final[start:end]], minlength=len(days))
        whole = mine & closed[start:end] & (count[places] >= len(bar_end_times(period)))
        marks[name].closed[places[whole]] = True


def _at_close(bars: pa.Table) -> Mask:
    """Whether a bar ends at the close: a session whose bars stop earlier cannot be whole."""
    end_at = bars["end_at"].cast(pa.int64()).to_numpy()
    day = date(2000, 1, 3)
    close = int(bar_end(day, SESSION_CLOSE).timestamp()) % 86_400
    closed: Mask = end_at % 86_400 == close
    return closed


def _listings(database: Database) -> dict[str, _Listing]:
    query = select(
        symbol.c.symbol, symbol.c.listed, symbol_listing.c.listed_on, symbol_listing.c.delisted_on
    ).join(symbol_listing, symbol_listing.c.symbol_id == symbol.c.id, isouter=True)
    with database.reading() as connection:
        return {
            row.symbol: _Listing(row.listed, row.listed_on, row.delisted_on)
            for row in connection.execute(query)
        }


def _attempts(
    database: Database, dataset: Dataset, period: Period, asked: Asked, names: Collection[str]
) -> dict[str, list[Attempt]]:
    """The newest fetches of each series, newest first."""
    newest = (
        func.row_number()
        .over(partition_by=sync_outcome.c.subject, order_by=sync_run.c.created_at.desc())
        .label("age")
    )
    ended = (
        select(
            sync_outcome.c.subject,
            sync_outcome.c.run_id,
            sync_outcome.c.outcome,
            sync_outcome.c.reason,
            sync_outcome.c.covered_from,
            newest,
        )
        .join(sync_run, sync_run.c.run_id == sync_outcome.c.run_id)
        .where(sync_outcome.c.work == dataset.value, _runs_of(dataset, period))
        .subquery()
    )
    query = select(ended).where(ended.c.age <= _ATTEMPTS).order_by(ended.c.subject, ended.c.age)
    attempts: dict[str, list[Attempt]] = {}
    with database.reading() as connection:
        present = aliases_within(connection)
        for row in connection.execute(query):
            name = present.get(row.subject, row.subject)
            if name in names and row.run_id in asked.runs:
                window = asked.windows.get((row.run_id, row.subject), asked.runs[row.run_id])
                if row.covered_from is not None:
                    # A bar that came with a list answers for its session, not for the run's window.
                    window = Window(max(window.start, row.covered_from), window.end)
                attempt = Attempt(window, row.outcome, row.reason)
                attempts.setdefault(name, []).append(attempt)
    return attempts
