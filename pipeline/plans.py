"""Runs as they are asked for, turned into plans with the catalog and the coverage at hand."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa

from ingest.rates import sustained_rate
from market.bars import Dataset
from market.boards import BoardKind
from market.periods import Period, parse_fetched_period
from market.sessions import Window
from market.symbols import parse_stock
from pipeline.ex_rights import waves_after_list, waves_for_named
from pipeline.membership import commit_sweep, fresh_members, plan_memberships
from pipeline.prices import check_prices
from pipeline.queues import CONCEPT_QUEUE, INDUSTRY_QUEUE, STOCK_QUEUE
from pipeline.request import CONCEPTS, INDUSTRIES, STOCKS, Request
from pipeline.runtime import Runtime
from scheduling.planner import (
    BatchSizing,
    Subject,
    plan_klines,
    plan_list,
    plan_window,
)
from storage.aliases import read_aliases
from storage.coverage import read_coverage
from storage.run_records import BatchPlan, RunPlan, RunStatus, WavePlan, Work, new_run_id

SNAPSHOT_PARAM = "snapshot"
"""Set in the params of a run that sweeps the market for provisional 5m bars."""

_BOARD_KINDS = {CONCEPTS: BoardKind.CONCEPT, INDUSTRIES: BoardKind.INDUSTRY}
_QUEUES = {STOCKS: STOCK_QUEUE, CONCEPTS: CONCEPT_QUEUE, INDUSTRIES: INDUSTRY_QUEUE}


def plan_run(runtime: Runtime, request: Request) -> RunPlan:
    """A run for a request: its klines at once if symbols are named, else first the list.

    Raises:
        UsageError: A symbol, period or window that cannot be meant; or the home holds prices that
            the upstream's must not be mixed with.
    """
    check_prices(runtime, request.upstream)
    period = parse_fetched_period(request.period.value)
    now = runtime.clock(request.upstream).now()
    settled = plan_window(
        start=request.start,
        end=request.end,
        period=period,
        history_from=runtime.settings.history_daily_from,
        calendar=runtime.calendar,
        now=now,
    )
    window, notices = settled.window, list(settled.notices)
    if request.missed:
        notices.append(f"{request.missed} earlier slots of the day were missed: served by this run")
    params: dict[str, object] = {
        "symbols": list(request.symbols) if request.symbols is not None else None,
        "from": window.start.isoformat(),
        "to": window.end.isoformat(),
        "complete": 0,
    }
    if request.snapshot:
        params[SNAPSHOT_PARAM] = True
    if request.symbols is None:
        waves = [_list_wave(request.kind)]
    else:
        waves, said, params["complete"] = _wanted_waves(
            runtime,
            request.kind,
            request.upstream,
            period,
            window,
            request.symbols,
            runtime.calendar.latest_started(now),
        )
        notices += said
        if request.kind == STOCKS:
            missing = {item.subject for w in waves for b in w.batches for item in b.items}
            sizing = _sizing(runtime, request.upstream)
            waves += waves_for_named(runtime, request.upstream, period, missing, sizing)
        if request.snapshot:
            # One wave, so that nothing waits for the sweep, and its bars know what else came.
            batches = [batch for wave in (_list_wave(STOCKS), *waves) for batch in wave.batches]
            waves = [WavePlan(STOCK_QUEUE, tuple(batches))]
    return RunPlan(
        run_id=new_run_id(),
        kind=request.kind,
        period=period,
        upstream=request.upstream,
        lane=request.lane,
        slot=request.slot,
        params=params,
        waves=tuple(waves),
        notices=tuple(notices),
        deadline_s=runtime.settings.run_deadline_s,
    )


def extend_after_list(
    runtime: Runtime,
    status: RunStatus,
    session: date,
    listing: pa.Table | None = None,
    swept: Collection[str] = (),
) -> tuple[list[WavePlan], list[str]]:
    """The waves that a run's list makes it possible to plan, once the list is in the catalog.

    Args:
        runtime: The stores.
        status: The run.
        session: The session that the list shows.
        listing: The symbol list, if it is one and was taken: it shows who went ex-right.
        swept: Symbols whose bar came with that list.
    """
    window = Window(
        date.fromisoformat(status.params["from"]), date.fromisoformat(status.params["to"])
    )
    period = Period(status.period or Period.DAILY.value)
    waves: list[WavePlan] = []
    notices: list[str] = []
    if not status.params.get(SNAPSHOT_PARAM):
        waves, notices, _ = _wanted_waves(
            runtime, status.kind, status.upstream, period, window, None, session, swept
        )
    if swept:
        notices.append(f"the daily bars of {len(swept)} symbols came with the symbol list")
    if listing is not None:
        sizing = _sizing(runtime, status.upstream)
        more, said = waves_after_list(runtime, status.upstream, period, listing, sizing)
        waves, notices = waves + more, notices + said
    return waves, notices


def wanted_waves(
    runtime: Runtime, request: Request, window: Window, session: date
) -> tuple[list[WavePlan], list[str], int]:
    """The waves of a request without names, by the lists that are held; see ``plan_run``."""
    return _wanted_waves(
        runtime, request.kind, request.upstream, request.period, window, None, session
    )


def extend_after_sweep(
    runtime: Runtime,
    status: RunStatus,
    staged: Sequence[tuple[BatchPlan, Mapping[str, Any]]],
    alive: Callable[[], None],
) -> tuple[list[WavePlan], list[str]]:
    """Take the members that a wave's sweep names; the waves for those it leaves to their pages."""
    return commit_sweep(runtime, status, staged, _sizing(runtime, status.upstream), alive)


