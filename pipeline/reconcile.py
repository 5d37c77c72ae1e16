"""What heals a run: the ledger is read, and whatever nobody works on is handed out again.

Republishing is always safe, because claims are compare-and-swap.
"""

import logging

from pipeline.committing import Publish
from pipeline.runtime import Runtime
from storage.run_records import RunState

log = logging.getLogger(__name__)


def resume_runs(runtime: Runtime, publish: Publish) -> list[str]:
    """Hand out again the waves of unfinished runs of which no worker holds anything.

    For the owner of a home's stack at its start: no worker is alive, so every lease is void.

    Returns:
        The runs that go on.
    """
    runtime.ledger.release_leases()
    resumed = []
    for run in runtime.ledger.runs(limit=1000, state=RunState.RUNNING):
        waves = [wave for wave, _ in runtime.ledger.unfinished_waves(run.run_id)]
        if not waves:
            first = runtime.ledger.planned_wave_after(run.run_id, -1)
            waves = [] if first is None else [first]
        for wave in waves:
            publish(run.run_id, wave)
        if waves:
            log.info("run %s goes on with wave %s", run.run_id, waves[0])
            resumed.append(run.run_id)
    return resumed
