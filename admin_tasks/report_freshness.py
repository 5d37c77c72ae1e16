"""From gaps to what a report says of them: how fresh, what is late and why, what is gone."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from admin_tasks.report_facts import Expiring, Freshness, Missing
from market.bars import Dataset
from market.periods import Period
from market.sessions import TradingCalendar, Window
from storage.gaps import Reason, SeriesGaps, Stretch

_DAYS = 40
"""How many sessions the picture of the coverage goes back."""
_NAMES = 6
_SOON = 3
"""Sessions that are gone within so many closes are named."""
_GROUPS = 30


@dataclass(frozen=True, slots=True)
class Gaps:
    """The gaps of all series up to a session, as a report states them."""

    freshness: tuple[Freshness, ...]
    late: tuple[Missing, ...]
    gone: tuple[Missing, ...]
    expiring: tuple[Expiring, ...]


def judge_gaps(
    series: Sequence[SeriesGaps],
    session: date,
    calendar: TradingCalendar,
    reach_from: Mapping[Period, date],
) -> Gaps:
    """Sum up the gaps of all series.

    Args:
        series: One each; what they say of later sessions is left out.
        session: The last session that counts.
        calendar: The exchange's sessions.
        reach_from: The earliest session that the upstream still serves, of periods with a limit.
    """
    mine = [each for each in series if each.window.start <= session]
    keys = dict.fromkeys((each.dataset, each.period) for each in mine)
    tallies = {
        key: _tally(
            [each for each in mine if (each.dataset, each.period) == key], session, calendar
        )
        for key in keys
    }
    return Gaps(
        tuple(_freshness(key, tally) for key, tally in tallies.items()),
        tuple(_missing(tallies, repairable=True)),
        tuple(_missing(tallies, repairable=False)),
        tuple(_expiring(tallies, calendar, reach_from)),
    )


@dataclass(slots=True)
class _Group:
    says: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    since: date = date.max
    until: date = date.min


class _Tally:
    """Counts of one dataset and period, session by session."""

    def __init__(self, sessions: Sequence[date]) -> None:
        self.sessions = sessions
        self.groups: dict[tuple[bool, str], _Group] = {}
        self.owing: set[str] = set()
        # Steps: what begins at a session is added there and taken off behind its end.
        self._steps = {
            name: np.zeros(len(sessions) + 1, dtype=np.int64)
            for name in ("expected", "late", "gone", "idle")
        }

    def add(self, name: str, window: Window) -> int:
        """Count the sessions of a window, and say how many they are."""
        low = bisect_left(self.sessions, window.start)
        high = bisect_right(self.sessions, window.end)
        if low < high:
            self._steps[name][low] += 1
            self._steps[name][high] -= 1
        return max(0, high - low)

    def counts(self, name: str) -> list[int]:
        """How many series, for each session."""
        return [int(count) for count in np.cumsum(self._steps[name])[:-1]]


def _tally(series: Sequence[SeriesGaps], session: date, calendar: TradingCalendar) -> _Tally:
    first = min(each.window.start for each in series)
    tally = _Tally(calendar.sessions_in(Window(first, session)))
    for each in series:
        tally.add("expected", Window(each.window.start, session))
        for stretch in each.missing:
            if stretch.window.start <= session:
                _add_stretch(tally, each.name, stretch, session)
    return tally


def _add_stretch(tally: _Tally, name: str, stretch: Stretch, session: date) -> None:
    window = Window(stretch.window.start, min(stretch.window.end, session))
    is_gone = stretch.reason is Reason.OUT_OF_REACH
    if not stretch.repairable and not is_gone:
        tally.add("idle", window)
        return
    sessions = tally.add("gone" if is_gone else "late", window)
    if stretch.repairable:
        tally.owing.add(name)
    # One upstream may fail in as many words as there are symbols: the outcome's name is enough.
    failed = stretch.says.partition(":")[0] if stretch.reason is Reason.FAILED else ""
    key = (stretch.repairable, f"{stretch.reason.value} {failed}")
    group = tally.groups.setdefault(key, _Group())
    group.says[stretch.says] += sessions
    group.names[name] += sessions
    group.since = min(group.since, window.start)
    group.until = max(group.until, window.end)


def _freshness(key: tuple[Dataset, Period], tally: _Tally) -> Freshness:
    expected, late, gone, idle = (
        tally.counts(name) for name in ("expected", "late", "gone", "idle")
    )
    owed = [at for at, count in enumerate(late) if count]
    complete = (owed[0] if owed else len(tally.sessions)) - 1
    due = [e - i for e, i in zip(expected, idle, strict=True)]
    held = [d - a - b for d, a, b in zip(due, late, gone, strict=True)]
    days = list(zip(tally.sessions, held, due, strict=True))[-_DAYS:]
    return Freshness(
        dataset=key[0],
        period=key[1],
        series=expected[-1],
        held=held[-1],
        idle=idle[-1],
        late=late[-1],
        gone=gone[-1],
        complete_to=tally.sessions[complete] if complete >= 0 else None,
        late_since=tally.sessions[owed[0]] if owed else None,
        late_series=len(tally.owing),
        owed=sum(late),
        lost=sum(gone),
        days=tuple(days),
    )


def _missing(
    tallies: Mapping[tuple[Dataset, Period], _Tally], *, repairable: bool
) -> Iterator[Missing]:
    """Groups of one kind, those that concern the most sessions first."""
    found = [
        Missing(
            dataset=dataset,
            period=period,
            reason=Reason(word.split()[0]),
            says=group.says.most_common(1)[0][0],
            series=len(group.names),
            sessions=group.names.total(),
            since=group.since,
            until=group.until,
            names=tuple(name for name, _ in group.names.most_common(_NAMES)),
        )
        for (dataset, period), tally in tallies.items()
        for (mine, word), group in tally.groups.items()
        if mine == repairable
    ]
    yield from sorted(found, key=lambda each: -each.sessions)[:_GROUPS]


def _expiring(
    tallies: Mapping[tuple[Dataset, Period], _Tally],
    calendar: TradingCalendar,
    reach_from: Mapping[Period, date],
) -> Iterator[Expiring]:
    for (_, period), tally in tallies.items():
        if period not in reach_from:
            continue
        late = tally.counts("late")
        for closes in range(1, _SOON + 1):
            day = calendar.offset(reach_from[period], closes - 1)
            at = bisect_left(tally.sessions, day)
            if at < len(late) and tally.sessions[at] == day and late[at]:
                yield Expiring(period, day, late[at], closes)
