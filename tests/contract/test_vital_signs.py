"""Signs of life, failed tasks, clocks and turns, as either database keeps them."""

import pytest

from storage.database import Database
from storage.recovery import Recovery
from storage.vital_signs import (
    BEAT,
    RECONCILER,
    TICK,
    forget_failure,
    last_turn,
    note_clock,
    note_failure,
    note_sign,
    read_clocks,
    read_failures,
    read_signs,
    take_turn,
)


def test_the_last_sign_of_each_part_is_kept_with_its_instant(database: Database) -> None:
    """On the database's clock; parts that never showed one are not there."""
    assert read_signs(database) == {}
    note_sign(database, BEAT)
    first = read_signs(database)[BEAT]
    note_sign(database, BEAT)
    Recovery(database).note_reconciled()

    signs = read_signs(database)
    assert set(signs) == {BEAT, RECONCILER}
    assert TICK not in signs
    assert signs[BEAT].at >= first.at
    assert 0 <= signs[BEAT].ago_s < 60


def test_a_failed_task_stands_until_it_succeeds(database: Database) -> None:
    """With its reason, however long; the others stay."""
    note_failure(database, "admin_tasks.database_backup", "id-1", "OSError: " + "x" * 9_000)
    note_failure(database, "pipeline.tick", "id-2", "ValueError: %_")
    told = {each.task: each for each in read_failures(database)}

    assert set(told) == {"admin_tasks.database_backup", "pipeline.tick"}
    assert told["pipeline.tick"].reason == "ValueError: %_"
    assert told["pipeline.tick"].task_id == "id-2"
    assert len(told["admin_tasks.database_backup"].reason) == 500
    forget_failure(database, "pipeline.tick")
    forget_failure(database, "pipeline.tick")
    assert [each.task for each in read_failures(database)] == ["admin_tasks.database_backup"]


def test_the_newest_offset_of_a_clock_replaces_the_older(database: Database) -> None:
    note_clock(database, "eastmoney", 4.5)
    note_clock(database, "eastmoney", -0.25)

    (clock,) = read_clocks(database)
    assert (clock.domain, clock.off_s) == ("eastmoney", -0.25)


@pytest.mark.parametrize("name", ["gaps", "report"])
def test_a_turn_is_had_once_and_an_older_one_never_again(database: Database, name: str) -> None:
    """Whoever asks second, or with a clock that is behind, has none."""
    assert last_turn(database, name) is None
    assert take_turn(database, name, "2025-12-30")
    assert not take_turn(database, name, "2025-12-30")
    assert take_turn(database, name, "2025-12-31")
    assert not take_turn(database, name, "2025-12-30")
    assert last_turn(database, name) == "2025-12-31"
