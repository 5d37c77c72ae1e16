"""Ticks of the schedule: the run of the slot that is due, begun once however often it is asked for.

Beat's ticks may be late, doubled or lost. What counts is the slot, which is unique in the ledger; a
slot that nobody served is found by the reconciler. Slots that were missed while nothing ran, or
while the run of an earlier one went on, are served by one run: it fetches all that is missing.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ingest.pacing import Lane
from market.clock import in_shanghai
from market.errors import QuantsyncError
from market.periods import Period
from pipeline.broker import BrokerUnreachableError
from pipeline.committing import Publish
from pipeline.plans import STOCKS, Request
from pipeline.runs import start_run
from pipeline.runtime import LIVE, Runtime
from scheduling.slots import AFTER_CLOSE, AFTER_DAILY, FIVE_MINUTES, SlotRule
from scheduling.steady_need import SteadyNeed, steady_need

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A run that the schedule asks for.

    Attributes:
        kind: ``stocks``.
        period: Length of the bars.
        rule: Its slots.
        lane: ``live`` or ``bulk``.
        snapshot: Whether it sweeps the market for provisional bars, and fetches only the
            watch-list singly.
    """

    kind: str
    period: Period
    rule: SlotRule
    lane: str = Lane.LIVE.value
    snapshot: bool = False


SCHEDULE = {
    "stocks_5m": Scheduled(STOCKS, Period.M5, FIVE_MINUTES, snapshot=True),
    "stocks_daily": Scheduled(STOCKS, Period.DAILY, AFTER_CLOSE),
    "stocks_5m_final": Scheduled(STOCKS, Period.M5, AFTER_DAILY, lane=Lane.BULK.value),
}
"""Runs by the name that ticks carry."""


def check_schedule(runtime: Runtime) -> SteadyNeed:
    """Hold what the ticks need against the budget.

    Raises:
        ScheduleTooDenseError: They can never keep up.
    """
    upstream = runtime.settings.quantsync_upstream
    listed = len(runtime.catalog.symbols())
    if not listed and upstream != LIVE:
        listed = runtime.settings.simulator_symbols
    watched = len(runtime.settings.watched)
    need = steady_need(listed, watched, runtime.settings.windows_for(upstream))
    need.check()
    return need


def begin_due(runtime: Runtime, name: str, publish: Publish) -> str | None:
    """Begin the run of the slot that is due.

    Returns:
        Its id; None if no slot is due, a run serves it already, or that of an earlier slot goes on.

    Raises:
        QuantsyncError: It could not be planned or published; the slot can be asked for again.
    """
    scheduled, upstream = SCHEDULE[name], runtime.settings.quantsync_upstream
    now = runtime.clock(upstream).now()
    due = scheduled.rule.due(now, runtime.calendar)
    newest = runtime.recovery.newest_slot(scheduled.kind, scheduled.lane, scheduled.period.value)
    served = None if newest is None else datetime.fromisoformat(newest)
    if served is not None and in_shanghai(served).date() > in_shanghai(now).date():
        # A clock that was days ahead and was set right: its slot says nothing of today's.
        log.warning("the slot %s of %s lies in the future and is not counted", newest, name)
        served = None
    if due is None or (served is not None and served >= due):
        return None
    request = Request(
        kind=scheduled.kind,
        upstream=upstream,
        period=scheduled.period,
        symbols=runtime.settings.watched if scheduled.snapshot else None,
        lane=scheduled.lane,
        snapshot=scheduled.snapshot,
        slot=due.isoformat(),
        missed=scheduled.rule.missed(served, due),
    )
    run_id = start_run(runtime, request, publish)
    if run_id is not None:
        log.info("run %s serves the slot %s of %s", run_id, request.slot, name)
    return run_id


def begin_missed(runtime: Runtime, publish: Publish) -> Iterator[str]:
    """Begin the runs of slots that a schedule which is kept here has missed, a sentence each."""
    if not runtime.settings.schedule_enabled:
        return
    for name in SCHEDULE:
        try:
            run_id = begin_due(runtime, name, publish)
        except BrokerUnreachableError as error:
            log.warning("the slot of %s waits for the broker: %s", name, error)
        except QuantsyncError:
            log.exception("the slot of %s could not be begun; the next round tries again", name)
        else:
            if run_id is not None:
                yield f"run {run_id} was begun for a slot of {name} that nobody had served"
