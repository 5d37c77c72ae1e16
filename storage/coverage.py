"""Coverage: which sessions of a series are proven complete.

A session is covered when its bars are final and held, or when there is proof that it has none.
Ranges are closed, disjoint and not adjacent by the trading calendar; the watermark of a series is
the end of its first range, so it never passes a gap.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select, update

from market.sessions import TradingCalendar, Window, exchange_calendar
from storage.database import Database
from storage.ledger_tables import coverage

_PORTION = 500  # names in one statement


@dataclass(frozen=True, slots=True)
class Coverage:
    """Covered ranges of one series, ascending."""

    ranges: tuple[Window, ...]

    @property
    def watermark(self) -> date | None:
        """The last session up to which nothing is missing since the first one held."""
        return self.ranges[0].end if self.ranges else None

    def missing(self, window: Window, calendar: TradingCalendar) -> Window | None:
        """The smallest window that spans every session of ``window`` not covered; None if none."""
        sessions = calendar.sessions_in(window)
        low, high = 0, len(sessions)
        for each in self.ranges:
            if low < high and each.start <= sessions[low] <= each.end:
                low = bisect_right(sessions, each.end)
        for each in reversed(self.ranges):
            if low < high and each.start <= sessions[high - 1] <= each.end:
                high = bisect_left(sessions, each.start)
        return Window(sessions[low], sessions[high - 1]) if low < high else None


def join_ranges(ranges: Iterable[Window], calendar: TradingCalendar) -> tuple[Window, ...]:
    """Ranges as few as possible: overlapping and adjacent ones (no session between) become one."""
    joined: list[Window] = []
    for each in sorted(ranges, key=lambda w: w.start):
        if joined and each.start <= _next_session(joined[-1].end, calendar):
            joined[-1] = Window(joined[-1].start, max(joined[-1].end, each.end))
        else:
            joined.append(each)
    return tuple(joined)


def _next_session(day: date, calendar: TradingCalendar) -> date:
    after = calendar.session_on_or_before(day)
    if after == calendar.last_session:
        return day
    return calendar.offset(after, 1)


def extend_coverage(
    connection: Connection,
    dataset: str,
    period: str,
    subject: str,
    proven: tuple[date, date],
    run_id: str,
) -> None:
    """Add a proven range to a series' coverage, inside the caller's transaction. Idempotent."""
    extend_all(connection, dataset, period, {subject: [proven]}, run_id)


def extend_all(
    connection: Connection,
    dataset: str,
    period: str,
    proven: Mapping[str, Sequence[tuple[date, date]]],
    run_id: str,
) -> None:
    """Add proven ranges to the coverage of many series, by subject; else as extend_coverage."""
    calendar = exchange_calendar()
    mine = (coverage.c.dataset == dataset) & (coverage.c.period == period)
    subjects = sorted(proven)
    for at in range(0, len(subjects), _PORTION):
        portion = subjects[at : at + _PORTION]
        held: dict[str, list[Window]] = {}
        rows = select(coverage.c.subject, coverage.c.covered_from, coverage.c.covered_to)
        for name, start, end in connection.execute(
            rows.where(mine, coverage.c.subject.in_(portion))
        ).all():
            held.setdefault(name, []).append(Window(start, end))
        grown = {}
        for name in portion:
            before = held.get(name, [])
            new = [Window(start, end) for start, end in proven[name]]
            after = join_ranges([*before, *new], calendar)
            if set(after) != set(before):
                grown[name] = after
        if not grown:
            continue
        changed = sorted(held.keys() & grown.keys())
        if changed:
            connection.execute(delete(coverage).where(mine, coverage.c.subject.in_(changed)))
        connection.execute(
            insert(coverage),
            [
                {
                    "dataset": dataset,
                    "period": period,
                    "subject": name,
                    "covered_from": each.start,
                    "covered_to": each.end,
                    "run_id": run_id,
                }
                for name, ranges in grown.items()
                for each in ranges
            ],
        )


def prolong_coverage(
    connection: Connection,
    dataset: str,
    period: str,
    subjects: Sequence[str],
    session: date,
    run_id: str,
) -> None:
    """Let series that are covered up to the session before be covered up to a session. Idempotent.

    Others stay as they are: they have a gap before it. For the thousands of series that one sweep
    settles.
    """
    before = exchange_calendar().offset(session, -1)
    mine = (coverage.c.dataset == dataset) & (coverage.c.period == period)
    for at in range(0, len(subjects), _PORTION):
        named = mine & coverage.c.subject.in_(subjects[at : at + _PORTION])
        connection.execute(
            update(coverage)
            .where(named, coverage.c.covered_to == before)
            .values(covered_to=session, run_id=run_id)
        )


def forget_coverage(
    database: Database, dataset: str, period: str, sessions: Collection[date]
) -> int:
    """Take sessions out of the coverage of every series, so that they are fetched again.

    Idempotent.

    Returns:
        How many series lost any.
    """
    calendar = exchange_calendar()
    holes = join_ranges([Window(day, day) for day in sessions], calendar)
    if not holes:
        return 0
    mine = (coverage.c.dataset == dataset) & (coverage.c.period == period)
    hit = mine & or_(
        *(
            (coverage.c.covered_from <= hole.end) & (coverage.c.covered_to >= hole.start)
            for hole in holes
        )
    )
    with database.writing() as connection:
        rows = connection.execute(select(coverage).where(hit)).mappings().all()
        connection.execute(delete(coverage).where(hit))
        left = [
            {**row, "covered_from": part.start, "covered_to": part.end}
            for row in rows
            for part in _without(Window(row["covered_from"], row["covered_to"]), holes, calendar)
        ]
        if left:
            connection.execute(insert(coverage), left)
    return len({row["subject"] for row in rows})


def _without(
    covered: Window, holes: Iterable[Window], calendar: TradingCalendar
) -> Iterator[Window]:
    """What is left of a range without ascending holes; ends are sessions."""
    begin = covered.start
    for hole in holes:
        if hole.end < begin or hole.start > covered.end:
            continue
        if hole.start > begin:
            last = calendar.session_on_or_before(hole.start - timedelta(days=1))
            if last >= begin:
                yield Window(begin, last)
        begin = _next_session(hole.end, calendar)
        if begin <= hole.end:
            return  # the recorded calendar ends here
    if begin <= covered.end:
        yield Window(begin, covered.end)


def read_coverage(database: Database, dataset: str, period: str) -> dict[str, Coverage]:
    """Coverage of every series of a dataset and period, by symbol or board.

    Datasets are ``kline``, ``board_kline``, and ``board_members`` with the period ``session``.
    """
    return _read(database, coverage.c.dataset == dataset, coverage.c.period == period)


def read_coverage_of(database: Database, dataset: str, period: str, subject: str) -> Coverage:
    """Coverage of one series; without ranges if nothing of it is covered."""
    mine = (coverage.c.dataset == dataset, coverage.c.period == period)
    found = _read(database, *mine, coverage.c.subject == subject)
    return found.get(subject, Coverage(()))


def _read(database: Database, *conditions: ColumnElement[bool]) -> dict[str, Coverage]:
    with database.reading() as connection:
        rows = connection.execute(
            select(coverage.c.subject, coverage.c.covered_from, coverage.c.covered_to)
            .where(*conditions)
            .order_by(coverage.c.subject, coverage.c.covered_from)
        ).all()
    ranges: dict[str, list[Window]] = {}
    for subject, start, end in rows:
        ranges.setdefault(subject, []).append(Window(start, end))
    return {subject: Coverage(tuple(each)) for subject, each in ranges.items()}
