"""The schedule of an installation: its settings, its command, and that all of it can be done."""

import json

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from pipeline.app import app, celery_config, schedule_entries
from pipeline.cli import app as command_line
from pipeline.queues import ALL_QUEUES
from pipeline.settings import Settings
from pipeline.ticks import SCHEDULED, rules
from scheduling.beat import check_entries
from scheduling.slots import SLOT_RULES


def test_every_entry_calls_a_task_that_exists_on_a_queue_that_is_declared() -> None:
    """As beat checks at its start."""
    app.loader.import_default_modules()
    entries = schedule_entries(Settings())

    assert len(entries) >= len(SLOT_RULES) + 2
    check_entries(
        ((name, entry.task, entry.queue) for name, entry in entries.items()),
        tasks=app.tasks,
        queues=ALL_QUEUES,
    )


def test_each_run_of_the_schedule_has_slots() -> None:
    assert set(SCHEDULED) == set(SLOT_RULES) == set(rules(Settings()))


def test_what_the_setting_changes_is_what_beat_is_given() -> None:
    """A slot is a matter of the gate: its ticks stay. What is off is not sent."""
    changed = Settings(schedule="repair_gaps=15 4 * * 6; concepts_daily=16:10; stocks_5m=off")
    schedule = celery_config(changed)["beat_schedule"]

    assert schedule["repair_gaps"]["schedule"].hour == {4}
    assert schedule["repair_gaps"]["schedule"].day_of_week == {6}
    assert schedule["concepts_daily"]["args"] == ("concepts_daily",)
    assert f"{rules(changed)['concepts_daily'].first:%H:%M}" == "16:10"
    assert "stocks_5m" not in schedule
    assert all(entry["options"]["expires"] > 0 for entry in schedule.values())


def test_a_schedule_that_cannot_be_meant_is_refused_by_every_process() -> None:
    with pytest.raises(ValidationError, match="the schedule has no 'tea_time'"):
        Settings(schedule="tea_time=0 17 * * *")


def test_the_command_prints_the_coming_hours_and_what_the_gate_will_say() -> None:
    """For people, and for machines."""
    words = ["schedule", "--at", "2025-12-31T11:28", "--hours", "2"]
    shown = CliRunner().invoke(command_line, words).stdout
    said = json.loads(CliRunner().invoke(command_line, [*words, "--json"]).stdout)

    assert "11:30                stocks_5m         serves slot 11:30" in shown
    assert "11:35 … 13:00        stocks_5m         lunch" in shown
    ticks = [each for each in said["entries"] if each["name"] == "stocks_5m"]
    assert [each["gate"] for each in ticks[:2]] == ["serves", "lunch"]
    assert [each["gate"] for each in ticks[2:]] == ["serves"] * 5
    assert ticks[1] == {
        "name": "stocks_5m",
        "task": "pipeline.tick",
        "queue": "default",
        "at": "2025-12-31T11:35:00+08:00",
        "until": "2025-12-31T13:00:00+08:00",
        "times": 18,
        "gate": "lunch",
        "says": "lunch",
    }


def test_an_instant_that_is_none_is_wrong_usage() -> None:
    for text in ("noon", "9999-12-31T23:59Z"):
        done = CliRunner().invoke(command_line, ["schedule", "--at", text])
        assert f"--at '{text}' is not an instant" in str(done.exception)
