"""The tasks: decode primitives, call one function, return a small dict. No logic lives here.

Every task may run twice, late, or after its twin; the ledger decides what counts.
"""

from celery import Task, chord, shared_task
from celery.exceptions import Reject
from celery.signals import worker_shutting_down
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from pipeline import queues
from pipeline.app import app
from pipeline.broker import BrokerUnreachableError
from pipeline.runtime import current_runtime
from storage.errors import StorageError
from storage.run_records import RunState


@shared_task(name="pipeline.fetch_batch", acks_late=True, max_retries=3, default_retry_delay=5)
def fetch_batch(run_id: str, batch_no: int) -> dict[str, object]:
    """Header of a chord: fetch, validate and stage one batch."""
    from pipeline.fetching import fetch_batch as fetch  # noqa: PLC0415

    result = fetch(current_runtime(), run_id, batch_no)
    if result.get("given_back"):
        raise Reject("the worker stops, or lost the batch", requeue=True)
    return result


@shared_task(bind=True, name="pipeline.commit_wave", acks_late=True, max_retries=3)
def commit_wave(self: Task, run_id: str, wave: int) -> dict[str, object]:
    """Body of a chord: commit what the wave's batches staged; at most four attempts in 14 s."""
    from pipeline.committing import commit_wave as commit  # noqa: PLC0415

    try:
        return commit(current_runtime(), run_id, wave, publish_wave)
    except StorageError as error:
        if error.transient and self.request.retries < self.max_retries:
            raise self.retry(exc=error, countdown=2 ** (self.request.retries + 1)) from error
        current_runtime().ledger.end_run(run_id, RunState.FAILED, error.message)
        return {"run_id": run_id, "wave": wave, "failed": error.message}


@worker_shutting_down.connect
def give_batches_back(**_signal: object) -> None:
    """A worker that is asked to stop finishes the item in hand, not the batch."""
    from pipeline.fetching import STOPPING  # noqa: PLC0415

    STOPPING.set()


def publish_wave(run_id: str, wave: int) -> None:
    """Hand a wave's chord to the broker; batches that have ended are left out.

    Raises:
        BrokerUnreachableError: The broker or the result backend does not take it.
    """
    ledger = current_runtime().ledger
    queue, numbers = ledger.batch_numbers(run_id, wave)
    live = ledger.status(run_id).lane == "live"
    priority = queues.LIVE_PRIORITY if live else queues.BULK_PRIORITY
    options = {
        "queue": queue,
        "priority": queues.broker_priority(priority, app.conf.broker_url),
    }
    body = commit_wave.si(run_id, wave).set(**options)
    try:
        if numbers:
            header = [fetch_batch.si(run_id, number).set(**options) for number in numbers]
            chord(header)(body)
        else:
            body.apply_async()
    except (OperationalError, RedisError, OSError) as error:
        raise BrokerUnreachableError(
            f"wave {wave} of run {run_id} could not be handed to the broker ({error})",
            {"run_id": run_id, "wave": wave},
        ) from error
    ledger.mark_published(run_id, wave)
