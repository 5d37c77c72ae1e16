"""What a tick finds at the gate: a slot that is to be served, or the reason why there is none."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from market.clock import in_shanghai
from market.sessions import TradingCalendar
from scheduling.slots import SlotRule

_SATURDAY = 5


class Gate(StrEnum):
    """Whether a tick is let through, and if not, why."""

    SERVES = "serves"
    SERVED = "served"
    BEFORE_FIRST = "before_first"
    LUNCH = "lunch"
    AFTER_LAST = "after_last"
    WEEKEND = "weekend"
    HOLIDAY = "holiday"

    @property
    def needs_no_ledger(self) -> bool:
        """Whether the clock alone closes it, whatever was served before."""
        return self in (Gate.BEFORE_FIRST, Gate.WEEKEND, Gate.HOLIDAY)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says.

    Attributes:
        gate: Open or closed, and why.
        slot: The slot that is served, if it is open.
        missed: Earlier slots of the day that it serves too.
        says: A sentence's part for people.
    """

    gate: Gate
    says: str
    slot: datetime | None = None
    missed: int = 0


def judge(
    rule: SlotRule, now: datetime, served: datetime | None, calendar: TradingCalendar
) -> Verdict:
    """Let a tick through if a slot has come that nobody has served.

    Args:
        rule: The slots.
        now: The instant of the tick.
        served: The slot that was served last; None: none ever was.
        calendar: The sessions that exist.

    Raises:
        CalendarRangeError: ``now`` is beyond the recorded calendar.
    """
    local = in_shanghai(now)
    if not calendar.is_session(local.date()):
        weekend = local.weekday() >= _SATURDAY
        return Verdict(
            Gate.WEEKEND if weekend else Gate.HOLIDAY,
            "no session: weekend" if weekend else "no session: holiday",
        )
    due = rule.due(now, calendar)
    if due is None:
        return Verdict(Gate.BEFORE_FIRST, f"before the first slot, {rule.first:%H:%M}")
    if served is None or served < due:
        missed = rule.missed(served, due)
        also = f" and {missed} missed before it" if missed else ""
        return Verdict(Gate.SERVES, f"serves slot {due:%H:%M}{also}", due, missed)
    if due == rule.of_session(now)[-1]:
        return Verdict(Gate.AFTER_LAST, f"after the last slot, {due:%H:%M}")
    if any(start <= local.time() < stop for start, stop in rule.skip):
        return Verdict(Gate.LUNCH, "lunch")
    return Verdict(Gate.SERVED, f"slot {due:%H:%M} is served")
