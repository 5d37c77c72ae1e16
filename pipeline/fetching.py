"""One batch: claim, fetch each item under the budget, validate, stage, record. No Celery here."""

import logging
import threading
import time
from collections.abc import Callable

from ingest import wire
from ingest.pacing import Lane
from ingest.remarks import remarks_gathered
from ingest.source import (
    BannedError,
    Outcome,
    Source,
    failure_of,
)
from market.adjustments import Adjustment
from market.errors import QuantsyncError
from market.sessions import Window
from market.symbols import parse_stock
from pipeline.doubting import HeldCloses
from pipeline.ex_rights import ASKED, close_shows_none, fetch_events
from pipeline.hauls import Answer, BatchInterruptedError, Haul, settle, to_outcome
from pipeline.identity import process_identity
from pipeline.log_fields import log_fields
from pipeline.membership import fetch_member_pages, fetch_sweep
from pipeline.patience import patiently
from pipeline.pulse import pulse, working_on
from pipeline.retrying import retried
from pipeline.runtime import Runtime
from pipeline.sweeping import fetch_staged_quotes
from pipeline.upstream_clocks import keep_clocks
from pipeline.voiding import void_leases_of_the_dead
from storage.errors import StorageError
from storage.killpoints import KillPoint, reach
from storage.run_records import BatchPlan, Claim, Item, OutcomeRow, Work

log = logging.getLogger(__name__)

STOPPING = threading.Event()
"""Set when this process is asked to stop: batches in work are given back between two items."""

_RENEW_S = 1.0
_BY_TIME = (Outcome.TIMEOUT.value, Outcome.BUDGET_UNAVAILABLE.value)
"""Outcomes that say no more than that the time was over."""


class _Hold:
    """The lease on a batch while this thread works on it: kept alive, and noticed when lost.

    Attributes:
        done: Items that have ended.
        deadline: ``time.monotonic()`` instant after which the batch is worked on no more.
    """

    def __init__(self, runtime: Runtime, claim: Claim) -> None:
        self.claim = claim
        self.done = 0
        self.deadline = time.monotonic() + runtime.settings.batch_deadline_s
        self._ledger = runtime.ledger
        self._lease_s = runtime.settings.batch_lease_s
        self._renewed = time.monotonic()

    def alive(self) -> None:
        """Show a pulse and prolong the lease; called at least between any two requests.

        Raises:
            BatchInterruptedError: The worker is asked to stop, or another one has the batch.
        """
        pulse()
        _stop_if_asked()
        if time.monotonic() - self._renewed < min(_RENEW_S, self._lease_s / 4):
            return
        self._renewed = time.monotonic()
        try:
            held = self._ledger.renew(self.claim, self._lease_s, self.done)
        except StorageError as error:
            if not error.transient:
                raise
            log.warning("%s: its lease could not be prolonged: %s", _name(self.claim), error)
            return
        if not held:
            raise BatchInterruptedError(
                f"{_name(self.claim)} was given to another worker, or its run has ended: what was "
                "fetched is refused and dropped",
                {"run_id": self.claim.run_id, "batch_no": self.claim.number},
            )


def _stop_if_asked() -> None:
    if STOPPING.is_set():
        raise BatchInterruptedError("the worker is asked to stop")


def _name(claim: Claim) -> str:
    return f"batch {claim.number} of run {claim.run_id} (attempt {claim.attempt})"


def fetch_batch(runtime: Runtime, run_id: str, batch_no: int) -> dict[str, object]:
    """Fetch and stage one batch; a second call for a batch that has ended does nothing.

    A failed fetch is an outcome in the ledger, never an exception: one raise in a chord's header
    would keep the body from ever running for the others. While the database or the disk is away,
    it waits; what it cannot finish goes back to the ledger, and is handed out again.

    Returns:
        What happened; ``given_back`` is there if the message should go to another worker.
    """
    said: dict[str, object] = {"run_id": run_id, "batch_no": batch_no}
    with working_on(f"batch {batch_no} of run {run_id}"), log_fields(**said):
        try:
            hold = _hold(runtime, run_id, batch_no)
            if hold is None:
                log.info("batch %s of run %s is not to be had: ended or leased", batch_no, run_id)
                return {**said, "claimed": False}
            return {**said, **_work(runtime, hold)}
        except BatchInterruptedError as error:
            log.warning("batch %s of run %s: %s", batch_no, run_id, error)
            return {**said, "given_back": STOPPING.is_set()}
        except StorageError as error:
            # It stands in the ledger as pending or leased, and is handed out again from there.
            log.exception("batch %s of run %s could not be recorded", batch_no, run_id)
            return {**said, "failed": error.message}


