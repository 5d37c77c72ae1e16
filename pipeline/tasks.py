"""The tasks: decode primitives, call one function, return a small dict. No logic lives here.

Every task may run twice, late, or after its twin; the ledger decides what counts.
"""

from typing import Any

from celery import shared_task
from celery.exceptions import Reject
from celery.signals import beat_init, worker_ready, worker_shutting_down

from pipeline import publishing
from pipeline.publishing import publish_wave
from pipeline.runtime import current_runtime
from scheduling.steady_need import ScheduleTooDenseError


@shared_task(name="pipeline.fetch_batch", acks_late=True, max_retries=3, default_retry_delay=5)
def fetch_batch(run_id: str, batch_no: int) -> dict[str, object]:
    """Header of a chord: fetch, validate and stage one batch."""
    from pipeline.fetching import fetch_batch as fetch  # noqa: PLC0415

    result = fetch(current_runtime(), run_id, batch_no)
    if result.get("given_back"):
        raise Reject("the worker stops, or lost the batch", requeue=True)
    return result


@shared_task(name="pipeline.commit_wave", acks_late=True, max_retries=3, default_retry_delay=5)
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
    from pipeline.ticks import begin_due  # noqa: PLC0415

    return {"run_id": begin_due(current_runtime(), name, publish_wave)}


@beat_init.connect
def refuse_what_cannot_keep_up(**_signal: object) -> None:
    """Beat does not start where its schedule needs more requests than are permitted."""
    from pipeline.ticks import check_schedule  # noqa: PLC0415

    try:
        check_schedule(current_runtime())
    except ScheduleTooDenseError as error:
        # Celery logs what a handler raises and goes on, but for this.
        raise SystemExit(f"beat does not start: {error}") from error


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
