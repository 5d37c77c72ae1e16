"""What the schedule will do: every slot of a day, and each reason for silence once."""

from datetime import datetime
from itertools import pairwise

from market.clock import EXCHANGE_TZ
from market.sessions import exchange_calendar
from pipeline.forecasting import Foreseen, foresee
from scheduling.beat import beat_entries, read_changes, slot_rules


def foreseen(start: str, hours: float = 24, text: str | None = None) -> list[Foreseen]:
    changes = read_changes(text)
    return foresee(
        beat_entries(reconcile_every_s=30, changes=changes),
        slot_rules(changes),
        exchange_calendar(),
        start=datetime.fromisoformat(start).replace(tzinfo=EXCHANGE_TZ),
        hours=hours,
        zone=EXCHANGE_TZ,
    )


def of(found: list[Foreseen], name: str) -> list[tuple[str, int, str]]:
    return [(f"{each.at:%H:%M}", each.times, each.says) for each in found if each.name == name]


def test_a_day_has_every_slot_and_each_silence_once() -> None:
    """From midnight to midnight of a session."""
    found = foreseen("2025-12-31T00:00")
    ticks = of(found, "stocks_5m")

    assert ticks[0] == ("00:00", 115, "before the first slot, 09:35")
    assert ticks[1] == ("09:35", 1, "serves slot 09:35")
    assert [t for t in ticks if t[2] == "lunch"] == [("11:35", 18, "lunch")]
    assert ticks[-1] == ("15:15", 105, "after the last slot, 15:10")
    assert sum(each.gate == "serves" for each in found if each.name == "stocks_5m") == 50
    assert sum(times for _, times, _ in ticks) == 288
    for name, slot in (("concepts_daily", "15:25"), ("industries_daily", "15:30")):
        serving = [each for each in of(found, name) if each[2].startswith("serves")]
        assert serving == [(slot, 1, f"serves slot {slot}")]
    assert of(found, "database_backup") == [("02:00", 1, "runs")]
    assert len(of(found, "clean_up")) == 24
    assert of(found, "reconcile") == [("00:00", 2880, "runs every 30 s")]
    assert all(before.at <= after.at for before, after in pairwise(found))


def test_a_holiday_a_weekend_and_what_nobody_knows_are_told_apart() -> None:
    """No slot is promised on any of them."""
    for day, says in (
        ("2025-10-01", "no session: holiday"),
        ("2025-12-28", "no session: weekend"),
        ("2199-01-05", "beyond"),
    ):
        (only,) = of(foreseen(f"{day}T00:00"), "stocks_5m")
        assert only[1] == 288
        assert says in only[2]


def test_what_is_silenced_is_not_foreseen() -> None:
    found = foreseen("2025-12-31T00:00", text="stocks_5m=off; clean_up=off; concepts_daily=16:00")

    assert not of(found, "stocks_5m") + of(found, "clean_up")
    assert ("16:00", 1, "serves slot 16:00") in of(found, "concepts_daily")