def _list_wave(kind: str) -> WavePlan:
    if kind == STOCKS:
        return plan_list(work=Work.SYMBOL_LIST, name="symbols", queue=_QUEUES[kind])
    board_kind = _BOARD_KINDS[kind]
    name = f"{board_kind.value}_boards"
    return plan_list(work=Work.BOARD_LIST, name=name, queue=_QUEUES[kind], kind=board_kind)


def _wanted_waves(
    runtime: Runtime,
    kind: str,
    upstream: str,
    period: Period,
    window: Window,
    names: Sequence[str] | None,
    session: date,
    swept: Collection[str] = (),
) -> tuple[list[WavePlan], list[str], int]:
    """Waves, notices, and how many series lack nothing."""
    sizing = _sizing(runtime, upstream)
    if kind == STOCKS:
        work, dataset = Work.KLINE, Dataset.KLINE
        subjects = [s for s in stock_subjects(runtime, names) if s.name not in swept]
    else:
        work, dataset = Work.BOARD_KLINE, Dataset.BOARD_KLINE
        subjects = _boards(runtime, _BOARD_KINDS[kind], names)
    waves: list[WavePlan] = []
    if kind != STOCKS:
        fresh = fresh_members(runtime, _BOARD_KINDS[kind], session)
        stale = [s.name for s in subjects if s.name not in fresh]
        waves += plan_memberships(runtime, _BOARD_KINDS[kind], stale, sizing)
    coverage = read_coverage(runtime.database, dataset.value, period.value)
    kline_waves, complete = plan_klines(
        work=work,
        subjects=subjects,
        coverage=coverage,
        window=window,
        period=period,
        calendar=runtime.calendar,
        queue=_QUEUES[kind],
        sizing=sizing,
        board_kind=_BOARD_KINDS.get(kind),
        first=frozenset(runtime.settings.watched) if kind == STOCKS else (),
    )
    notices = []
    if complete:
        what = "symbols" if kind == STOCKS else "boards"
        notices.append(
            f"the klines of {len(complete)} of {len(subjects)} {what} lack nothing in {window} and "
            "were not fetched again"
        )
    return waves + kline_waves, notices, len(complete)


def _sizing(runtime: Runtime, upstream: str) -> BatchSizing:
    return BatchSizing.for_rate(
        sustained_rate(runtime.settings.windows_for(upstream)),
        batch_seconds=runtime.settings.batch_seconds,
        threads=runtime.settings.quant_concurrency,
        wave_items=runtime.settings.wave_items,
    )


def queue_of(kind: str) -> str:
    """The queue of a kind of run."""
    return _QUEUES[kind]


def stock_subjects(runtime: Runtime, names: Sequence[str] | None) -> list[Subject]:
    """Symbols with what the lists say of them; None: all that are listed."""
    known = {row.symbol: row for row in runtime.catalog.symbols(listed_only=False)}
    if names is None:
        wanted = [row.symbol for row in known.values() if row.listed]
    else:
        present = read_aliases(runtime.database)  # the upstream knows no code but the present one
        codes = (str(parse_stock(name)) for name in names)
        wanted = list(dict.fromkeys(present.get(code, code) for code in codes))
    subjects = []
    for name in wanted:
        row = known.get(name)
        # A symbol that only a fetch has named, and no list yet, is neither listed nor delisted.
        listed = row.listed if row is not None and row.last_listed is not None else None
        suspended = row.suspended_on if row is not None else None
        subjects.append(Subject(name, suspended_on=suspended, listed=listed))
    return subjects


def _boards(runtime: Runtime, kind: BoardKind, names: Sequence[str] | None) -> list[Subject]:
    if names is not None:
        return [Subject(name) for name in dict.fromkeys(names)]
    return [Subject(row.code) for row in runtime.catalog.boards(kind)]
