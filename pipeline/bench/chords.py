"""What a chord costs each of its tasks, against a bare group of tasks that do nothing."""

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from celery import Celery

from pipeline.bench import bare
from pipeline.bench.figures import Figure, Section, Target
from pipeline.bench.processes import stop
from pipeline.bench.redis_server import RedisServer, run_redis
from pipeline.bench.sections import Bench
from pipeline.bench.sites import LostTaskError, Publisher, Site
from pipeline.queues import LIVE_PRIORITY, STOCK_QUEUE

_POOLS = {"threads": 8, "prefork": os.cpu_count() or 1}
_MOST = Target(1.3, "at most")


def measure(bench: Bench) -> Section:
    """Time chords and bare groups in turn, on threads and on prefork.

    Raises:
        LostTaskError: A task did not run.
    """
    sizes = (5, 20) if bench.quick else (10, 50, 200, 1_000)
    section = Section(
        "Chords",
        "Milliseconds per header task, median of rounds in turn. The chord is published as every "
        "run's wave is (`publish_wave`: ledger, priorities, late acks, our settings; Redis with "
        "its append-only file) and ends when its body starts; `pipeline.fetch_batch` and "
        "`pipeline.commit_wave` are without their work. The bare group is a plain Celery app with "
        "its defaults on the same Redis, in the same pool; it ends when its last task has run.",
    )
    with run_redis(bench.folder) as server:
        for number, (pool, width) in enumerate(_POOLS.items()):
            bench.say(f"workers start on {pool}")
            first = 1 + 4 * number
            site = Site(bench.folder / pool, server.url(first), server, first + 1)
            with contextlib.closing(site), _bare(bench.folder, server, first + 2, pool) as group:
                site.start_quant(pool=pool, size=width)
                publisher = site.start_publisher()
                site.starts(site.publish(STOCK_QUEUE, 2 * width, LIVE_PRIORITY))
                for size in (1, *sizes):
                    bench.say(f"chords and groups of {size:,} on {pool}")
                    rounds = 1 if bench.quick or size == 1 else 3 if size == sizes[-1] else 7
                    figure = _in_turn(site, publisher, group, pool, size, rounds)
                    if size > 1:  # the first of each is for connections and caches
                        section.figures.append(figure)
    return section


def _in_turn(
    site: Site, publisher: Publisher, group: Celery, pool: str, size: int, rounds: int
) -> Figure:
    chords, publishing, groups = [], [], []
    for _ in range(rounds):
        whole, published = _chord_s(site, publisher, size)
        chords.append(1000 * whole / size)
        publishing.append(1000 * published / size)
        groups.append(1000 * _group_s(group, size) / size)
    return Figure(
        f"{pool}, chord of {size:,}, per task", statistics.median(chords), "ms",
        "a bare group", statistics.median(groups), target=_MOST,
        note=f"publishing is {statistics.median(publishing):.2f} ms of it",
        samples=tuple(chords),
    )  # fmt: skip


def _chord_s(site: Site, publisher: Publisher, size: int) -> tuple[float, float]:
    """Seconds from publishing to the body's start, and those that publishing took."""
    site.client.flushdb()
    run_id, began, ended = publisher.wave("bulk", size)
    whole = site.body_ran_at(run_id) - began
    ran = len(list(site.client.scan_iter("celery-task-meta-*", count=1_000)))
    if ran < size:
        raise LostTaskError(f"the body ran after {ran} of {size} tasks of the header")
    return whole, ended - began


def _group_s(group: Celery, size: int) -> float:
    """Seconds from publishing a bare group to its last task."""
    tasks = bare.group_of(group, size)
    began = time.time()
    result = tasks.apply_async()
    ends: list[float] = result.get(timeout=120)
    result.forget()
    if len(ends) != size:
        raise LostTaskError(f"{len(ends)} of {size} tasks of the bare group ran")
    return max(ends) - began


@contextlib.contextmanager
def _bare(folder: Path, server: RedisServer, database: int, pool: str) -> Iterator[Celery]:
    """A worker of the plain app, and the app on its broker."""
    broker, backend = server.url(database), server.url(database + 1)
    command = [sys.executable, "-m", "celery", "-A", "pipeline.bench.bare", "-b", broker]
    command += ["--result-backend", backend, "worker", "-P", pool, "-c", str(_POOLS[pool])]
    command += ["--without-gossip", "--without-mingle", "-n", f"bare-{pool}@%h"]
    with (folder / f"bare-{pool}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)  # noqa: S603
    app = bare.app_on(broker, backend)
    try:
        yield app
    finally:
        stop(process)
        app.close()
