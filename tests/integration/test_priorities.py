"""A live run overtakes a backfill that was enqueued before it, on either broker."""

from pathlib import Path

import pytest
from sqlalchemy import select

from ingest.simulator.server import SimulatorServer
from pipeline.bench.processes import stop
from pipeline.bench.redis_server import RedisServer
from pipeline.queues import BULK_PRIORITY, LIVE_PRIORITY, broker_priority
from storage.database import Database
from storage.ledger_tables import sync_batch
from storage.vital_signs import read_clocks
from tests.fixtures.arena import run_python
from tests.fixtures.cli import Installation, wait_for
from tests.fixtures.processes import worker

PUBLISH = """
import sys
from datetime import date
from market.periods import Period
from pipeline.publishing import publish_wave, queue_depths
from pipeline.runtime import current_runtime
from storage.run_records import BatchPlan, Item, RunPlan, WavePlan, Work

day, ledger = date(2025, 12, 31), current_runtime().ledger
for lane, symbols in (("bulk", sys.argv[2:8]), ("live", sys.argv[8:])):
    batches = tuple(
        BatchPlan(Work.KLINE, (Item(symbol, day, day),), period=Period.DAILY)
        for symbol in symbols
    )
    ledger.open_run(RunPlan(
        run_id=lane, kind="stocks", period=Period.DAILY, upstream=sys.argv[1], lane=lane,
        params={"from": "2025-12-31", "to": "2025-12-31"},
        waves=(WavePlan("quant_stock_queues", batches),),
    ))
    publish_wave(lane, 0)
depths = queue_depths()
assert depths.pop("quant_stock_queues") == 8, depths
assert set(depths.values()) == {0} and len(depths) == 4
"""


@pytest.mark.parametrize(
    "broker", ["redis", pytest.param("rabbitmq", marks=[pytest.mark.services, pytest.mark.lengthy])]
)
def test_a_live_run_overtakes_a_backfill_that_was_enqueued_first(
    broker: str,
    installation: Installation,
    redis_server: RedisServer,
    simulator: SimulatorServer,
    fault_symbols: tuple[str, ...],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """A worker that does one thing at a time begins with what came last.

    What waits is counted on both, whatever its priority.
    """
    url = redis_server.url(1) if broker == "redis" else request.getfixturevalue("rabbitmq")
    installation.environment |= {
        "CELERY_BROKER_URL": url,
        "CELERY_RESULT_BACKEND": redis_server.url(2),
    }
    run_python(PUBLISH, installation.variables, simulator.url, *fault_symbols[:8])
    database = Database(installation.sql())
    working = worker(installation.variables, tmp_path / "worker.log", threads=1)

    def order() -> list[str]:
        query = select(sync_batch.c.run_id).where(sync_batch.c.ended_at.is_not(None))
        with database.reading() as connection:
            return list(connection.scalars(query.order_by(sync_batch.c.claimed_at)))

    try:
        wait_for("all batches", lambda: len(order()) == 8, 60)
    finally:
        stop(working)

    assert order() == ["live"] * 2 + ["bulk"] * 6
    # Their answers told the upstream's clock by the way.
    assert [clock.domain for clock in read_clocks(database)] == ["eastmoney"]


def test_each_broker_is_told_in_its_own_sense() -> None:
    """RabbitMQ serves the highest number first, Redis the lowest."""
    live, bulk = LIVE_PRIORITY, BULK_PRIORITY
    assert (live, bulk) == (9, 1)
    assert broker_priority(live, "amqp://host//") > broker_priority(bulk, "amqp://host//")
    for url in ("redis://host/1", "rediss://host/1", "redis+socket:///r.sock?virtual_host=1"):
        assert broker_priority(live, url) < broker_priority(bulk, url)
