"""Tasks work with what the process was handed, and say so where it was handed nothing."""

import pytest

from admin_tasks.backup import Backups
from admin_tasks.cleanup import CleanUp
from admin_tasks.handed import _makers, hand_over, handed
from admin_tasks.mailing import Mailing
from admin_tasks.report_tasks import Means
from market.errors import ConfigurationError
from pipeline.handing import hand_over_means


class Thing:
    """Something a task works with."""


def test_a_task_gets_what_was_handed_over_made_when_it_asks() -> None:
    made: list[Thing] = []

    def make() -> Thing:
        made.append(Thing())
        return made[-1]

    hand_over(f"{Thing.__module__}.Thing", make)
    assert made == []

    assert handed(Thing) is made[0]


def test_a_process_that_was_handed_nothing_is_told_how_to_start_workers() -> None:
    with pytest.raises(ConfigurationError, match=r"no int was handed .* with -A pipeline.app"):
        handed(int)


def test_what_the_pipeline_hands_over_is_what_the_tasks_ask_for() -> None:
    """By name, so that nothing is imported: a name that is wrong would be seen at night."""
    hand_over_means()

    for kind in (Backups, CleanUp, Mailing, Means):
        assert f"{kind.__module__}.{kind.__qualname__}" in _makers
