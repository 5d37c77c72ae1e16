"""The tasks: decode primitives, call one function, return a small dict. No logic lives here.

Every task may run twice, late, or after its twin; the ledger decides what counts.
"""

from typing import Any

from celery import shared_task
from celery.exceptions import Reject
from celery.signals import (
    beat_init,
    task_failure,
    task_success,
    worker_ready,
    worker_shutting_down,
)

from pipeline import publishing
from pipeline.publishing import publish_wave
from pipeline.runtime import current_runtime

_WORK = {
    "acks_late": True,
    "max_retries": 3,
    "default_retry_delay": 5,
    # The ledger says who works on what since when; nobody reads the state in the result backend.
    "track_started": False,
}


@shared_task(name="pipeline.fetch_batch", **_WORK)
def fetch_batch(run_id: str, batch_no: int) -> dict[str, object]:
    """Header of a chord: fetch, validate and stage one batch."""
    from pipeline.fetching import fetch_batch as fetch  # noqa: PLC0415

    result = fetch(current_runtime(), run_id, batch_no)
    if result.get("given_back"):
        raise Reject("the worker stops, or lost the batch", requeue=True)
    return result


@shared_task(name="pipeline.commit_wave", **_WORK)
def commit_wave(run_id: str, wave: int) -> dict[str, object]:
    """Body of a chord: commit what the wave's batches staged."""
    from pipeline.committing import commit_or_postpone  # noqa: PLC0415

    return commit_or_postpone(current_runtime(), run_id, wave, publish_wave)


@shared_task(name="pipeline.reconcile", acks_late=True, max_retries=0)
def reconcile() -> dict[str, object]:
    """Heal whatever is stuck, and begin what was missed."""
    from pipeline.reconcile import reconcile as heal  # noqa: PLC0415

    return {"did": heal(current_runtime(), publishing)}


@shared_task(name="pipeline.tick", acks_late=True, max_retries=0)
def tick(name: str) -> dict[str, object]:
    """A beat of the schedule: begin the run of the slot that is due, unless it has begun."""
    from pipeline.ticks import tick as serve  # noqa: PLC0415

    return {"run_id": serve(current_runtime(), name, publish_wave)}


@shared_task(name="pipeline.repair_gaps", acks_late=True, max_retries=0)
def repair_gaps() -> dict[str, object]:
    """At night: begin the runs that fetch what is missing."""
    from pipeline.upkeep import repair_gaps as repair  # noqa: PLC0415

    return {"run_ids": repair(current_runtime(), publish_wave)}


@shared_task(name="pipeline.report_when_final", acks_late=True, max_retries=0)
def report_when_final() -> dict[str, object]:
    """After the close: have the day's report sent once its runs have ended."""
    from pipeline.upkeep import send_report_when_final  # noqa: PLC0415

    session = send_report_when_final(current_runtime(), publishing.ask_for_report)
    return {"session": session and session.isoformat()}


@beat_init.connect
def begin_beat(sender: Any = None, **_signal: object) -> None:
    """Beat does not start with a schedule that cannot work; then it shows that it lives."""
    from pipeline.beat_life import begin  # noqa: PLC0415

    begin(current_runtime(), sender.app)


@task_failure.connect
def note_that_it_failed(
    sender: Any = None, task_id: str = "", exception: object = None, **_signal: object
) -> None:
    """A task that raises stands in the ledger until it succeeds again."""
    from pipeline.task_failures import failed  # noqa: PLC0415

    failed(current_runtime(), str(sender.name), task_id, exception)


@task_success.connect
def note_that_it_succeeded(sender: Any = None, **_signal: object) -> None:
    """Its failure is history."""
    from pipeline.task_failures import succeeded  # noqa: PLC0415

    succeeded(current_runtime(), str(sender.name))


@worker_ready.connect
def look_for_the_stuck(sender: Any = None, **_signal: object) -> None:
    """At its start a worker heals what its predecessor left, and begins to show signs of life."""
    from pipeline.worker_life import begin  # noqa: PLC0415

    begin(current_runtime(), str(sender.hostname))


@worker_shutting_down.connect
def give_batches_back(**_signal: object) -> None:
    """A worker that is asked to stop finishes the item in hand, not the batch."""
    from pipeline.fetching import STOPPING as STOP_FETCHING  # noqa: PLC0415
    from pipeline.notifying import STOPPING, tell_systemd  # noqa: PLC0415

    STOP_FETCHING.set()
    tell_systemd(STOPPING)
