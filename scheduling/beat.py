"""The beat schedule: which task runs when, in Asia/Shanghai as Celery's ``timezone`` says.

An entry is added here, in three lines; ``SCHEDULE`` changes or silences any of them
(docs/scheduling.md).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from market.errors import ConfigurationError
from scheduling.cron import Cron
from scheduling.slots import SLOT_RULES, SlotRule

OFF = "off"
"""What silences an entry of the schedule."""

TICK_MINUTES = 5
"""Minutes between two ticks; each run's gate decides what they mean."""

_MINUTE, _HOUR = 60.0, 3600.0


class WrongScheduleError(ConfigurationError):
    """The schedule names what does not exist, or an instant that cannot be read."""


@dataclass(frozen=True, slots=True)
class BeatEntry:
    """One line of the schedule.

    Attributes:
        task: The task's registered name.
        when: How often, or at which instants; a tick decides itself which slot it means.
        expires_s: A message that waited longer is dropped: a later one says the same.
        arguments: The task's arguments.
        queue: Where it is sent: to the admin worker, which starts runs and heals them.
        asks: What it looks for, if it does nothing most times.
    """

    task: str
    when: timedelta | Cron
    expires_s: float
    arguments: tuple[str, ...] = ()
    queue: str = "default"
    asks: str | None = None


_JOBS: Mapping[str, BeatEntry] = {
    "repair_gaps": BeatEntry("pipeline.repair_gaps", Cron.read("30 3 * * *"), expires_s=4 * _HOUR),
    "database_backup": BeatEntry(
        "admin_tasks.database_backup", Cron.read("0 2 * * *"), expires_s=6 * _HOUR
    ),
    "clean_up": BeatEntry("admin_tasks.clean_up", Cron.read("40 * * * *"), expires_s=50 * _MINUTE),
    "send_report": BeatEntry(
        "pipeline.report_when_final",
        Cron.read("*/10 15-23 * * *"),
        expires_s=9 * _MINUTE,
        asks="sends the session's report once, when its runs have ended",
    ),
}
"""What is done by the clock beside the runs of slots. Three lines add an entry."""

RECONCILE = "reconcile"
JOBS = (RECONCILE, *_JOBS)
"""Names of the entries that are no ticks."""


def beat_entries(
    *, reconcile_every_s: float, changes: Mapping[str, str], without: Collection[str] = ()
) -> dict[str, BeatEntry]:
    """All entries, by name.

    Args:
        reconcile_every_s: How often whatever is stuck is looked for.
        changes: Of the schedule, by :func:`read_changes`.
        without: Entries that have no purpose here.
    """
    ticks = {
        name: BeatEntry(
            "pipeline.tick", Cron(minute=f"*/{TICK_MINUTES}"), expires_s=240, arguments=(name,)
        )
        for name in SLOT_RULES
    }
    healing = BeatEntry(
        "pipeline.reconcile", timedelta(seconds=reconcile_every_s), expires_s=reconcile_every_s
    )
    jobs = {
        name: replace(entry, when=Cron.read(changes[name])) if name in changes else entry
        for name, entry in _JOBS.items()
        if changes.get(name) != OFF
    }
    entries = {**ticks, **jobs, RECONCILE: healing}
    silent = {*without, *(name for name, change in changes.items() if change == OFF)}
    return {name: entry for name, entry in entries.items() if name not in silent}


def slot_rules(changes: Mapping[str, str]) -> dict[str, SlotRule]:
    """The slots of each scheduled run that is not silenced, by name."""
    return {
        name: rule.changed(changes[name]) if name in changes else rule
        for name, rule in SLOT_RULES.items()
        if changes.get(name) != OFF
    }


def read_changes(text: str | None) -> dict[str, str]:
    """Changes of the schedule: ``name=when`` between semicolons.

    Args:
        text: ``database_backup=30 3 * * *; concepts_daily=16:10; clean_up=off``; None: none.

    Raises:
        WrongScheduleError: A name that the schedule does not have, or one that is given twice.
        WrongCronError: An instant of a job that cannot be read.
        WrongSlotsError: Slots that cannot be read.
    """
    changes: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in (text or "").split(";"))):
        name, equals, when = (word.strip() for word in part.partition("="))
        if not equals or name in changes or name == RECONCILE:
            raise WrongScheduleError(
                f"{part!r}: write name=when, each name once and semicolons between"
                + ("; RECONCILE_EVERY_S says how often it reconciles" if name == RECONCILE else "")
            )
        if name not in SLOT_RULES and name not in _JOBS:
            raise WrongScheduleError(
                f"the schedule has no {name!r}: it has {', '.join([*SLOT_RULES, *_JOBS])}"
            )
        if when != OFF and name in _JOBS:
            Cron.read(when)
        elif when != OFF:
            SLOT_RULES[name].changed(when)
        changes[name] = when
    return changes


def check_entries(
    entries: Iterable[tuple[str, str, str | None]],
    *,
    tasks: Collection[str],
    queues: Collection[str],
) -> None:
    """Refuse a schedule that would send messages which nobody can do, or which go nowhere.

    Args:
        entries: Name, task and queue of each.
        tasks: Names of the tasks that exist.
        queues: Names of the queues that are declared.

    Raises:
        WrongScheduleError: Naming the first entry that is wrong, and what is.
    """
    for name, task, queue in entries:
        if task not in tasks:
            raise WrongScheduleError(
                f"the entry {name!r} of the schedule calls the task {task!r}, which no module "
                "defines: correct its name, or list its module in TASK_MODULES (pipeline/app.py)",
                {"entry": name, "task": task},
            )
        if queue not in queues:
            raise WrongScheduleError(
                f"the entry {name!r} of the schedule goes to the queue {queue!r}, which is not "
                f"declared: use {', '.join(sorted(queues))}",
                {"entry": name, "queue": queue},
            )
