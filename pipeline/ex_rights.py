"""Ex-rights within a run: whose to ask for, the fetch of one symbol, and the commit.

Nothing is asked to detect one. The symbol list shows every symbol's previous close as the exchange
adjusts it: where it differs from the stored raw close, the symbol went ex-right.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest.source import FoundExRights, Outcome, Source
from market.adjustments import ExRight
from market.bars import PRICE_COLUMNS, BarState, Dataset
from market.periods import Period
from market.sessions import Window
from market.symbols import parse_stock
from pipeline.queues import STOCK_QUEUE
from pipeline.runtime import Runtime
from scheduling.planner import BatchSizing, into_waves
from storage.coverage import Coverage, read_coverage
from storage.ex_right_coverage import vouch
from storage.held import LastBar, last_bars
from storage.run_records import BatchPlan, Item, OutcomeRow, WavePlan, Work

ASKED = "ex_right_asked"
"""Staged beside the ex-rights: of which symbols all were found, and who delivered them."""

_EVENT_COLUMNS = (
    "symbol", "ex_session", "previous_close", "cash", "bonus", "rights", "rights_price",
)  # fmt: skip
_EVENT_SCHEMA = pa.schema(
    [
        pa.field(name, {"symbol": pa.string(), "ex_session": pa.date32()}.get(name, pa.float64()))
        for name in _EVENT_COLUMNS
    ]
)
_CENT = 0.005
_RECENT = timedelta(days=550)
"""Bars that measure a new ex-right; more of them would only cost."""
_MOST, _MOST_SHARE = 10, 0.2
"""More symbols than go ex-right on one session; the list is then of another one."""


@dataclass(slots=True)
class ExRightPlan:
    """Whose ex-rights a run asks for.

    Attributes:
        items: One per symbol.
        unchanged: Symbols that the list shows not to have gone ex-right since they were known.
        notices: What a person should know.
    """

    items: list[Item] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def waves_for_named(
    runtime: Runtime, upstream: str, period: Period, missing: Collection[str], sizing: BatchSizing
) -> list[WavePlan]:
    """Waves for the symbols of a run without a list.

    Those of which daily bars are missing and ex-rights are not known up to now: without a list
    nothing shows that there was none.
    """
    if not runtime.settings.sync_events or period is not Period.DAILY or not missing:
        return []
    session = runtime.calendar.latest_started(runtime.clock(upstream).now())
    known = read_coverage(runtime.database, Work.EX_RIGHT.value, "session")
    items = [
        Item(name, end=session) for name in sorted(missing) if _known_to(known, name) < session
    ]
    return _waves(items, sizing)


def waves_after_list(
    runtime: Runtime, upstream: str, period: Period, listing: pa.Table, sizing: BatchSizing
) -> tuple[list[WavePlan], list[str]]:
    """Waves and notices for what a list of symbols shows, once it was taken.

    Args:
        runtime: The stores; the ex-rights of symbols that the list shows unchanged become known up
            to its session.
        upstream: Whose clock says which session the list is of.
        period: Of the run's bars: a run of minute bars asks only for what the list shows.
        listing: ``SYMBOL_LIST_SCHEMA``.
        sizing: Of batches and waves.
    """
    if not runtime.settings.sync_events:
        return [], []
    session = runtime.calendar.latest_started(runtime.clock(upstream).now())
    held = last_bars(runtime.lake, session)
    plan = _compared(runtime, listing, session, held, with_unknown=period is Period.DAILY)
    vouch(runtime.database, plan.unchanged, session)
    return _waves(plan.items, sizing), plan.notices


def count_unknown(runtime: Runtime, session: date) -> int:
    """How many symbols a run of daily bars asks about though its list shows no change.

    Those of which ex-rights are not known up to the bars held, and those that have missed a
    session: by the lists that are held, as if the next one repeated them.

    Args:
        runtime: The stores.
        session: The session that the next list is of.
    """
    held = last_bars(runtime.lake, session)
    rows = [
        {
            "symbol": row.symbol,
            "previous_close": held[row.symbol].close if row.symbol in held else 0.0,
            "suspended": row.suspended_on is not None,
        }
        for row in runtime.catalog.symbols()
    ]
    listing = pa.Table.from_pylist(rows)
    plan = _compared(runtime, listing, session, held, with_unknown=True)
    return sum(1 for item in plan.items if not item.held)


def _compared(
    runtime: Runtime,
    listing: pa.Table,
    session: date,
    held: Mapping[str, LastBar],
    *,
    with_unknown: bool,
) -> ExRightPlan:
    return compare(
        listing,
        session=session,
        before=runtime.calendar.offset(session, -1),
        held=held,
        bars=read_coverage(runtime.database, Dataset.KLINE.value, Period.DAILY.value),
        known=read_coverage(runtime.database, Work.EX_RIGHT.value, "session"),
        with_unknown=with_unknown,
    )


def compare(
    listing: pa.Table,
    *,
    session: date,
    before: date,
    held: Mapping[str, LastBar],
    bars: Mapping[str, Coverage],
    known: Mapping[str, Coverage],
    with_unknown: bool,
) -> ExRightPlan:
    """Hold a list's previous closes against the stored raw ones.

    Args:
        listing: ``SYMBOL_LIST_SCHEMA``.
        session: The session it shows.
        before: The session before that.
        held: Last final bar before the session, by symbol.
        bars: Coverage of daily bars.
        known: Coverage of ex-rights.
        with_unknown: Whether to ask for symbols of which the list cannot say it.
    """
    plan, compared, changed = ExRightPlan(), 0, []
    for row in listing.to_pylist():
        name, reference = row["symbol"], row["previous_close"]
        last = held.get(name)
        # Of a suspended symbol no bar is held that one could adjust: its next trade's list asks.
        is_idle = last is None and row["suspended"] and _known_to(bars, name) >= before
        if _known_to(known, name) >= session or (is_idle and name in known):
            continue
        if _known_to(bars, name) < before <= _known_to(known, name) and reference is not None:
            # This run fetches the bar that is to be compared: the fetch looks again.
            if with_unknown:
                plan.items.append(Item(name, end=session, held=True, reference=reference))
            continue
        if last is None or _known_to(bars, name) < before or _known_to(known, name) < last.session:
            # What lies between the bars held and the list may hide an ex-right.
            if with_unknown:
                plan.items.append(Item(name, end=session))
            continue
        if row["suspended"] or reference is None:
            continue
        compared += 1
        if abs(last.close - reference) < _CENT:
            plan.unchanged.append(name)
        else:
            changed.append(Item(name, end=session, reference=reference))
    if len(changed) > max(_MOST, _MOST_SHARE * compared):
        plan.unchanged.clear()
        plan.notices.append(
            f"the list's previous close differs from the stored close for {len(changed)} of "
            f"{compared} symbols, too many to have gone ex-right on {session}: none was asked for, "
            "and the next list decides"
        )
        return plan
    plan.items += changed
    return plan


def _known_to(coverage: Mapping[str, Coverage], name: str) -> date:
    held = coverage.get(name)
    return held.ranges[-1].end if held is not None and held.ranges else date.min


def _waves(items: Sequence[Item], sizing: BatchSizing) -> list[WavePlan]:
    # Each is two requests or three where a kline is one.
    size = max(1, sizing.items_per_batch // 2)
    batches = [
        BatchPlan(Work.EX_RIGHT, tuple(items[at : at + size])) for at in range(0, len(items), size)
    ]
    return list(into_waves(STOCK_QUEUE, batches, sizing))


def close_shows_none(runtime: Runtime, item: Item) -> OutcomeRow | None:
    """The outcome where a bar that was missing at the list's time shows that nothing happened.

    None if that bar is not held yet, or differs: the upstream must be asked.
    """
    if not item.held or item.end is None or item.reference is None:
        return None
    before = runtime.calendar.offset(item.end, -1)
    bars = runtime.lake.read(
        Dataset.KLINE,
        Period.DAILY,
        names=[item.subject],
        window=Window(before, before),
        columns=("close", "state"),
    ).to_pylist()
    if not bars or bars[0]["state"] != BarState.FINAL.value:
        return None
    if abs(bars[0]["close"] - item.reference) >= _CENT:
        return None
    return OutcomeRow(
        item.subject, Outcome.UNCHANGED.value, covered_from=item.end, covered_to=item.end
    )


def fetch_events(
    runtime: Runtime,
    source: Source,
    item: Item,
    retried: Callable[[Callable[[], FoundExRights]], FoundExRights],
) -> tuple[pa.Table, pa.Table, OutcomeRow]:
    """Fetch the ex-rights of one symbol: what is staged, and the outcome.

    Raises:
        SourceError: Typed by cause.
        InvalidExRightError: The upstream's prices show what no ex-right can be.
    """
    assert item.end is not None
    symbol, session = parse_stock(item.subject), item.end
    held = _held_bars(runtime, item)
    found = retried(lambda: source.fetch_ex_rights(symbol, session, item.reference, held))
    rows = [{name: getattr(e, name) for name in _EVENT_COLUMNS} for e in found.events]
    asked = pa.table({"symbol": [item.subject], "source": [source.name], "whole": [found.whole]})
    outcome = OutcomeRow(
        item.subject,
        Outcome.OK.value,
        None if found.until else "it has no final bar yet",
        rows=len(rows),
        covered_from=found.since,
        covered_to=found.until,
    )
    return pa.Table.from_pylist(rows, schema=_EVENT_SCHEMA), asked, outcome


def _held_bars(runtime: Runtime, item: Item) -> pa.Table | None:
    """The latest final bars before the session of an item whose ex-rights are known until then."""
    if item.reference is None or item.held or item.end is None:
        return None
    before = runtime.calendar.offset(item.end, -1)
    first = max(runtime.calendar.first_session, before - _RECENT)
    bars = runtime.lake.read(
        Dataset.KLINE,
        Period.DAILY,
        names=[item.subject],
        window=Window(first, before),
        columns=("session", *PRICE_COLUMNS, "state"),
    )
    return bars.filter(pc.equal(bars["state"], BarState.FINAL.value))


def commit_events(runtime: Runtime, run_id: str, manifest: Mapping[str, Any]) -> None:
    """Record the ex-rights of a staged batch. Idempotent.

    Raises:
        StorageError: A store cannot be written.
    """
    if ASKED not in manifest["tables"]:
        return  # every item of the batch failed; the outcomes say why
    asked = runtime.staging.read(manifest, ASKED).to_pylist()
    found = runtime.staging.read(manifest, Work.EX_RIGHT.value).to_pylist()
    runtime.ex_rights.record(
        [ExRight(**row) for row in found],
        whole=[row["symbol"] for row in asked if row.get("whole", True)],
        source=asked[0]["source"],
        run_id=run_id,
    )
