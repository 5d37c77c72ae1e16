"""From a universe, its coverage and a window to waves of batches that fetch what is missing."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from market.boards import BoardKind
from market.errors import InvalidWindowError
from market.periods import Period
from market.sessions import TradingCalendar, Window, bar_end_times
from storage.coverage import Coverage
from storage.run_records import BatchPlan, Item, WavePlan, Work

REACH_SESSIONS = {Period.M1: 5, Period.M5: 40}
"""How many sessions back the upstream serves a minute period (5m: about two months)."""
_WAVE_ITEMS = 400
"""Fetches of a wave; it has more if they take no longer, and bring no more bars, than these."""
_WAVE_S, _BARS_PER_WAVE = 60.0, 300_000


@dataclass(frozen=True, slots=True)
class Subject:
    """A symbol or board that may need bars.

    Attributes:
        name: ``600519.SH`` or ``BK0477``.
        suspended_on: Session at which the latest list showed no trade of it.
        listed: Whether the latest list names it; None if no list was read.
    """

    name: str
    suspended_on: date | None = None
    listed: bool | None = None


@dataclass(frozen=True, slots=True)
class BatchSizing:
    """How many fetches make a batch, and how many a wave.

    Attributes:
        items_per_batch: Fetches of a batch.
        items_per_wave: Fetches of a wave.
        most_per_wave: Fetches that a wave of few bars may have; 0: no more than any other.
    """

    items_per_batch: int
    items_per_wave: int
    most_per_wave: int = 0

    def of_bars(self, each: int) -> "BatchSizing":
        """With waves for fetches that bring so many bars each.

        Every wave rewrites the partitions it touches. So where fetches come fast and bring little,
        more of them share a wave, as far as its bars still fit into memory.

        Args:
            each: Bars that a fetch brings at most.
        """
        fitting = min(self.most_per_wave, _BARS_PER_WAVE // max(each, 1))
        return replace(self, items_per_wave=max(self.items_per_wave, fitting))

    @classmethod
    def for_rate(
        cls,
        requests_per_s: float,
        *,
        batch_seconds: float = 25.0,
        threads: int = 8,
        wave_items: int | None = None,
    ) -> "BatchSizing":
        """Batches of about so many seconds at the permitted rate, waves of so many fetches.

        A batch of bounded time keeps a fresh 5-minute run from waiting long behind a backfill, all
        of whose batches share one rate: a thread is free when its batch has ended, not sooner. A
        wave of bounded size bounds the memory of its commit.

        Args:
            requests_per_s: The permitted rate.
            batch_seconds: How long a batch takes while all threads have one.
            threads: Of a worker.
            wave_items: Fetches of every wave; None: some hundred, and more where they are small.
        """
        items = min(50, max(5, round(requests_per_s * batch_seconds / threads)))
        if wave_items is not None:
            return cls(items_per_batch=items, items_per_wave=wave_items)
        most = round(requests_per_s * _WAVE_S)
        return cls(items_per_batch=items, items_per_wave=_WAVE_ITEMS, most_per_wave=most)


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """The window that will be fetched, and what the asker should know about it."""

    window: Window
    notices: tuple[str, ...] = ()


def plan_window(
    *,
    start: date | None,
    end: date | None,
    period: Period,
    history_from: date,
    calendar: TradingCalendar,
    now: datetime,
) -> WindowPlan:
    """Settle which sessions a request means.

    Args:
        start: First day asked for; None: ``history_from``, or as far as the upstream reaches.
        end: Last day asked for; None: the latest session that has begun.
        period: Length of the bars.
        history_from: Where history begins when nothing is asked for.
        calendar: The sessions that exist.
        now: Exchange time.

    Raises:
        InvalidWindowError: The window lies in the future, holds no session, or ends before it
            starts.
        CalendarRangeError: The window reaches outside the recorded calendar.
    """
    latest = calendar.latest_started(now)
    notices: list[str] = []
    if start is not None and start > latest:
        raise InvalidWindowError(
            f"the window begins on {start}, in the future, and the latest session that has begun "
            f"is {latest}: begin there or before",
            {"from": start.isoformat()},
        )
    last = end or latest
    if last > latest:
        notices.append(f"the window ends on {last}; sessions after {latest} have not begun")
        last = latest
    reach = REACH_SESSIONS.get(period)
    first = start or (history_from if reach is None else calendar.first_session)
    if reach is not None:
        oldest = calendar.offset(latest, 1 - reach)
        if last < oldest:
            raise InvalidWindowError(
                f"the upstream serves {period} bars back to {oldest} only ({reach} sessions), "
                f"and nothing of {first}..{last} can be had any more: begin on {oldest} or later"
            )
        if start is not None and start < oldest:
            notices.append(
                f"the upstream serves {period} bars back to {oldest} only ({reach} sessions): "
                f"{start} to {oldest} cannot be had"
            )
        first = max(first, oldest)
    window = Window(first, last)
    if not calendar.sessions_in(window):
        raise InvalidWindowError(
            f"there is no trading session in {window.start}..{window.end}: widen the window"
        )
    return WindowPlan(window, tuple(notices))


def plan_klines(
    *,
    work: Work,
    subjects: Sequence[Subject],
    coverage: Mapping[str, Coverage],
    window: Window,
    period: Period,
    calendar: TradingCalendar,
    queue: str,
    sizing: BatchSizing,
    board_kind: BoardKind | None = None,
    first: Collection[str] = (),
) -> tuple[list[WavePlan], list[str]]:
    """Waves that fetch what the window lacks, and the subjects that lack nothing.

    One request can span any window, so a subject is fetched once, from its first missing session
    to its last. What lacks the oldest session comes first, for that is what expires first and what
    is most stale; those of ``first`` come before all others.
    """
    items: list[Item] = []
    complete: list[str] = []
    nothing = Coverage(())
    for subject in subjects:
        held = coverage.get(subject.name, nothing)
        missing = held.missing(window, calendar)
        if missing is None:
            complete.append(subject.name)
            continue
        items.append(
            Item(
                subject=subject.name,
                start=missing.start,
                end=missing.end,
                held=bool(held.ranges),
                suspended_on=subject.suspended_on,
                listed=subject.listed,
            )
        )
    items.sort(key=lambda item: (item.subject not in first, item.start, item.subject))
    batches = _batches(work, items, sizing, period=period, board_kind=board_kind)
    each = len(calendar.sessions_in(window)) * len(bar_end_times(period))
    return list(into_waves(queue, batches, sizing.of_bars(each))), complete


def plan_members(
    *, boards: Sequence[str], kind: BoardKind, queue: str, sizing: BatchSizing
) -> list[WavePlan]:
    """Waves that fetch the members of boards."""
    items = [Item(subject=board) for board in boards]
    batches = _batches(Work.BOARD_MEMBERS, items, sizing, board_kind=kind)
    return list(into_waves(queue, batches, sizing))


def plan_list(*, work: Work, name: str, queue: str, kind: BoardKind | None = None) -> WavePlan:
    """The wave of one batch that fetches a whole list."""
    return WavePlan(queue, (BatchPlan(work, (Item(subject=name),), board_kind=kind),))


def _batches(
    work: Work,
    items: Sequence[Item],
    sizing: BatchSizing,
    *,
    period: Period | None = None,
    board_kind: BoardKind | None = None,
) -> list[BatchPlan]:
    return [
        BatchPlan(work, tuple(group), period=period, board_kind=board_kind)
        for group in _grouped(items, sizing.items_per_batch)
    ]


def into_waves(queue: str, batches: Sequence[BatchPlan], sizing: BatchSizing) -> Iterator[WavePlan]:
    """Batches cut into waves, one chord each."""
    per_wave = max(1, sizing.items_per_wave // sizing.items_per_batch)
    for start in range(0, len(batches), per_wave):
        yield WavePlan(queue, tuple(batches[start : start + per_wave]))


def _grouped(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
