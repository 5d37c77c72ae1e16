"""The schedule: what it holds, how it is changed, and what is refused when beat starts."""

from datetime import timedelta

import pytest

from market.errors import ConfigurationError
from scheduling.beat import (
    JOBS,
    WrongScheduleError,
    beat_entries,
    check_entries,
    read_changes,
    slot_rules,
)
from scheduling.slots import SLOT_RULES

EVERYTHING = (
    "clean_up", "concepts_daily", "database_backup", "industries_daily", "reconcile", "repair_gaps",
    "send_report", "stocks_5m", "stocks_5m_final", "stocks_daily",
)  # fmt: skip


def entries(text: str | None = None) -> dict[str, str]:
    """When each entry is due, as text."""
    found = beat_entries(reconcile_every_s=30, changes=read_changes(text))
    return {name: str(entry.when) for name, entry in found.items()}


def test_the_schedule_holds_syncs_and_upkeep_at_their_instants() -> None:
    """Ticks every five minutes, the backup at two, clean-up hourly, gaps at night."""
    found = beat_entries(reconcile_every_s=30, changes={})

    assert tuple(sorted(found)) == EVERYTHING
    assert {str(found[name].when) for name in SLOT_RULES} == {"*/5 * * * *"}
    assert str(found["database_backup"].when) == "0 2 * * *"
    assert found["database_backup"].task == "admin_tasks.database_backup"
    assert (found["clean_up"].task, str(found["clean_up"].when)) == (
        "admin_tasks.clean_up", "40 * * * *",
    )  # fmt: skip
    assert found["reconcile"].when == timedelta(seconds=30)


def test_every_entry_expires_before_its_next_instant() -> None:
    """A queue that was stuck for a day does not bring a day of ticks."""
    found = beat_entries(reconcile_every_s=30, changes={})
    most = {"*/5 * * * *": 300, "40 * * * *": 3600, "*/10 15-23 * * *": 600, "0:00:30": 30}

    for name, entry in found.items():
        assert 0 < entry.expires_s <= most.get(str(entry.when), 86_400), name


def test_boards_come_after_the_close_of_the_session() -> None:
    """Concepts, then industries, once a day."""
    rules = slot_rules({})

    assert f"{rules['concepts_daily'].first:%H:%M}" == "15:25"
    assert rules["concepts_daily"].first == rules["concepts_daily"].last
    assert rules["industries_daily"].first > rules["concepts_daily"].first


def test_a_change_moves_a_job_a_slot_or_silences_either() -> None:
    """What is not named stays as it is."""
    text = "database_backup=30 4 * * 1-5; concepts_daily=16:10; stocks_5m=09:35-15:10/10; "
    changed = entries(text + "clean_up=off; stocks_5m_final=off")
    rules = slot_rules(read_changes(text + "stocks_5m_final=off"))

    assert changed["database_backup"] == "30 4 * * 1-5"
    assert set(EVERYTHING) - set(changed) == {"clean_up", "stocks_5m_final"}
    assert f"{rules['concepts_daily'].first:%H:%M}" == "16:10"
    assert (rules["stocks_5m"].every_min, rules["stocks_5m"].skip) == (
        10, SLOT_RULES["stocks_5m"].skip,
    )  # fmt: skip
    assert "stocks_5m_final" not in rules
    assert rules["stocks_daily"] == SLOT_RULES["stocks_daily"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("backup=0 2 * * *", "the schedule has no 'backup'"),
        ("clean_up", "write name=when"),
        ("clean_up=off; clean_up=off", "each name once"),
        ("reconcile=off", "RECONCILE_EVERY_S"),
        ("clean_up=16:10", "five"),
        ("database_backup=0 25 * * *", "no hour"),
        ("stocks_daily=0 2 * * *", "names no slots"),
        ("stocks_daily=25:00", "names no slots"),
        ("stocks_5m=15:00-09:30/5", "names no slots"),
        ("stocks_5m=09:30-15:00/0", "names no slots"),
        ("stocks_5m=12:00", "lunch break"),
        ("stocks_daily=14:00", "before the session.s bars are final"),
        ("concepts_daily=03:00", "before the session.s bars are final"),
    ],
)
def test_a_change_that_cannot_be_meant_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        read_changes(text)


def test_an_entry_for_an_unknown_task_or_queue_is_refused_by_name() -> None:
    """Before anything is sent."""
    tasks, queues = {"pipeline.tick"}, {"default"}
    check_entries([("a", "pipeline.tick", "default")], tasks=tasks, queues=queues)

    with pytest.raises(WrongScheduleError, match=r"'b'.*'pipeline.tock', which no module defines"):
        check_entries([("b", "pipeline.tock", "default")], tasks=tasks, queues=queues)
    for queue in ("defualt", None):
        with pytest.raises(WrongScheduleError, match="not declared: use default"):
            check_entries([("c", "pipeline.tick", queue)], tasks=tasks, queues=queues)


def test_jobs_and_ticks_are_named_apart() -> None:
    assert not set(JOBS) & set(SLOT_RULES)
