"""One batch: claim, fetch each item under the budget, validate, stage, record. No Celery here."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import pyarrow as pa
from tenacity import (
    RetryCallState,
    Retrying,
    before_sleep_log,
    retry_if_exception,
    wait_exponential,
    wait_random,
)

from ingest import wire
from ingest.pacing import Lane
from ingest.source import (
    Adjustment,
    EmptyBoardError,
    Outcome,
    Source,
    SourceError,
    TruncatedListError,
    failure_of,
)
from ingest.validation import validate_bars
from market.bars import Dataset
from market.errors import QuantsyncError
from market.sessions import Window
from market.symbols import parse_stock
from pipeline.proof import bars_proof, empty_board
from pipeline.runtime import Runtime
from storage.errors import StorageError
from storage.run_records import BatchPlan, Claim, Item, OutcomeRow, Work

log = logging.getLogger(__name__)

STOPPING = threading.Event()
"""Set when this process is asked to stop: batches in work are given back between two items."""

_ATTEMPTS = 3
_BACK_OFF = wait_exponential(multiplier=0.5, max=8) + wait_random(0, 0.5)
_T = TypeVar("_T")


@dataclass(slots=True)
class _Haul:
    """What a batch has gathered so far, by staged table name."""

    tables: dict[str, list[pa.Table]] = field(default_factory=dict)
    outcomes: list[OutcomeRow] = field(default_factory=list)

    def add(self, name: str, table: pa.Table) -> None:
        self.tables.setdefault(name, []).append(table)

    def merged(self) -> dict[str, pa.Table]:
        return {
            name: pa.concat_tables(parts, promote_options="default")
            for name, parts in self.tables.items()
        }

    @property
    def rows(self) -> int:
        return sum(part.num_rows for parts in self.tables.values() for part in parts)


def fetch_batch(runtime: Runtime, run_id: str, batch_no: int) -> dict[str, object]:
    """Fetch and stage one batch; a second call for a batch that has ended does nothing.

    A failed fetch is an outcome in the ledger, never an exception: one raise in a chord's header
    would keep the body from ever running for the others.
    """
    ledger, settings = runtime.ledger, runtime.settings
    claim = ledger.claim_batch(run_id, batch_no, settings.batch_lease_s)
    if claim is None:
        log.info("batch %s of run %s needs no work: it has ended or is leased", batch_no, run_id)
        return {"run_id": run_id, "batch_no": batch_no, "claimed": False}
    plan = ledger.batch_plan(run_id, batch_no)
    status = ledger.status(run_id)
    deadline = time.monotonic() + settings.batch_deadline_s
    haul = _Haul()
    try:
        routes = runtime.routes(status.upstream)
        source = runtime.source(status.upstream)
    except QuantsyncError as error:
        return _fail(runtime, claim, plan, error)
    with wire.observed(routes, lane=Lane(status.lane), deadline=deadline) as observation:
        whole = _fetch_items(runtime, claim, plan, source, haul, deadline)
    if not whole:
        return {"run_id": run_id, "batch_no": batch_no, "claimed": True, "given_back": True}
    return _stage(runtime, claim, plan, haul, observation.requests)


def _fetch_items(
    runtime: Runtime, claim: Claim, plan: BatchPlan, source: Source, haul: _Haul, deadline: float
) -> bool:
    """Fetch every item; False when the batch was lost, or given back because the worker stops."""
    renewed = time.monotonic()
    for done, item in enumerate(plan.items):
        if STOPPING.is_set():
            runtime.ledger.release_batch(claim)
            return False
        if time.monotonic() > deadline:
            reason = "the batch's deadline passed before its turn"
            haul.outcomes.append(OutcomeRow(item.subject, Outcome.TIMEOUT.value, reason))
            continue
        if done and time.monotonic() - renewed > 1.0:
            if not runtime.ledger.renew(claim, runtime.settings.batch_lease_s, done):
                log.warning(
                    "batch %s of run %s was given to another worker; what was fetched is dropped",
                    claim.number,
                    claim.run_id,
                )
                return False
            renewed = time.monotonic()
        haul.outcomes.append(_fetch_item(runtime, plan, item, source, haul))
    return True


def _fetch_item(
    runtime: Runtime, plan: BatchPlan, item: Item, source: Source, haul: _Haul
) -> OutcomeRow:
    try:
        return _FETCHERS[plan.work](runtime, plan, item, source, haul)
    except QuantsyncError as error:
        outcome, reason = failure_of(error)
        log.warning("%s: %s", item.subject, reason)
    except Exception as error:
        outcome, reason = failure_of(error)
        log.exception("%s failed in a way nobody foresaw", item.subject)
    return OutcomeRow(item.subject, outcome.value, reason)


def _retried(call: Callable[[], _T]) -> _T:
    """Call until it succeeds, for transient errors only: at most three times, a cut list twice.

    A list that is cut is rarely whole a second later, there may be hundreds of them, and each costs
    a request a page: the next run asks again.
    """
    retrying = Retrying(
        stop=lambda state: state.attempt_number >= (2 if _is_cut(state) else _ATTEMPTS),
        wait=lambda state: 0.2 if _is_cut(state) else _BACK_OFF(state),
        retry=retry_if_exception(lambda e: isinstance(e, SourceError) and e.transient),
        before_sleep=before_sleep_log(log, logging.INFO),
        reraise=True,
    )
    return retrying(call)


def _is_cut(state: RetryCallState) -> bool:
    outcome = state.outcome
    return outcome is not None and isinstance(outcome.exception(), TruncatedListError)


def _fetch_klines(
    runtime: Runtime, plan: BatchPlan, item: Item, source: Source, haul: _Haul
) -> OutcomeRow:
    assert plan.period is not None
    assert item.start is not None
    assert item.end is not None
    period, window = plan.period, Window(item.start, item.end)
    if plan.work is Work.KLINE:
        dataset, symbol = Dataset.KLINE, parse_stock(item.subject)
        bars = _retried(lambda: source.fetch_klines(symbol, period, window, Adjustment.NONE))
    else:
        assert plan.board_kind is not None
        dataset, kind = Dataset.BOARD_KLINE, plan.board_kind
        bars = _retried(lambda: source.fetch_board_klines(kind, item.subject, window))
    verdict = validate_bars(dataset, period, bars.table, runtime.calendar)
    haul.add(dataset.value, verdict.accepted)
    if verdict.rejected.num_rows:
        haul.add("quarantine", verdict.rejected)
    return bars_proof(item, period, bars, verdict, runtime.calendar)


def _fetch_symbol_list(
    runtime: Runtime, plan: BatchPlan, item: Item, source: Source, haul: _Haul
) -> OutcomeRow:
    del runtime, plan
    listing = _retried(source.fetch_symbol_list)
    haul.add(Work.SYMBOL_LIST.value, listing)
    return OutcomeRow(item.subject, Outcome.OK.value, rows=listing.num_rows)


def _fetch_board_list(
    runtime: Runtime, plan: BatchPlan, item: Item, source: Source, haul: _Haul
) -> OutcomeRow:
    del runtime
    assert plan.board_kind is not None
    kind = plan.board_kind
    boards = _retried(lambda: source.fetch_board_list(kind))
    haul.add(Work.BOARD_LIST.value, boards)
    return OutcomeRow(item.subject, Outcome.OK.value, rows=boards.num_rows)


def _fetch_members(
    runtime: Runtime, plan: BatchPlan, item: Item, source: Source, haul: _Haul
) -> OutcomeRow:
    assert plan.board_kind is not None
    kind = plan.board_kind
    session = runtime.calendar.latest_started(source.now())
    try:
        members = _retried(lambda: source.fetch_board_members(kind, item.subject))
    except EmptyBoardError as error:
        return empty_board(runtime.catalog, kind, item, error, session)
    board = pa.array([item.subject] * members.num_rows, pa.string())
    haul.add(Work.BOARD_MEMBERS.value, members.append_column("board", board))
    return OutcomeRow(
        item.subject,
        Outcome.OK.value,
        rows=members.num_rows,
        covered_from=session,
        covered_to=session,
    )


_FETCHERS: dict[Work, Callable[[Runtime, BatchPlan, Item, Source, _Haul], OutcomeRow]] = {
    Work.KLINE: _fetch_klines,
    Work.BOARD_KLINE: _fetch_klines,
    Work.SYMBOL_LIST: _fetch_symbol_list,
    Work.BOARD_LIST: _fetch_board_list,
    Work.BOARD_MEMBERS: _fetch_members,
}


def _stage(
    runtime: Runtime, claim: Claim, plan: BatchPlan, haul: _Haul, requests: int
) -> dict[str, object]:
    try:
        manifest = runtime.staging.write(claim.run_id, claim.number, claim.token, haul.merged())
    except StorageError as error:
        return _fail(runtime, claim, plan, error)
    staged = runtime.ledger.stage_batch(
        claim,
        manifest=manifest,
        rows=haul.rows,
        requests=requests,
        work=plan.work,
        outcomes=haul.outcomes,
    )
    if not staged:
        runtime.staging.discard(manifest)
        log.warning(
            "batch %s of run %s was staged by another worker; this copy is dropped",
            claim.number,
            claim.run_id,
        )
    return {"run_id": claim.run_id, "batch_no": claim.number, "rows": haul.rows, "staged": staged}


def _fail(
    runtime: Runtime, claim: Claim, plan: BatchPlan, error: QuantsyncError
) -> dict[str, object]:
    """End a batch that could not be worked on at all, with the reason for each of its items."""
    log.error("batch %s of run %s failed: %s", claim.number, claim.run_id, error)
    outcome, reason = failure_of(error)
    rows = [OutcomeRow(item.subject, outcome.value, error.message) for item in plan.items]
    runtime.ledger.fail_batch(claim, reason=reason, work=plan.work, outcomes=rows)
    return {"run_id": claim.run_id, "batch_no": claim.number, "failed": error.message}
