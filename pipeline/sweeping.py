"""The daily bars of a sweep, from staged quotes to both stores.

It runs within the commit of the list's wave: what can be taken depends on what is held, and what is
taken need not be fetched again by the waves that the list makes it possible to plan.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest.source import Outcome, Source
from ingest.validation import sound_alone
from market.bars import BarState, Dataset
from market.periods import Period
from market.quotes import daily_bars
from market.sessions import TradingCalendar, Window
from pipeline.runtime import Runtime
from scheduling.sweep_plan import SweepPlan, plan_sweep
from storage.coverage import Coverage, extend_coverage, read_coverage
from storage.held import last_bars
from storage.listing import proven_suspended, read_listed_on
from storage.no_trade import Proof, add_no_trade
from storage.run_records import OutcomeRow, RunStatus, Work

SOURCE, FETCHED_AT, BEGAN_AT, ENDED_AT = "source", "fetched_at", "began_at", "ended_at"
"""Columns that are staged beside those of ``QUOTES_SCHEMA``."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep has brought.

    Attributes:
        outcomes: One per symbol that need not be fetched singly; what they prove continues what is
            covered.
        notices: What a person should know.
    """

    outcomes: tuple[OutcomeRow, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The symbols that need not be fetched singly."""
        return frozenset(row.subject for row in self.outcomes)


def fetch_staged_quotes(source: Source) -> pa.Table:
    """A sweep of quotes as it is staged: with who delivered it and when.

    Raises:
        SourceError: Typed by cause.
    """
    fetched_at, began_at = datetime.now(UTC), source.now()
    quotes = source.fetch_quotes()
    for name, value, kind in (
        (SOURCE, source.name, pa.string()),
        (FETCHED_AT, fetched_at, pa.timestamp("us", tz="UTC")),
        (BEGAN_AT, began_at, pa.timestamp("us", tz="UTC")),
        (ENDED_AT, source.now(), pa.timestamp("us", tz="UTC")),
    ):
        quotes = quotes.append_column(name, pa.array([value] * quotes.num_rows, kind))
    return quotes


def take_sweep(
    runtime: Runtime,
    status: RunStatus,
    manifest: Mapping[str, Any],
    quotes: pa.Table,
    write: Callable[[pa.Table], None],
) -> Swept:
    """Write the bars of a sweep that can be taken; the ledger's commit covers them. Idempotent.

    Args:
        runtime: The stores; the catalog has taken the list.
        status: The run that fetched it.
        manifest: Of the list's batch: which session, and whether it had settled.
        quotes: As staged.
        write: Writes bars to both stores.

    Raises:
        StorageError: A store could not be read or written.
    """
    session, settled = date.fromisoformat(manifest["session"]), bool(manifest["settled"])
    window = Window(
        date.fromisoformat(status.params["from"]), date.fromisoformat(status.params["to"])
    )
    fits = status.period == Period.DAILY.value and window.start <= session <= window.end
    if not fits or not quotes.num_rows or SOURCE not in quotes.column_names:
        return Swept()
    bars = daily_bars(
        quotes,
        session,
        state=BarState.FINAL if settled else BarState.PROVISIONAL,
        source=quotes[SOURCE][0].as_py(),
        fetched_at=quotes[FETCHED_AT][0].as_py(),
    )
    plan = _plan(runtime, quotes, bars, window, session)
    taken = bars.filter(
        pc.is_in(bars["symbol"].cast(pa.string()), pa.array(plan.bars, pa.string()))
    )
    if taken.num_rows:
        write(taken)
    idle = plan.idle
    if settled:
        suspended = proven_suspended(quotes)
        idle = tuple(name for name in idle if name in suspended)
    _prove_new(runtime, plan, window, session, status.run_id)
    proven = session if settled else None
    taken_from = dict.fromkeys(plan.new, window.start) if settled else {}
    outcomes = [
        OutcomeRow(name, Outcome.OK.value, None, 1, taken_from.get(name, proven), proven)
        for name in plan.bars
    ]
    reason = f"no trade in {session}, by the symbol list"
    outcomes += [
        OutcomeRow(name, Outcome.EMPTY_SUSPENDED.value, reason, 0, proven, proven) for name in idle
    ]
    return Swept(tuple(outcomes), plan.notices)


def lacking_before(
    coverage: Mapping[str, Coverage], window: Window, session: date, calendar: TradingCalendar
) -> frozenset[str]:
    """Symbols that lack one of a window's sessions before another one, of those covered at all."""
    earlier = [day for day in calendar.sessions_in(window) if day < session]
    if not earlier:
        return frozenset()
    # Ranges are never adjacent, so nothing is missing only if one of them holds it all.
    return frozenset(
        name
        for name, held in coverage.items()
        if not any(r.start <= earlier[0] and earlier[-1] <= r.end for r in held.ranges)
    )


def _plan(
    runtime: Runtime, quotes: pa.Table, bars: pa.Table, window: Window, session: date
) -> SweepPlan:
    coverage = read_coverage(runtime.database, Dataset.KLINE.value, Period.DAILY.value)
    good = bars["symbol"].cast(pa.string()).filter(pa.array(sound_alone(Period.DAILY, bars)))
    return plan_sweep(
        quotes,
        session=session,
        before=runtime.calendar.offset(session, -1),
        sound=pc.is_in(quotes["symbol"], good.combine_chunks()).to_pylist(),
        held=last_bars(runtime.lake, session),
        coverage=coverage,
        lacking=lacking_before(coverage, window, session, runtime.calendar),
        listed_on=read_listed_on(runtime.database),
    )


def _prove_new(
    runtime: Runtime, plan: SweepPlan, window: Window, session: date, run_id: str
) -> None:
    """Record of symbols listed on the session that nothing lies before it, ex-rights included."""
    if not plan.new:
        return
    earlier = [day for day in runtime.calendar.sessions_in(window) if day < session]
    with runtime.database.writing() as connection:
        if earlier:
            days = dict.fromkeys(plan.new, earlier)
            add_no_trade(connection, Dataset.KLINE, Period.DAILY.value, Proof.EDGE, days)
        for name in plan.new:
            proven = (session, session)
            extend_coverage(connection, Work.EX_RIGHT.value, "session", name, proven, run_id)
