"""Ticks of the schedule: the run of the slot that is due, begun once however often it is asked for.

Beat's ticks may be late, doubled or lost. What counts is the slot, which is unique in the ledger; a
slot that nobody served is found by the reconciler. Slots that were missed while nothing ran, or
while the run of an earlier one went on, are served by one run: it fetches all that is missing.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ingest.pacing import Lane
from market.boards import BoardKind
from market.clock import in_shanghai
from market.errors import QuantsyncError
from market.periods import Period
from pipeline.broker import BrokerUnreachableError
from pipeline.committing import Publish
from pipeline.request import CONCEPTS, INDUSTRIES, STOCKS, Request
from pipeline.runs import start_run
from pipeline.runtime import Runtime
from pipeline.settings import Settings
from pipeline.upstreams import LIVE
from scheduling.beat import read_changes, slot_rules
from scheduling.gates import judge
from scheduling.slots import SlotRule
from scheduling.steady_need import SteadyNeed, nightly_need, steady_need
from storage.errors import StorageError
from storage.vital_signs import TICK, note_sign

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A run that the schedule asks for.

    Attributes:
        kind: ``stocks``, ``concepts`` or ``industries``.
        period: Length of the bars.
        lane: ``live`` or ``bulk``.
        snapshot: Whether it sweeps the market for provisional bars, and fetches only the
            watch-list singly.
    """

    kind: str
    period: Period
    lane: str = Lane.LIVE.value
    snapshot: bool = False


_BULK = Lane.BULK.value
SCHEDULED = {
    "stocks_5m": Scheduled(STOCKS, Period.M5, snapshot=True),
    "stocks_daily": Scheduled(STOCKS, Period.DAILY),
    "stocks_5m_final": Scheduled(STOCKS, Period.M5, lane=_BULK),
    "concepts_daily": Scheduled(CONCEPTS, Period.DAILY, lane=_BULK),
    "industries_daily": Scheduled(INDUSTRIES, Period.DAILY, lane=_BULK),
}
"""Runs by the name that ticks carry; their slots are in :mod:`scheduling.slots`."""

_BOARD_KINDS = {
    "concepts_daily": BoardKind.CONCEPT,
    "industries_daily": BoardKind.INDUSTRY,
}


def rules(settings: Settings) -> dict[str, SlotRule]:
    """The slots of each run that the schedule of this installation has, by name."""
    return slot_rules(read_changes(settings.schedule))


def check_schedule(runtime: Runtime) -> SteadyNeed:
    """Hold what the ticks need, and the runs after the close, against the budget.

    Raises:
        ScheduleTooDenseError: They can never keep up.
    """
    settings = runtime.settings
    upstream, kept = settings.quantsync_upstream, rules(settings)
    windows = settings.windows_for(upstream)
    listed = len(runtime.catalog.symbols())
    if not listed and upstream != LIVE:
        listed = settings.simulator_symbols
    every = kept.get("stocks_5m")
    tick_s = [every.every_min * 60.0] if every else []
    need = steady_need(listed, len(settings.watched), windows, *tick_s)
    if every is not None:
        need.check()
    nightly_need(
        kept,
        listed=listed,
        boards={name: len(runtime.catalog.boards(kind)) for name, kind in _BOARD_KINDS.items()},
        members_by_page=settings.members_from == "pages",
        windows=windows,
    ).check()
    return need


def tick(runtime: Runtime, name: str, publish: Publish) -> str | None:
    """Do what a tick of beat asks, and show that somebody does.

    Returns and raises as :func:`begin_due` does.
    """
    _show_life(runtime)
    return begin_due(runtime, name, publish)


def _show_life(runtime: Runtime) -> None:
    """Once a minute: all runs of the schedule are asked for at the same instant."""
    global _shown  # noqa: PLW0603  (one sign for the process)
    if time.monotonic() - _shown < _SHOW_EVERY_S:
        return
    _shown = time.monotonic()
    try:
        note_sign(runtime.database, TICK)
    except StorageError as error:
        log.warning("the sign that ticks are served could not be kept: %s", error)


_SHOW_EVERY_S = 60.0
_shown = -_SHOW_EVERY_S


def begin_due(runtime: Runtime, name: str, publish: Publish) -> str | None:
    """Begin the run of the slot that is due.

    Returns:
        Its id; None if no slot is due, a run serves it already, or that of an earlier slot goes on.

    Raises:
        QuantsyncError: It could not be planned or published; the slot can be asked for again.
    """
    rule = rules(runtime.settings).get(name)
    if rule is None:
        log.info("%s is off in SCHEDULE: its tick is not served", name)
        return None
    scheduled, upstream = SCHEDULED[name], runtime.settings.quantsync_upstream
    now = runtime.clock(upstream).now()
    # Outside a session nothing is read, sent or recorded.
    if judge(rule, now, None, runtime.calendar).gate.needs_no_ledger:
        return None
    newest = runtime.recovery.newest_slot(scheduled.kind, scheduled.lane, scheduled.period.value)
    served = None if newest is None else datetime.fromisoformat(newest)
    if served is not None and in_shanghai(served).date() > in_shanghai(now).date():
        # A clock that was days ahead and was set right: its slot says nothing of today's.
        log.warning("the slot %s of %s lies in the future and is not counted", newest, name)
        served = None
    verdict = judge(rule, now, served, runtime.calendar)
    if verdict.slot is None:
        return None
    request = Request(
        kind=scheduled.kind,
        upstream=upstream,
        period=scheduled.period,
        symbols=runtime.settings.watched if scheduled.snapshot else None,
        lane=scheduled.lane,
        snapshot=scheduled.snapshot,
        slot=verdict.slot.isoformat(),
        missed=verdict.missed,
    )
    run_id = start_run(runtime, request, publish)
    if run_id is not None:
        log.info("run %s serves the slot %s of %s", run_id, request.slot, name)
    return run_id


def begin_missed(runtime: Runtime, publish: Publish) -> Iterator[str]:
    """Begin the runs of slots that a schedule which is kept here has missed, a sentence each."""
    if not runtime.settings.schedule_enabled:
        return
    for name in rules(runtime.settings):
        try:
            run_id = begin_due(runtime, name, publish)
        except BrokerUnreachableError as error:
            log.warning("the slot of %s waits for the broker: %s", name, error)
        except QuantsyncError as error:
            # No traceback: while an upstream's clock is away, this is said every round.
            log.warning("the slot of %s waits for the next round: %s", name, error)
        else:
            if run_id is not None:
                yield f"run {run_id} was begun for a slot of {name} that nobody had served"
