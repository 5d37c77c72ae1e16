"""Repairs: which windows are asked for, and in how many requests."""

from datetime import date

import numpy as np
import pytest

from market.bars import Dataset
from market.periods import Period
from market.sessions import Window, exchange_calendar
from scheduling.gap_plan import Fetch, into_rounds, plan_fetches
from storage.gaps import SeriesFacts, SeriesGaps, find_gaps

SESSIONS = exchange_calendar().sessions_in(Window(date(2020, 1, 2), date(2025, 12, 31)))
NAME = "600519.SH"


def gaps(
    missing: set[int],
    suspended: set[int] = frozenset(),  # type: ignore[assignment]
    period: Period = Period.DAILY,
    reach_from: date | None = None,
) -> SeriesGaps:
    """A series that holds every session but those at some places."""
    numbers = np.arange(len(SESSIONS))
    absent = np.isin(numbers, list(missing))
    idle = np.isin(numbers, list(suspended))
    nothing = np.zeros(len(SESSIONS), dtype=bool)
    facts = SeriesFacts(NAME, SESSIONS[0], ~absent & ~idle, nothing, ~absent, idle, nothing)
    found = find_gaps(Dataset.KLINE, period, SESSIONS, facts, reach_from=reach_from)
    assert found is not None
    return found


def windows(fetches: list[Fetch]) -> list[tuple[int, int, int, int]]:
    """Fetches by the places of their ends."""
    return [
        (SESSIONS.index(f.window.start), SESSIONS.index(f.window.end), f.missing, f.again)
        for f in fetches
    ]


@pytest.mark.parametrize(
    ("missing", "planned"),
    [
        (set(), []),
        ({10}, [(9, 11, 1, 2)]),
        ({10, 11, 12}, [(9, 13, 3, 2)]),
        ({0}, [(0, 1, 1, 1)]),
        ({len(SESSIONS) - 1}, [(len(SESSIONS) - 2, len(SESSIONS) - 1, 1, 1)]),
        ({10, 261}, [(9, 262, 2, 252)]),
        ({10, 262}, [(9, 11, 1, 2), (261, 263, 1, 2)]),
        ({10, 20, 1000}, [(9, 21, 2, 11), (999, 1001, 1, 2)]),
    ],
)
def test_near_windows_share_a_request_and_reach_to_a_held_bar_on_both_sides(
    missing: set[int], planned: list[tuple[int, int, int, int]]
) -> None:
    """At most 250 held sessions are fetched again to save a request; far windows stay apart."""
    assert windows(plan_fetches(gaps(missing))) == planned


def test_a_long_suspension_between_two_windows_costs_nothing() -> None:
    """Sessions without trade bring no bars: only held ones count."""
    suspended = set(range(12, 600))
    assert windows(plan_fetches(gaps({10, 605}, suspended))) == [(9, 606, 2, 8)]
    assert windows(plan_fetches(gaps({11}, suspended))) == [(10, 600, 1, 2)]


def test_minutes_are_one_request_within_the_reach() -> None:
    """The upstream always sends all it has, and nothing before."""
    count = len(SESSIONS)
    found = gaps({count - 60, count - 40, count - 2}, set(), Period.M5, SESSIONS[-40])

    fetches = plan_fetches(found, reach_from=SESSIONS[-40])

    assert windows(fetches) == [(count - 40, count - 1, 2, 38)]
    assert found.counts() == {"out_of_reach": 1, "never_fetched": 2}


def test_no_series_comes_twice_in_a_round() -> None:
    """The ledger keeps one outcome a series and run."""
    day = Window(SESSIONS[0], SESSIONS[0])
    one, two, three = (Fetch(name, day, 1, 0) for name in ("a", "a", "b"))

    assert list(into_rounds({"a": [one, two], "b": [three], "c": []})) == [[one, three], [two]]
