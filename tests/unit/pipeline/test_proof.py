"""What an answer proves, and where the proof ends."""

from datetime import date

import pytest

from ingest.source import Bars
from ingest.validation import Verdict, validate_bars
from market.bars import Dataset
from market.periods import Period
from market.sessions import exchange_calendar
from pipeline.proof import bars_proof
from storage.run_records import Item
from tests.fixtures.bars import bars_of, daily_bar

NAME = "600519.SH"
FRIDAY, SATURDAY, MONDAY = date(2024, 1, 5), date(2024, 1, 6), date(2024, 1, 8)


@pytest.mark.parametrize("day", [SATURDAY, date(2999, 1, 2)])
def test_a_row_of_a_day_that_is_no_session_ends_the_proof_and_not_the_fetch(day: date) -> None:
    """The sessions before it are complete; the outcome names the rule and how to see the row."""
    calendar = exchange_calendar()
    rows = bars_of([daily_bar(NAME, each) for each in (FRIDAY, day, MONDAY)])
    verdict: Verdict = validate_bars(Dataset.KLINE, Period.DAILY, rows, calendar)

    row = bars_proof(Item(NAME, FRIDAY, MONDAY), Period.DAILY, Bars(rows, 3), verdict, calendar)

    assert (row.outcome, row.rows) == ("invalid", 2)
    assert "1 × not_a_session" in str(row.reason)
    assert f"quantsync quarantine list {NAME}" in str(row.reason)
    assert row.covered_to == (FRIDAY if day == SATURDAY else MONDAY)
