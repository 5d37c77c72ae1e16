"""What the schedule will do: every instant of every entry, and what its gate will say."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from market.clock import in_shanghai
from market.errors import CalendarRangeError
from market.sessions import TradingCalendar, exchange_calendar
from pipeline.settings import Settings
from scheduling.beat import TICK_MINUTES, BeatEntry, read_changes, slot_rules
from scheduling.cron import Cron
from scheduling.gates import Gate, judge
from scheduling.slots import SlotRule

_RUNS, _ASKS, _UNKNOWN = "runs", "asks", "unknown"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """One or more instants in a row at which an entry is due and the same is said of it.

    Attributes:
        at: The first.
        until: The last; the same if there is one.
        times: How many.
        gate: ``serves``, or why not (:class:`scheduling.gates.Gate`); ``runs`` or ``asks``
            for what has no slots; ``unknown`` beyond the recorded calendar.
        says: The same for people.
    """

    name: str
    task: str
    queue: str
    at: datetime
    until: datetime
    times: int
    gate: str
    says: str

    @property
    def happens(self) -> bool:
        """Whether something is done then, and not only looked at."""
        return self.gate in (Gate.SERVES, _RUNS)


def forecast(settings: Settings, start: datetime, hours: float) -> list[Foreseen]:
    """What the schedule of an installation will do in ``[start, start + hours)``, by time.

    Raises:
        ConfigurationError: The schedule that is set cannot be meant.
    """
    from pipeline.app import schedule_entries  # noqa: PLC0415  (Celery)

    return foresee(
        schedule_entries(settings),
        slot_rules(read_changes(settings.schedule)),
        exchange_calendar(),
        start=start,
        hours=hours,
        zone=ZoneInfo(settings.celery_timezone),
    )


def foresee(
    entries: dict[str, BeatEntry],
    rules: dict[str, SlotRule],
    calendar: TradingCalendar,
    *,
    start: datetime,
    hours: float,
    zone: tzinfo,
) -> list[Foreseen]:
    """What is due in ``[start, start + hours)``, by time.

    Every slot is taken to be served by the tick that it comes due at. Ticks in a row that serve
    nothing for the same reason are one.

    Args:
        entries: Of beat.
        rules: Slots of the runs, by the names of their ticks.
        calendar: The sessions that exist.
        start: Aware.
        hours: How far to look.
        zone: Whose clocks crontab lines mean.
    """
    end = start + timedelta(hours=hours)
    found: list[Foreseen] = []
    for name, entry in entries.items():
        if isinstance(entry.when, Cron):
            instants = entry.when.instants(start, end, zone)
            rule = rules.get(name)
            if rule is None and entry.asks is not None:
                found += _in_a_row(name, entry, ((at, _ASKS, entry.asks) for at in instants))
            elif rule is None:
                found += [_one(name, entry, at, _RUNS, "runs") for at in instants]
            else:
                said = ((at, *_gate(rule, at, calendar)) for at in instants)
                found += _in_a_row(name, entry, said)
        else:
            times = int(timedelta(hours=hours) / entry.when)
            says = f"runs every {entry.when.total_seconds():g} s"
            found.append(Foreseen(name, entry.task, entry.queue, start, end, times, _RUNS, says))
    return sorted(found, key=lambda each: (each.at, each.name))


def _gate(rule: SlotRule, at: datetime, calendar: TradingCalendar) -> tuple[str, str]:
    """Gate and words for one tick, if all slots were served that had come at the tick before."""
    try:
        before = at - timedelta(minutes=TICK_MINUTES)
        # What was served yesterday says nothing of today's slots.
        is_first = in_shanghai(before).date() != in_shanghai(at).date()
        served = None if is_first else rule.due(before, calendar)
        verdict = judge(rule, at, served, calendar)
    except CalendarRangeError as error:
        return _UNKNOWN, error.message
    return verdict.gate.value, verdict.says


def _one(name: str, entry: BeatEntry, at: datetime, gate: str, says: str) -> Foreseen:
    return Foreseen(name, entry.task, entry.queue, at, at, 1, gate, says)


def _in_a_row(
    name: str, entry: BeatEntry, said: Iterable[tuple[datetime, str, str]]
) -> Iterator[Foreseen]:
    open_: Foreseen | None = None
    for at, gate, says in said:
        if open_ is not None and (gate, says) == (open_.gate, open_.says) and gate != Gate.SERVES:
            open_ = Foreseen(
                name, entry.task, entry.queue, open_.at, at, open_.times + 1, gate, says
            )
            continue
        if open_ is not None:
            yield open_
        open_ = _one(name, entry, at, gate, says)
    if open_ is not None:
        yield open_