def _hold(runtime: Runtime, run_id: str, batch_no: int) -> _Hold | None:
    """The batch, if it is to be had; a dead worker's lease does not stand in the way."""
    settings, owner = runtime.settings, process_identity()

    def claim() -> Claim | None:
        found = runtime.ledger.claim_batch(run_id, batch_no, settings.batch_lease_s, owner)
        if found is None and void_leases_of_the_dead(runtime.recovery):
            found = runtime.ledger.claim_batch(run_id, batch_no, settings.batch_lease_s, owner)
        return found

    what = f"batch {batch_no} of run {run_id}"
    found = patiently(claim, until=_patience(runtime), what=what, meanwhile=_waiting)
    if found is None:
        return None
    reach(KillPoint.BATCH_CLAIMED, batch_no)
    return _Hold(runtime, found)


def _waiting() -> None:
    pulse()
    _stop_if_asked()


def _patience(runtime: Runtime) -> float:
    return time.monotonic() + runtime.settings.store_patience_s


def _work(runtime: Runtime, hold: _Hold) -> dict[str, object]:
    """Fetch and stage a batch that is held."""
    claim = hold.claim
    plan, status = patiently(
        lambda: (
            runtime.ledger.batch_plan(claim.run_id, claim.number),
            runtime.ledger.status(claim.run_id),
        ),
        until=_patience(runtime),
        what=_name(claim),
        meanwhile=hold.alive,
    )
    haul = Haul(plan, HeldCloses(runtime, plan))
    try:
        routes = runtime.routes(status.upstream)
        source = runtime.source(status.upstream)
        if plan.work.dataset is None:
            now, settled_at = source.now(), runtime.settings.settled_at
            haul.session = runtime.calendar.latest_started(now)
            haul.settled = runtime.calendar.latest_settled(now, settled_at) == haul.session
    except QuantsyncError as error:
        return _fail(runtime, claim, plan, error)
    lane = Lane(status.lane)
    if lane is Lane.LIVE and plan.work is Work.SYMBOL_LIST:
        lane = Lane.SWEEP
    try:
        with wire.observed(
            routes, lane=lane, deadline=hold.deadline, alive=hold.alive
        ) as observation:
            _fetch_items(runtime, hold, plan, source, haul, observation)
        keep_clocks(runtime.database, observation)
        return _stage(runtime, hold, plan, haul, observation.requests)
    except BatchInterruptedError:
        if STOPPING.is_set():
            runtime.ledger.release_batch(claim)
        raise
    except BannedError as error:
        # Nothing is wrong with what it was to fetch: it is handed out again, as long as the run may
        # last.
        log.warning("%s is given back: %s", _name(claim), error)
        runtime.ledger.release_batch(claim)
        return {"banned": error.message}


def _fetch_items(
    runtime: Runtime,
    hold: _Hold,
    plan: BatchPlan,
    source: Source,
    haul: Haul,
    observation: wire.Observation,
) -> None:
    """Fetch every item, each to an outcome.

    Raises:
        BatchInterruptedError: The batch was lost, or the worker stops.
        BannedError: The batch's deadline passed while the address is banned.
    """
    for item in plan.items:
        hold.alive()
        if time.monotonic() > hold.deadline and observation.throttled:
            raise BannedError("throttling took the time that it was given")
        if time.monotonic() > hold.deadline:
            reason = "the batch's deadline passed before its turn"
            haul.outcomes.append(OutcomeRow(item.subject, Outcome.TIMEOUT.value, reason))
        else:
            fetched = _fetch_item(runtime, plan, item, source, haul)
            if fetched is not None:
                if fetched.outcome in _BY_TIME and observation.throttled:
                    raise BannedError(
                        f"throttling took the time that it was given: {fetched.reason}"
                    )
                haul.outcomes.append(fetched)
            reach(KillPoint.ITEM_FETCHED, item.subject)
        hold.done += 1
    settle(runtime, haul, meanwhile=_waiting)


def _fetch_item(
    runtime: Runtime, plan: BatchPlan, item: Item, source: Source, haul: Haul
) -> OutcomeRow | None:
    """The outcome of an item; None: it was answered with bars, which are judged with the others."""
    said: list[str] = []

    def fetch() -> OutcomeRow | None:
        with remarks_gathered() as remarks:
            try:
                return _FETCHERS[plan.work](runtime, plan, item, source, haul)
            finally:
                said.extend(remarks)

    outcome = to_outcome(item, said, fetch)
    if outcome is None:
        haul.answers[-1].said.extend(said)
    return outcome


def _fetch_klines(
    runtime: Runtime, plan: BatchPlan, item: Item, source: Source, haul: Haul
) -> None:
    del runtime
    assert plan.period is not None
    assert item.start is not None
    assert item.end is not None
    window = Window(item.start, item.end)
    if plan.work is Work.KLINE:
        symbol = parse_stock(item.subject)
        bars = source.fetch_klines(symbol, plan.period, window, Adjustment.NONE)
    else:
        assert plan.board_kind is not None
        kind = plan.board_kind
        bars = retried(lambda: source.fetch_board_klines(kind, item.subject, window))
    haul.answers.append(Answer(item, window, bars))


