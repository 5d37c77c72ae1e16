"""What the schedule does beside the runs of slots: gaps at night, the report when all has ended."""

import logging
from collections.abc import Callable
from datetime import date, datetime, time

from ingest.pacing import Lane
from market.clock import SystemClock, in_shanghai
from pipeline.committing import Publish
from pipeline.gap_runs import examine_gaps, plan_repair
from pipeline.runs import begin_run
from pipeline.runtime import Runtime
from pipeline.ticks import SCHEDULED, rules
from scheduling.slots import SlotRule
from storage.vital_signs import last_turn, take_turn

log = logging.getLogger(__name__)

REPORT_AT_LATEST = time(22, 0)
"""Shanghai time at which the report is sent though some run of the day still goes on."""

_GAPS, _REPORT = "gaps", "report"


def repair_gaps(runtime: Runtime, publish: Publish) -> list[str]:
    """Begin the runs that fetch what is missing; once a night, whoever asks.

    Nothing is begun while another run of the bulk lane goes on: what it is about to fetch is
    missing still, and would be fetched twice.

    Returns:
        The runs begun.

    Raises:
        QuantsyncError: A store cannot be read, or the broker does not take them.
    """
    running = [runtime.ledger.status(run_id) for run_id in runtime.recovery.running()]
    busy = [run.run_id for run in running if run.lane == Lane.BULK.value]
    if busy:
        log.info("gaps are not repaired tonight: run %s of the bulk lane goes on", busy[0])
        return []
    night = in_shanghai(SystemClock().now()).date().isoformat()
    if not take_turn(runtime.database, _GAPS, night):
        return []
    upstream = runtime.settings.quantsync_upstream
    found = examine_gaps(runtime, upstream)
    if not found.repairable:
        return []
    plan = plan_repair(runtime, found, upstream)
    begun = [begin_run(runtime, run, publish) for run in plan.runs]
    log.info("%d requests for %d missing sessions begin", plan.requests, found.repairable)
    return [run_id for run_id in begun if run_id is not None]


def send_report_when_final(runtime: Runtime, send: Callable[[date], None]) -> date | None:
    """Have the report of the session sent when its runs have ended, or it is late; once.

    The turn is taken after it was sent: sent twice, it is the same mail, which goes out once.

    Args:
        runtime: The stores.
        send: Hands the session to who makes and mails the report.

    Returns:
        The session, if it was sent now.

    Raises:
        QuantsyncError: The ledger cannot be read, or the broker does not take it.
    """
    now = in_shanghai(runtime.clock(runtime.settings.quantsync_upstream).now())
    session = now.date()
    if not runtime.calendar.is_session(session):
        return None
    last = last_turn(runtime.database, _REPORT)
    if last is not None and last >= session.isoformat():
        return None
    if now.time() < REPORT_AT_LATEST and not _day_has_ended(runtime, now):
        return None
    send(session)
    take_turn(runtime.database, _REPORT, session.isoformat())
    return session


def _day_has_ended(runtime: Runtime, now: datetime) -> bool:
    """Whether every scheduled run of the session has been begun, and none goes on."""
    if not all(
        _is_served(runtime, name, rule, now) for name, rule in rules(runtime.settings).items()
    ):
        return False
    return all(runtime.ledger.status(run).slot is None for run in runtime.recovery.running())


def _is_served(runtime: Runtime, name: str, rule: SlotRule, now: datetime) -> bool:
    run = SCHEDULED[name]
    newest = runtime.recovery.newest_slot(run.kind, run.lane, run.period.value)
    return newest is not None and datetime.fromisoformat(newest) >= rule.of_session(now)[-1]
