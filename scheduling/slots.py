"""Slots: the instants that scheduled runs serve, and which of them are due.

A slot belongs to the market's day, not to the moment at which some clock ticks: a tick that comes
late, twice, or from a second scheduler means the same slot, and one run serves it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta

from market.clock import EXCHANGE_TZ, in_shanghai
from market.errors import ConfigurationError
from market.sessions import SESSION_CLOSE, SETTLED_AT, TradingCalendar


class WrongSlotsError(ConfigurationError):
    """Slots that cannot be read, or that lie outside the day."""


@dataclass(frozen=True, slots=True)
class SlotRule:
    """Slots every so many minutes within a session, from ``first`` to ``last``, both included.

    Attributes:
        every_min: Minutes between two slots.
        first: The session's first slot, Asia/Shanghai.
        last: Its last one.
        skip: Half-open ranges ``[from, to)`` without slots, e.g. the lunch break.
    """

    every_min: int
    first: time
    last: time
    skip: tuple[tuple[time, time], ...] = ()

    def of_session(self, session: datetime) -> list[datetime]:
        """The slots of the day that an instant falls on, ascending; all days look alike here."""
        day = in_shanghai(session).date()
        at = datetime.combine(day, self.first, tzinfo=EXCHANGE_TZ)
        end = datetime.combine(day, self.last, tzinfo=EXCHANGE_TZ)
        slots = []
        while at <= end:
            if not any(start <= at.time() < stop for start, stop in self.skip):
                slots.append(at)
            at += timedelta(minutes=self.every_min)
        return slots

    def changed(self, text: str) -> "SlotRule":
        """The same rule with other instants; the ranges without slots stay.

        Args:
            text: ``16:10`` for one slot, or ``09:35-15:10/10``: first, last, minutes between.

        Raises:
            WrongSlotsError: Neither, or all of them lie where there are none; or slots that are
                meant to find final bars come before.
        """
        found = _SLOTS.fullmatch(text.strip())
        if found is None:
            raise _wrong_slots(text)
        try:
            first = time.fromisoformat(found["first"])
            last = time.fromisoformat(found["last"] or found["first"])
        except ValueError:
            raise _wrong_slots(text) from None
        every = int(found["every"] or self.every_min)
        if last < first or every < 1:
            raise _wrong_slots(text)
        if self.first > SESSION_CLOSE and last < SETTLED_AT:
            raise WrongSlotsError(
                f"{text!r} comes before the session's bars are final ({SETTLED_AT:%H:%M}), and "
                "nothing would make them so later: use a later instant, such as 15:15"
            )
        changed = replace(self, every_min=every, first=first, last=last)
        if not changed.of_session(datetime(2000, 1, 3, tzinfo=EXCHANGE_TZ)):
            raise _wrong_slots(text)
        return changed

    def due(self, now: datetime, calendar: TradingCalendar) -> datetime | None:
        """The latest slot that has come in the session of ``now``; None before it, and on days off.

        Raises:
            CalendarRangeError: ``now`` is beyond the recorded calendar.
        """
        if not calendar.is_session(in_shanghai(now).date()):
            return None
        return max((slot for slot in self.of_session(now) if slot <= now), default=None)

    def missed(self, served: datetime | None, due: datetime) -> int:
        """How many slots of the day of ``due`` came after the one served last and before it."""
        return sum(
            1 for slot in self.of_session(due) if slot < due and (served is None or slot > served)
        )


FIVE_MINUTES = SlotRule(
    every_min=5, first=time(9, 35), last=time(15, 10), skip=((time(11, 35), time(13, 5)),)
)
"""The stock sync: after each 5m bar, and twice after the close, when the last bars are final."""

AFTER_CLOSE = SlotRule(every_min=5, first=time(15, 15), last=time(15, 15))
"""The day's bars, once they are final."""

AFTER_DAILY = SlotRule(every_min=5, first=time(15, 20), last=time(15, 20))
"""The day's official minute bars, symbol by symbol behind everything else."""

CONCEPTS = SlotRule(every_min=5, first=time(15, 25), last=time(15, 25))
"""The list of concepts, their members, and their bars of the day."""

INDUSTRIES = SlotRule(every_min=5, first=time(15, 30), last=time(15, 30))
"""The same of the industries."""

SLOT_RULES: Mapping[str, SlotRule] = {
    "stocks_5m": FIVE_MINUTES,
    "stocks_daily": AFTER_CLOSE,
    "stocks_5m_final": AFTER_DAILY,
    "concepts_daily": CONCEPTS,
    "industries_daily": INDUSTRIES,
}
"""The slots of each scheduled run, by the name that ticks carry."""

_SLOTS = re.compile(r"(?P<first>\d\d:\d\d)(-(?P<last>\d\d:\d\d)/(?P<every>\d{1,3}))?")


def _wrong_slots(text: str) -> WrongSlotsError:
    return WrongSlotsError(
        f"{text!r} names no slots: use one instant of the day in Shanghai, such as 16:10, or "
        "first, last and minutes between them, such as 09:35-15:10/10; not all in the lunch break"
    )
