"""The tasks: decode primitives, call one function, return a small dict. No logic lives here.

Every task may run twice, late, or after its twin; the ledger decides what counts.
"""

from celery import chord, shared_task

from pipeline import queues
from pipeline.runtime import current_runtime


@shared_task(name="pipeline.fetch_batch", acks_late=True, max_retries=3, default_retry_delay=5)
def fetch_batch(run_id: str, batch_no: int) -> dict[str, object]:
    """Header of a chord: fetch, validate and stage one batch."""
    from pipeline.fetching import fetch_batch as fetch  # noqa: PLC0415

    return fetch(current_runtime(), run_id, batch_no)


@shared_task(name="pipeline.commit_wave", acks_late=True, max_retries=3, default_retry_delay=5)
def commit_wave(run_id: str, wave: int) -> dict[str, object]:
    """Body of a chord: commit what the wave's batches staged."""
    from pipeline.committing import commit_wave as commit  # noqa: PLC0415

    return commit(current_runtime(), run_id, wave, publish_wave)


def publish_wave(run_id: str, wave: int) -> None:
    """Hand a wave's chord to the broker; batches that have ended are left out."""
    ledger = current_runtime().ledger
    queue, numbers = ledger.batch_numbers(run_id, wave)
    lane = ledger.status(run_id).lane
    priority = queues.broker_priority(
        queues.LIVE_PRIORITY if lane == "live" else queues.BULK_PRIORITY,
        fetch_batch.app.conf.broker_url,
    )
    options = {"queue": queue, "priority": priority}
    body = commit_wave.si(run_id, wave).set(**options)
    if numbers:
        chord([fetch_batch.si(run_id, no).set(**options) for no in numbers])(body)
    else:
        body.apply_async()
    ledger.mark_published(run_id, wave)
