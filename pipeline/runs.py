"""The life of a run, from request to end. Importable without Celery.

::

    start_run      plan → ledger: run, waves, batches in one transaction → publish the first chord
    fetch_batch    header: claim a lease → fetch under the budget → validate → stage → record
    commit_wave    body: claim the committing lease → publish the next chord → lake → SQL → ledger
    follow_run     watch the ledger until the run ends
"""

import time
from collections.abc import Callable, Iterator

from market.errors import QuantsyncError
from pipeline.committing import Publish, commit_wave
from pipeline.fetching import fetch_batch
from pipeline.patience import patiently
from pipeline.plans import plan_run
from pipeline.request import Request
from pipeline.runtime import Runtime
from storage.killpoints import KillPoint, reach
from storage.run_records import RunPlan, RunState, RunStatus

__all__ = ["begin_run", "commit_wave", "fetch_batch", "follow_run", "start_run"]

_POLL_S = 0.2


def start_run(runtime: Runtime, request: Request, publish: Publish) -> str | None:
    """Plan a run, record it, and hand its first wave to the broker.

    Returns:
        The run's id; None if a run already serves the request's slot, or one of an earlier slot
        goes on.

    Raises:
        UsageError: The request cannot be meant; nothing was recorded.
        QuantsyncError: The broker refused. A run on demand stands in the ledger as failed, with the
            reason; one that serves a slot waits there for the broker.
    """
    return begin_run(runtime, plan_run(runtime, request), publish)


def begin_run(runtime: Runtime, plan: RunPlan, publish: Publish) -> str | None:
    """Record a run that is planned, and hand its first wave to the broker.

    Returns and raises as :func:`start_run` does.
    """
    if not runtime.ledger.open_run(plan):
        return None
    reach(KillPoint.RUN_RECORDED)
    if plan.waves:
        try:
            publish(plan.run_id, 0)
        except QuantsyncError as error:
            if plan.slot is None:
                runtime.ledger.end_run(plan.run_id, RunState.FAILED, error.message)
            raise
    return plan.run_id


def follow_run(
    runtime: Runtime, run_id: str, *, each: Callable[[], None] | None = None
) -> Iterator[RunStatus]:
    """Yield the run's status until it has ended; the last one is the end.

    Args:
        runtime: Where the ledger is.
        run_id: Which run.
        each: Called between looks, e.g. to supervise workers.
    """
    while True:
        # The workers wait for a database that is away, too: the run goes on when it is back.
        status = patiently(
            lambda: runtime.ledger.status(run_id),
            until=time.monotonic() + runtime.settings.store_patience_s,
            what=f"the status of run {run_id}",
            meanwhile=each or (lambda: None),
        )
        yield status
        if status.state.is_end:
            return
        if each is not None:
            each()
        time.sleep(_POLL_S)
