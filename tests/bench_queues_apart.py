"""Measure that queues do not delay each other: `python -m tests.bench_queues_apart`.

Two workers on one Redis, as `make worker` and `make worker-admin` start them. The latency of
messages sent one by one to a queue of one worker, from the call to the result, is measured
while the other worker is idle and while it has thousands of messages to work off. Prints a table;
docs/scheduling.md has what it said.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from celery import Celery

from pipeline.app import celery_config
from pipeline.bench.processes import stop, worker
from pipeline.bench.redis_server import run_redis
from pipeline.queues import ADMIN_QUEUES, ALL_QUEUES
from pipeline.settings import Settings
from tests.fixtures.cli import Installation

ECHO = "celery.accumulate"
PAIRS = (("email_queues", "quant_stock_queues"), ("quant_stock_queues", "email_queues"))


def latencies(celery: Celery, queue: str, count: int) -> list[float]:
    """Milliseconds from sending a message to the arrival of its result, one by one."""
    found = []
    for number in range(count):
        began = time.perf_counter()
        celery.send_task(ECHO, args=(number,), queue=queue).get(timeout=120, interval=0.001)
        found.append(1000 * (time.perf_counter() - began))
    return found


def fill(celery: Celery, queue: str, count: int) -> None:
    """Put messages on a queue whose results nobody waits for."""
    with celery.producer_pool.acquire(block=True) as producer:
        for number in range(count):
            celery.send_task(
                ECHO, args=(number,), queue=queue, producer=producer, ignore_result=True
            )


def depth(celery: Celery, queue: str) -> int:
    """Messages that no worker has taken."""
    with celery.connection_for_write() as connection:
        bound = celery.amqp.queues[queue](connection.default_channel)
        return int(bound.queue_declare().message_count)


def measure(celery: Celery, probes: int, messages: int) -> list[str]:
    """The rows of the table."""
    rows = []
    for full, other in PAIRS:
        idle = latencies(celery, other, probes)
        fill(celery, full, messages)
        began = depth(celery, full)
        busy = latencies(celery, other, probes)
        left = depth(celery, full)
        while depth(celery, full):
            time.sleep(0.2)
        ratio = statistics.median(busy) / statistics.median(idle)
        rows.append(
            f"| `{full}` | {began:,} → {left:,} | `{other}` | {statistics.median(idle):.1f} | "
            f"{statistics.median(busy):.1f} | {max(busy):.0f} | {ratio:.1f} |"
        )
    return rows


def main() -> None:
    """Start both workers, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", type=int, default=100, help="messages that are timed")
    parser.add_argument("--messages", type=int, default=5_000, help="messages that fill a queue")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quantsync-queues-") as name:
        folder = Path(name)
        with run_redis(folder) as server:
            urls = {"celery_broker_url": server.url(1), "celery_result_backend": server.url(2)}
            variables = {name.upper(): url for name, url in urls.items()}
            home = Installation(folder / "home", variables)
            assert home.run("status").code == 0  # makes the database
            workers = [
                worker(home.variables, folder / "quant.log"),
                worker(
                    home.variables, folder / "admin.log", name="admin", pool="prefork", threads=2,
                    queues=",".join(ADMIN_QUEUES),
                ),
            ]  # fmt: skip
            settings = Settings(
                quantsync_home=home.home,
                celery_broker_url=server.url(1),
                celery_result_backend=server.url(2),
            )
            celery = Celery("bench", set_as_current=False)
            celery.conf.update(celery_config(settings))
            try:
                for queue in ALL_QUEUES:
                    latencies(celery, queue, 3)
                rows = measure(celery, options.probes, options.messages)
            finally:
                stop(*workers)
                celery.close()
    sys.stdout.write(
        "| full | its messages while timed | timed | median ms, the other idle | median ms, the "
        "other full | longest ms | ratio |\n|---|---|---|---|---|---|---|\n"
    )
    sys.stdout.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
