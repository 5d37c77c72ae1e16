"""From gaps to fetches: few requests, and each of them able to prove what it leaves out.

One request can span any window, so two missing windows of a series cost one request or two:

- They are **joined** when few held sessions lie between them. Fetching a year of daily bars again
  costs a few milliseconds and some 20 kB, a second request costs a place in the budget.
- They stay **apart** when more than :data:`JOIN_SESSIONS` held sessions lie between them: years of
  bars would be fetched, staged and merged again for nothing.
- Minute answers are always whole, whatever window is asked for: one request a series.

Each window reaches to the held session before it and after it. A narrow window that comes back
empty proves nothing; one with a bar at both ends proves every session between them.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from market.boards import BoardKind
from market.periods import Period
from market.sessions import Window
from scheduling.planner import BatchSizing, Subject, into_waves
from storage.gaps import SeriesGaps
from storage.run_records import BatchPlan, Item, WavePlan, Work

JOIN_SESSIONS = 250
"""Held sessions, about a year, that are rather fetched again than a second request sent."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """One request of a repair.

    Attributes:
        name: Symbol or board.
        window: What is asked for, the held sessions at its ends included.
        missing: Sessions it may bring.
        again: Held sessions it fetches again.
    """

    name: str
    window: Window
    missing: int
    again: int


def plan_fetches(
    gaps: SeriesGaps, *, reach_from: date | None = None, join: int = JOIN_SESSIONS
) -> list[Fetch]:
    """The requests that repair a series, ascending; none if nothing can be repaired.

    Args:
        gaps: The series against the calendar.
        reach_from: The earliest session that the upstream still serves; None: it serves all.
        join: Windows with at most so many held sessions between them become one.
    """
    groups: list[tuple[Window, int]] = []
    for each in gaps.missing:
        if not each.repairable:
            continue
        near = groups and (
            gaps.period.is_intraday
            or _held_in(gaps.final, groups[-1][0].end, each.window.start) <= join
        )
        if near:
            before, count = groups[-1]
            groups[-1] = Window(before.start, each.window.end), count + each.sessions
        else:
            groups.append((each.window, each.sessions))
    return [_fetch(gaps, window, count, reach_from) for window, count in groups]


def _fetch(gaps: SeriesGaps, window: Window, missing: int, reach_from: date | None) -> Fetch:
    before = bisect_left(gaps.final, window.start)
    after = bisect_right(gaps.final, window.end)
    start, end = window.start, window.end
    if before and (reach_from is None or gaps.final[before - 1] >= reach_from):
        start = gaps.final[before - 1]
    if after < len(gaps.final):
        end = gaps.final[after]
    again = bisect_right(gaps.final, end) - bisect_left(gaps.final, start)
    return Fetch(gaps.name, Window(start, end), missing, again)


def _held_in(held: Sequence[date], start: date, end: date) -> int:
    return bisect_left(held, end) - bisect_right(held, start)


def into_rounds(fetches: Mapping[str, Sequence[Fetch]]) -> Iterator[list[Fetch]]:
    """Rounds in which no series comes twice: the ledger keeps one outcome a series and run."""
    for at in range(max(map(len, fetches.values()), default=0)):
        yield [mine[at] for mine in fetches.values() if at < len(mine)]


def plan_round(
    fetches: Sequence[Fetch],
    subjects: Mapping[str, Subject],
    *,
    work: Work,
    period: Period,
    queue: str,
    sizing: BatchSizing,
    board_kind: BoardKind | None = None,
) -> list[WavePlan]:
    """The waves of one round.

    Args:
        fetches: At most one a series.
        subjects: What the lists say of each series.
        work: Klines of symbols or of boards.
        period: Length of the bars.
        queue: Whose workers fetch them.
        sizing: Sizes of batches and waves.
        board_kind: Of boards.
    """
    items = [_item(fetch, subjects.get(fetch.name, Subject(fetch.name))) for fetch in fetches]
    size = sizing.items_per_batch
    batches = [
        BatchPlan(work, tuple(items[at : at + size]), period=period, board_kind=board_kind)
        for at in range(0, len(items), size)
    ]
    return list(into_waves(queue, batches, sizing))


def _item(fetch: Fetch, subject: Subject) -> Item:
    return Item(
        subject=fetch.name,
        start=fetch.window.start,
        end=fetch.window.end,
        held=fetch.again > 0,
        suspended_on=subject.suspended_on,
        listed=subject.listed,
    )
