"""Why a session is missing: every reason, and which of two stands."""

from datetime import date
from typing import Any

import numpy as np
import pytest

from market.bars import Dataset
from market.periods import Period
from market.sessions import Window, exchange_calendar
from storage.gaps import Attempt, SeriesFacts, find_gaps

DAYS = exchange_calendar().sessions_in(Window(date(2025, 3, 3), date(2025, 3, 14)))
WHOLE = Window(DAYS[0], DAYS[-1])


def marks(text: str) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """``x`` where a flag is set, one character a session."""
    return np.array([c == "x" for c in text.ljust(len(DAYS), ".")], dtype=bool)


def reasons(final: str = "", since: date = DAYS[0], **facts: Any) -> list[tuple[int, int, str]]:
    """Missing stretches by the places of their ends."""
    known: dict[str, Any] = dict.fromkeys(("partial", "covered", "traded_not", "edge"), "")
    known |= {name: facts.pop(name) for name in list(facts) if name in known}
    masks: dict[str, Any] = {name: marks(text) for name, text in known.items()}
    series = SeriesFacts("600519.SH", since, marks(final), **masks, **facts)
    found = find_gaps(Dataset.KLINE, Period.DAILY, DAYS, series)
    assert found is not None
    assert found.held + sum(gap.sessions for gap in found.missing) == found.expected
    return [
        (DAYS.index(gap.window.start), DAYS.index(gap.window.end), gap.reason.value)
        for gap in found.missing
    ]


def attempt(outcome: str, first: int = 0, last: int = 9) -> Attempt:
    return Attempt(Window(DAYS[first], DAYS[last]), outcome, "the upstream's word")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"final": "xxxxxxxxxx"}, []),
        ({"final": "xxx.xxxxxx", "covered": "xxxxxxxxxx"}, [(3, 3, "lost")]),
        (
            {"final": "xxx.xxxxxx", "covered": "xxxxxxxxxx", "traded_not": "...x"},
            [(3, 3, "suspended")],
        ),
        ({"final": "...xxxxxxx", "edge": "xxx"}, [(0, 2, "not_listed")]),
        ({"final": "x...xxxxxx", "edge": ".xxx"}, [(1, 3, "suspended")]),
        ({"final": "...xxxxxxx", "edge": "xxx", "listed_on": DAYS[1]}, [
            (0, 0, "not_listed"), (1, 2, "suspended"),
        ]),
        ({"final": "xxxxx", "delisted_on": DAYS[7]}, [
            (5, 6, "never_fetched"), (7, 9, "delisted"),
        ]),
        ({"final": "xxxxxxxxx", "partial": ".........x", "traded_not": ".........x"}, [
            (9, 9, "provisional"),
        ]),
        ({"final": "xxxxx", "attempts": [attempt("throttled", 5)]}, [(5, 9, "failed")]),
        ({"final": "xxxxx", "attempts": [attempt("ok")]}, [(5, 9, "unproven")]),
        ({"final": "xxxxx", "attempts": [attempt("ok", 0, 6)]}, [
            (5, 6, "unproven"), (7, 9, "never_fetched"),
        ]),
        ({"final": "xxxxx", "attempts": [attempt("timeout", 8), attempt("ok")]}, [
            (5, 7, "unproven"), (8, 9, "failed"),
        ]),
        ({"final": "..xxxxx", "attempts": [attempt("delisted")]}, [
            (0, 1, "unproven"), (7, 9, "delisted"),
        ]),
        ({"attempts": [attempt("empty_not_listed")]}, [(0, 9, "not_listed")]),
        ({}, [(0, 9, "never_fetched")]),
        ({"final": "xxxxxxxxxx", "since": DAYS[5]}, []),
        ({"since": date(2025, 3, 8)}, [(5, 9, "never_fetched")]),
    ],
)  # fmt: skip
def test_each_missing_session_has_the_reason_that_the_facts_prove(
    facts: dict[str, Any], expected: list[tuple[int, int, str]]
) -> None:
    """Proof excuses, coverage alone does not; a bar that is only provisional is never excused."""
    assert reasons(**facts) == expected


def test_a_failure_is_told_in_the_ledgers_words() -> None:
    """Outcome and reason of the last fetch, not of one before."""
    nothing = marks("")
    attempts = [attempt("throttled"), attempt("ok")]
    facts = SeriesFacts("600519.SH", DAYS[0], *(nothing,) * 5, attempts=attempts)
    found = find_gaps(Dataset.KLINE, Period.DAILY, DAYS, facts)

    assert found is not None
    assert [gap.says for gap in found.missing] == ["throttled: the upstream's word"]


def test_what_the_upstream_serves_no_more_is_not_repairable() -> None:
    """The reason it is missing is still told."""
    nothing = marks("")
    facts = SeriesFacts("600519.SH", DAYS[0], *(nothing,) * 5)
    found = find_gaps(Dataset.KLINE, Period.M1, DAYS, facts, reach_from=DAYS[5])

    assert found is not None
    assert [(g.reason.value, g.sessions, g.repairable) for g in found.missing] == [
        ("out_of_reach", 5, False),
        ("never_fetched", 5, True),
    ]
    assert found.missing[0].says.startswith("never asked for; ")
    assert found.repairable == 5


def test_a_series_that_is_not_expected_yet_has_no_gaps() -> None:
    """Asked for from a later day on than the last settled session."""
    facts = SeriesFacts("600519.SH", date(2025, 3, 17), *(marks(""),) * 5)
    assert find_gaps(Dataset.KLINE, Period.DAILY, DAYS, facts) is None
