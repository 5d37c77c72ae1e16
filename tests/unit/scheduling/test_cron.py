"""Crontab lines: what they mean here is what Celery makes of them."""

from datetime import UTC, datetime

import pytest
from celery.schedules import crontab

from market.clock import EXCHANGE_TZ
from scheduling.cron import Cron, WrongCronError


@pytest.mark.parametrize(
    "line",
    ["0 2 * * *", "*/10 15-23 * * *", "5,35 9-15/2 1-7 */3 1-5", "59 23 31 12 0", "* * * * *"],
)
def test_every_field_admits_the_numbers_that_celery_takes(line: str) -> None:
    """Beat runs by Celery's reading, and `schedule` prints by ours."""
    cron = Cron.read(line)
    theirs = crontab(
        minute=cron.minute,
        hour=cron.hour,
        day_of_month=cron.day_of_month,
        month_of_year=cron.month,
        day_of_week=cron.day_of_week,
    )

    assert cron.numbers() == (
        theirs.minute, theirs.hour, theirs.day_of_month, theirs.month_of_year, theirs.day_of_week,
    )  # fmt: skip
    assert str(cron) == line


@pytest.mark.parametrize(
    "line", ["", "0 2 * *", "60 2 * * *", "0 24 * * *", "0 0 0 * *", "x * * * *", "5/2 * * * *",
             "9-5 * * * *", "*/0 * * * *", "0 0 * * 7", "0 0 30 2 *", "0 0 31 4,6 *"],
)  # fmt: skip
def test_a_line_that_cannot_be_meant_is_refused(line: str) -> None:
    with pytest.raises(WrongCronError):
        Cron.read(line)


def test_instants_lie_in_the_half_open_range_on_the_clocks_of_the_zone() -> None:
    """02:00 in Shanghai is 18:00 UTC of the day before; the end does not belong to the range."""
    start = datetime(2025, 12, 30, 18, 0, tzinfo=UTC)
    end = datetime(2026, 1, 1, 18, 0, tzinfo=UTC)

    found = list(Cron.read("0 2 * * *").instants(start, end, EXCHANGE_TZ))

    assert [f"{at:%m-%d %H:%M}" for at in found] == ["12-31 02:00", "01-01 02:00"]


def test_days_of_the_week_count_from_sunday() -> None:
    """2025-12-28 is one."""
    start = datetime(2025, 12, 27, tzinfo=EXCHANGE_TZ)
    end = datetime(2026, 1, 3, tzinfo=EXCHANGE_TZ)

    found = list(Cron.read("0 12 * * 0").instants(start, end, EXCHANGE_TZ))

    assert [at.day for at in found] == [28]
