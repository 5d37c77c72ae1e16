"""The beat schedule: which task runs when, in Asia/Shanghai as Celery's ``timezone`` says."""

from dataclasses import dataclass
from datetime import timedelta

TICKS = ("stocks_5m", "stocks_daily", "stocks_5m_final")
"""Runs that are asked for every five minutes; each knows its slots."""


@dataclass(frozen=True, slots=True)
class Cron:
    """Instants by the clock, in crontab's words."""

    minute: str = "*"
    hour: str = "*"


@dataclass(frozen=True, slots=True)
class BeatEntry:
    """One line of the schedule.

    Attributes:
        task: The task's registered name.
        when: How often, or at which instants; a tick decides itself which slot it means.
        queue: Where it is sent.
        expires_s: A message that waited longer is dropped: a later one says the same.
        arguments: The task's arguments.
    """

    task: str
    when: timedelta | Cron
    queue: str
    expires_s: float
    arguments: tuple[str, ...] = ()


def beat_entries(*, reconcile_every_s: float, queue: str) -> dict[str, BeatEntry]:
    """All entries, by name.

    Args:
        reconcile_every_s: How often whatever is stuck is looked for.
        queue: The queue of the admin worker, which starts runs and heals them.
    """
    ticks = {
        name: BeatEntry(
            task="pipeline.tick",
            when=Cron(minute="*/5"),
            queue=queue,
            expires_s=240,
            arguments=(name,),
        )
        for name in TICKS
    }
    return {
        **ticks,
        "reconcile": BeatEntry(
            task="pipeline.reconcile",
            when=timedelta(seconds=reconcile_every_s),
            queue=queue,
            expires_s=reconcile_every_s,
        ),
    }
