"""Where a chart shows gaps: every place of the calendar without a final bar, and why."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from market.bars import Dataset
from market.periods import Period
from market.sessions import Window
from pipeline.chart_marks import Marks, read_marks
from pipeline.lateness import read_freshness
from pipeline.runtime import Runtime
from pipeline.settings import Settings
from storage.coverage import extend_coverage
from storage.gaps import Reason
from storage.no_trade import Proof, add_no_trade
from storage.run_records import RunPlan
from tests.fixtures.bars import bars_of, daily_bar

WEEK = [date(2025, 12, day) for day in (22, 23, 24, 25, 26)]
HELD = [date(2025, 12, day) for day in (15, 16, 17, 18, 19)] + [date(2025, 12, 29)]
NAME = "600519.SH"


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """A home that holds a week, lacks the next one, of which two sessions are proven idle."""
    runtime = Runtime(Settings(quantsync_home=tmp_path / "home"))
    runtime.ledger.open_run(
        RunPlan(
            run_id="r1",
            kind="stocks",
            period=Period.DAILY,
            upstream="live",
            lane="live",
            params={"symbols": [NAME], "from": "2025-12-15", "to": "2025-12-29"},
            waves=(),
        )
    )
    bars = bars_of([daily_bar(NAME, day, close=10.0) for day in HELD])
    runtime.lake.write(Dataset.KLINE, Period.DAILY, bars)
    with runtime.database.writing() as connection:
        add_no_trade(connection, Dataset.KLINE, "daily", Proof.ANSWER, {NAME: WEEK[:2]})
        extend_coverage(connection, "kline", "daily", NAME, (HELD[0], WEEK[1]), "r1")
    yield runtime
    runtime.database.dispose()


def vacant(found: Marks) -> dict[date, Reason]:
    return {each.end_at.date(): each.reason for each in found.vacancies}


def test_a_session_without_a_bar_has_a_place_and_its_reason(runtime: Runtime) -> None:
    december = Window(date(2025, 12, 1), date(2025, 12, 29))
    found = vacant(read_marks(runtime, Dataset.KLINE, NAME, Period.DAILY, december))
    idle = dict.fromkeys(WEEK[:2], Reason.SUSPENDED)
    assert found == idle | dict.fromkeys(WEEK[2:], Reason.NEVER_FETCHED)


def test_a_longer_bar_is_missing_only_where_all_of_its_sessions_are(runtime: Runtime) -> None:
    december = Window(date(2025, 12, 1), date(2025, 12, 29))
    weeks = vacant(read_marks(runtime, Dataset.KLINE, NAME, Period.WEEKLY, december))
    assert list(weeks) == [WEEK[-1]]
    months = vacant(read_marks(runtime, Dataset.KLINE, NAME, Period.MONTHLY, december))
    assert months == {}


def test_days_are_counted_by_the_series_that_are_complete(runtime: Runtime) -> None:
    settled, (row,) = read_freshness(runtime, "live", sessions=250)
    days = dict(row.days)
    assert settled == row.days[-1][0]
    assert [days[day] for day in (HELD[0], WEEK[1], WEEK[2])] == [1, 1, 0]
    assert (row.listed, row.reached, row.lacking) == (1, 1, 0)
    assert row.late > 0