def _fetch_symbol_list(
    runtime: Runtime, plan: BatchPlan, item: Item, source: Source, haul: Haul
) -> OutcomeRow:
    del runtime, plan
    quotes = retried(lambda: fetch_staged_quotes(source))
    haul.add(Work.SYMBOL_LIST.value, quotes)
    return OutcomeRow(item.subject, Outcome.OK.value, rows=quotes.num_rows)


def _fetch_board_list(
    runtime: Runtime, plan: BatchPlan, item: Item, source: Source, haul: Haul
) -> OutcomeRow:
    del runtime
    assert plan.board_kind is not None
    kind = plan.board_kind
    boards = retried(lambda: source.fetch_board_list(kind))
    haul.add(Work.BOARD_LIST.value, boards)
    return OutcomeRow(item.subject, Outcome.OK.value, rows=boards.num_rows)


def _fetch_members(
    runtime: Runtime, plan: BatchPlan, item: Item, source: Source, haul: Haul
) -> OutcomeRow:
    session = runtime.calendar.latest_started(source.now())
    members, outcome = fetch_member_pages(runtime.catalog, source, plan, item, session, retried)
    if members is not None:
        haul.add(Work.BOARD_MEMBERS.value, members)
    return outcome


def _fetch_member_sweep(
    runtime: Runtime, plan: BatchPlan, item: Item, source: Source, haul: Haul
) -> OutcomeRow:
    del runtime, plan
    quotes, outcome = fetch_sweep(source, item, retried)
    haul.add(Work.MEMBER_SWEEP.value, quotes)
    return outcome


def _fetch_ex_rights(
    runtime: Runtime, plan: BatchPlan, item: Item, source: Source, haul: Haul
) -> OutcomeRow:
    del plan
    if (unchanged := close_shows_none(runtime, item)) is not None:
        return unchanged
    events, asked, outcome = fetch_events(runtime, source, item, retried)
    haul.add(Work.EX_RIGHT.value, events)
    haul.add(ASKED, asked)
    return outcome


_FETCHERS: dict[Work, Callable[[Runtime, BatchPlan, Item, Source, Haul], OutcomeRow | None]] = {
    Work.KLINE: _fetch_klines,
    Work.BOARD_KLINE: _fetch_klines,
    Work.SYMBOL_LIST: _fetch_symbol_list,
    Work.BOARD_LIST: _fetch_board_list,
    Work.BOARD_MEMBERS: _fetch_members,
    Work.MEMBER_SWEEP: _fetch_member_sweep,
    Work.EX_RIGHT: _fetch_ex_rights,
}


def _stage(
    runtime: Runtime, hold: _Hold, plan: BatchPlan, haul: Haul, requests: int
) -> dict[str, object]:
    """Make the haul durable, then tell the ledger; a full disk or a database away is waited for."""
    claim, tables = hold.claim, haul.merged()
    waiting = {"until": _patience(runtime), "what": _name(claim), "meanwhile": hold.alive}
    try:
        manifest = patiently(
            lambda: runtime.staging.write(
                claim.run_id,
                claim.number,
                claim.token,
                tables,
                session=haul.session,
                settled=haul.settled,
            ),
            **waiting,  # type: ignore[arg-type]
        )
    except StorageError as error:
        if error.transient:
            runtime.ledger.release_batch(claim)
            raise
        return _fail(runtime, claim, plan, error)
    reach(KillPoint.FILES_STAGED)
    staged = patiently(
        lambda: (
            runtime.ledger.stage_batch(
                claim,
                manifest=manifest,
                rows=haul.rows,
                requests=requests,
                work=plan.work,
                outcomes=haul.outcomes,
            )
            # The answer to an earlier try may have been lost with the connection.
            or runtime.ledger.is_staged_by(claim)
        ),
        **waiting,  # type: ignore[arg-type]
    )
    if not staged:
        runtime.staging.discard(manifest)
        log.warning(
            "%s was given to another worker, or its run has ended: what this one staged is refused "
            "and dropped",
            _name(claim),
        )
    reach(KillPoint.BATCH_RECORDED)
    return {"rows": haul.rows, "staged": staged}


def _fail(
    runtime: Runtime, claim: Claim, plan: BatchPlan, error: QuantsyncError
) -> dict[str, object]:
    """End a batch that could not be worked on at all, with the reason for each of its items."""
    log.error("%s failed: %s", _name(claim), error)
    outcome, reason = failure_of(error)
    rows = [OutcomeRow(item.subject, outcome.value, error.message) for item in plan.items]
    patiently(
        lambda: runtime.ledger.fail_batch(claim, reason=reason, work=plan.work, outcomes=rows),
        until=_patience(runtime),
        what=_name(claim),
        meanwhile=_waiting,
    )
    return {"failed": error.message}
