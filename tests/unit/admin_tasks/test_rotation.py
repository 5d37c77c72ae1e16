"""Rotation keeps the newest backup of each of the last days, weeks and months, and nothing else."""

from datetime import date, datetime, timedelta

from admin_tasks.rotation import Keep, kept, loss
from market.clock import EXCHANGE_TZ

FIRST = datetime(2025, 1, 1, 2, 0, tzinfo=EXCHANGE_TZ)


def rotated(days: int, keep: Keep, skipped: tuple[int, ...] = ()) -> list[date]:
    """What is left after a backup and a rotation a day."""
    held: set[datetime] = set()
    for day in range(days):
        if day not in skipped:
            held.add(FIRST + timedelta(days=day))
            held = kept(held, keep)
    return sorted(at.date() for at in held)


def test_400_days_leave_seven_days_four_weeks_and_twelve_months() -> None:
    """The last of a week is its Sunday's, the last of a month its last day's."""
    left = rotated(400, Keep())  # to 2026-02-04, a Wednesday

    days = [date(2026, 1, 29) + timedelta(days=n) for n in range(7)]
    sundays = [date(2026, 1, 18), date(2026, 1, 25), date(2026, 2, 1)]
    month_ends = [
        *(date(2025, 3, 31), date(2025, 4, 30), date(2025, 5, 31), date(2025, 6, 30)),
        *(date(2025, 7, 31), date(2025, 8, 31), date(2025, 9, 30), date(2025, 10, 31)),
        *(date(2025, 11, 30), date(2025, 12, 31), date(2026, 1, 31)),
    ]
    assert left == sorted({*days, *sundays, *month_ends})


def test_days_without_a_backup_take_no_place() -> None:
    """A week in which none was made costs no backup of the week before."""
    left = rotated(40, Keep(daily=3, weekly=0, monthly=0), skipped=tuple(range(20, 39)))

    assert left == [date(2025, 1, 19), date(2025, 1, 20), date(2025, 2, 9)]


def test_several_backups_of_a_day_leave_the_newest() -> None:
    noon, night = FIRST.replace(hour=12), FIRST.replace(hour=23)

    assert kept([FIRST, noon, night], Keep(2, 2, 2)) == {night}


def test_one_that_holds_far_less_keeps_the_fuller_one_of_its_day_beside_it() -> None:
    """Of the two that hold as much the newer one stays."""
    morning, noon, night = (FIRST.replace(hour=hour) for hour in (8, 12, 23))

    def stands_for(newer: datetime, _older: datetime) -> bool:
        return newer != night

    assert kept([morning, noon, night], Keep(1, 0, 0), stands_for) == {noon, night}


def test_half_of_the_rows_of_each_table_of_bars_and_catalog_is_enough() -> None:
    """What the ledger forgets by its retention is no loss."""
    older = {"kline_daily": 100, "symbol": 10, "sync_run": 1000}

    assert loss({"kline_daily": 50, "symbol": 5}, older) is None
    assert loss({"kline_daily": 49, "symbol": 10}, older) == "kline_daily"
    assert loss({"kline_daily": 100}, older) == "symbol"


def test_the_newest_backup_is_kept_whatever_the_rules_say() -> None:
    assert kept([FIRST, FIRST + timedelta(days=1)], Keep(0, 0, 0)) == {FIRST + timedelta(days=1)}
    assert kept([], Keep()) == set()


def test_days_begin_at_midnight_in_shanghai() -> None:
    """17:00 UTC is 01:00 of the next day there."""
    before = datetime(2025, 1, 1, 23, 30, tzinfo=EXCHANGE_TZ)

    assert len(kept([before, before + timedelta(hours=1)], Keep(7, 0, 0))) == 2
