"""A process of an installation that publishes runs as every run is: ``publish_wave``.

Reads ``lane size`` lines from stdin; answers each with a JSON object.
"""

import json
import sys
import time
from datetime import date

from market.periods import Period
from pipeline.publishing import publish_wave
from pipeline.queues import STOCK_QUEUE
from pipeline.runtime import Runtime, current_runtime
from storage.run_records import BatchPlan, Item, RunPlan, WavePlan, Work, new_run_id

_DAY = date(2025, 12, 31)


def publish(runtime: Runtime, lane: str, size: int) -> dict[str, object]:
    """Plan a run of one wave with so many batches, then hand its chord to the broker.

    Returns:
        The ``run_id``; epoch seconds before (``began``) and after (``ended``) it was published.
    """
    batch = BatchPlan(Work.KLINE, (Item("600519.SH", _DAY, _DAY),), period=Period.DAILY)
    run_id = new_run_id()
    wave = WavePlan(STOCK_QUEUE, (batch,) * size)
    runtime.ledger.open_run(RunPlan(run_id, "stocks", Period.DAILY, "live", lane, {}, (wave,)))
    began = time.time()
    publish_wave(run_id, 0)
    return {"run_id": run_id, "began": began, "ended": time.time()}


def main() -> None:
    """Publish what is asked for until stdin ends."""
    runtime = current_runtime()
    for line in sys.stdin:
        lane, size = line.split()
        sys.stdout.write(json.dumps(publish(runtime, lane, int(size))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
