"""What a report says of gaps: what is late, since when, what is gone, and what soon will be."""

from collections.abc import Sequence
from datetime import date

from admin_tasks.report_freshness import Gaps, judge_gaps
from market.bars import Dataset
from market.periods import Period
from market.sessions import Window, exchange_calendar
from storage.gaps import REPAIRABLE, Reason, SeriesGaps, Stretch

CALENDAR = exchange_calendar()
DAYS = CALENDAR.sessions_in(Window(date(2025, 3, 3), date(2025, 3, 14)))
Gap = tuple[int, int, Reason, str]


def series(name: str, *gaps: Gap, period: Period = Period.DAILY, first: int = 0) -> SeriesGaps:
    """A series that is expected from a session on, and lacks the sessions between two places."""
    missing = tuple(
        Stretch(Window(DAYS[a], DAYS[b]), b - a + 1, reason, says, reason in REPAIRABLE)
        for a, b, reason, says in gaps
    )
    expected = len(DAYS) - first
    held = expected - sum(gap.sessions for gap in missing)
    window = Window(DAYS[first], DAYS[-1])
    return SeriesGaps(Dataset.KLINE, period, name, window, expected, held, missing)


def judged(*found: SeriesGaps, session: date = DAYS[-1], reach_from: date | None = None) -> Gaps:
    reach = {} if reach_from is None else {Period.M5: reach_from}
    return judge_gaps(found, session, CALENDAR, reach)


def places(days: Sequence[tuple[date, int, int]]) -> list[tuple[int, int]]:
    """Held and due of each session."""
    return [(held, due) for _, held, due in days]


def test_a_session_that_nobody_traded_is_not_late_and_one_that_was_not_fetched_is() -> None:
    (row,) = judged(
        series("A"),
        series("B", (8, 9, Reason.SUSPENDED, "no trade")),
        series("C", (7, 9, Reason.NEVER_FETCHED, "never asked for")),
    ).freshness

    assert (row.series, row.held, row.idle, row.late, row.gone) == (3, 1, 1, 1, 0)
    assert (row.complete_to, row.late_since) == (DAYS[6], DAYS[7])
    assert (row.late_series, row.owed, row.lost, row.share) == (1, 3, 0, 0.5)
    assert places(row.days) == [(3, 3)] * 7 + [(2, 3), (1, 2), (1, 2)]


def test_a_series_is_expected_from_its_own_first_session_on() -> None:
    (row,) = judged(series("A"), series("B", first=6)).freshness

    assert places(row.days) == [(1, 1)] * 6 + [(2, 2)] * 4
    assert (row.complete_to, row.late_since, row.share) == (DAYS[-1], None, 1.0)


def test_what_comes_after_the_session_of_the_report_does_not_count() -> None:
    gaps = judged(
        series("A", (3, 9, Reason.NEVER_FETCHED, "never asked for")),
        series("B", (5, 9, Reason.LOST, "not in the lake")),
        session=DAYS[4],
    )

    (row,), (late,) = gaps.freshness, gaps.late
    assert (row.late, row.owed, row.days[-1]) == (1, 2, (DAYS[4], 1, 2))
    assert (late.names, late.sessions, late.since, late.until) == (("A",), 2, DAYS[3], DAYS[4])


def test_what_can_no_longer_be_had_is_never_called_late() -> None:
    expired = "never asked for; the upstream does not serve it any more"
    gaps = judged(series("A", (0, 3, Reason.OUT_OF_REACH, expired), period=Period.M5))

    (row,), (gone,) = gaps.freshness, gaps.gone
    assert (row.owed, row.lost, row.late_since, row.complete_to) == (0, 4, None, DAYS[-1])
    assert (gone.says, gone.sessions, gone.since, gone.until) == (expired, 4, DAYS[0], DAYS[3])
    assert gaps.late == ()


def test_failures_of_one_kind_are_told_together_and_others_apart() -> None:
    """By the outcome, not by the words, in which every symbol may be named."""
    gaps = judged(
        series("A", (2, 2, Reason.FAILED, "timeout: A did not answer")),
        series("B", (1, 2, Reason.FAILED, "timeout: B did not answer")),
        series("C", (2, 2, Reason.FAILED, "invalid: C is wrong")),
    )

    told = [(row.says, row.series, row.sessions, row.names) for row in gaps.late]
    assert told == [
        ("timeout: B did not answer", 2, 3, ("B", "A")),
        ("invalid: C is wrong", 1, 1, ("C",)),
    ]


def test_a_session_that_is_owed_and_expires_soon_is_named_with_the_closes_left() -> None:
    owing = series("A", (4, 9, Reason.NEVER_FETCHED, "never asked for"), period=Period.M5)

    soon = judged(owing, series("B", period=Period.M5), reach_from=DAYS[3]).expiring

    assert [(row.session, row.series, row.closes_left) for row in soon] == [
        (DAYS[4], 1, 2),
        (DAYS[5], 1, 3),
    ]


def test_nothing_is_said_of_what_was_never_asked_for() -> None:
    assert judged() == Gaps((), (), (), ())
    assert judged(series("A", first=5), session=DAYS[4]) == Gaps((), (), (), ())
