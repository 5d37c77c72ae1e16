"""How fast each queue takes and gives, and how soon what is in it starts."""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from kombu.connection import Connection

from pipeline.bench.figures import Figure, Section
from pipeline.bench.sections import Bench
from pipeline.bench.sites import BROKERS, LostTaskError, Site, sites
from pipeline.bench.timing import percentile
from pipeline.queues import ALL_QUEUES, BULK_PRIORITY, LIVE_PRIORITY

_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_AT_ONCE = 10
"""Tasks that are timed before the other queues are filled up again."""
_BODY = {"filler": "x" * 800}
"""About as large as the message of a task."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is sent.

    Attributes:
        probes: Tasks that are timed one by one.
        burst: Tasks that are published as fast as can be.
        fill: Tasks in each other queue while this one is timed.
    """

    probes: int
    burst: int
    fill: int


@dataclass(frozen=True, slots=True)
class Floor:
    """What kombu alone does on a broker: no task, no worker, no result.

    Attributes:
        put_rate: Messages per second into a queue.
        rate: Messages per second into a queue and then out of it.
        trips_ms: One message into a queue and out of it, one by one.
    """

    put_rate: float
    rate: float
    trips_ms: list[float]


def measure(bench: Bench, *, only: Collection[str] = BROKERS) -> Section:
    """Time every queue on every broker that is asked for and is here.

    Raises:
        LostTaskError: A task did not run, or the other queues were empty too soon.
    """
    sizes = Sizes(bench.size(100, 4), bench.size(1_000, 20), bench.size(500, 100))
    section = Section(
        "Queues",
        "The workers of `make worker` and `make worker-admin`, tasks without work. Rates over "
        f"{sizes.burst:,} tasks. Latency is from publishing a task of the live lane to its start, "
        f"over {sizes.probes} tasks sent one by one: idle, and while the four other queues hold "
        f"about {sizes.fill:,} tasks of the bulk lane each. kombu alone puts and gets messages of "
        "the same size.",
    )
    with sites(bench, only, section.missing) as found:
        for broker, site in found.items():
            bench.say(f"workers start on {broker}")
            site.start_quant()
            site.start_admin()
            for queue in ALL_QUEUES:
                site.starts(site.publish(queue, 8, LIVE_PRIORITY))
            floor = _floor(site.broker_url, sizes)
            for queue in ALL_QUEUES:
                bench.say(f"{queue} on {broker}")
                section.figures += _figures(site, f"{broker}, {queue}", queue, sizes, floor)
            site.close()
    return section


def _figures(site: Site, label: str, queue: str, sizes: Sizes, floor: Floor) -> Iterator[Figure]:
    idle = site.latencies(queue, sizes.probes, LIVE_PRIORITY)
    began = time.time()
    ids = site.publish(queue, sizes.burst, BULK_PRIORITY)
    published_s = time.time() - began
    done_s = max(site.starts(ids)) - began
    yield Figure(
        f"{label}: enqueue", len(ids) / published_s, "tasks/s",
        "kombu alone, put", floor.put_rate, note=_BESIDE,
    )  # fmt: skip
    yield Figure(
        f"{label}: end to end", len(ids) / done_s, "tasks/s",
        "kombu alone, put and got", floor.rate,
    )  # fmt: skip
    yield from _latencies(f"{label}: start, idle", idle, "kombu alone, there", floor.trips_ms)
    others = [other for other in ALL_QUEUES if other != queue]
    saturated, least = _latencies_beside(site, queue, others, sizes)
    note = f"the others held {least:,} tasks or more"
    yield from _latencies(f"{label}: start, others full", saturated, "idle", idle, note)
    for other in others:
        site.forget(other)


def _latencies_beside(
    site: Site, queue: str, others: Sequence[str], sizes: Sizes
) -> tuple[list[float], int]:
    """Milliseconds to start while the others are full, and what they held at the least."""
    found: list[float] = []
    least = sizes.fill * len(others)
    while len(found) < sizes.probes:
        with site.workers_standing_still():
            for other in others:
                if site.depth(other) < sizes.fill // 2:
                    site.publish(other, sizes.fill, BULK_PRIORITY)
        found += site.latencies(queue, min(_AT_ONCE, sizes.probes - len(found)), LIVE_PRIORITY)
        least = min(least, sum(map(site.depth, others)))
    if not least:
        raise LostTaskError(f"the other queues ran empty while tasks of {queue} were timed")
    return found, least


_BESIDE = "the workers work the tasks off at the same time, on the same cores"


def _latencies(
    label: str, measured: list[float], against: str, reference: list[float], note: str = ""
) -> Iterator[Figure]:
    for name, share in _SHARES.items():
        value = percentile(measured, share)
        held_against = f"{against}, {name}"
        yield Figure(
            f"{label}, {name}", value, "ms", held_against, percentile(reference, share),
            note=note if name == "p50" else "", samples=tuple(measured) if name == "p50" else (),
        )  # fmt: skip


def _floor(url: str, sizes: Sizes) -> Floor:
    options = {} if url.startswith("redis") else {"confirm_publish": True}
    with (
        Connection(url, transport_options=options) as connection,
        connection.SimpleQueue("quantsync-bench-floor", no_ack=True) as queue,
    ):
        trips = []
        for _ in range(sizes.probes):
            began = time.perf_counter()
            queue.put(_BODY)
            queue.get(timeout=30)
            trips.append(1000 * (time.perf_counter() - began))
        began = time.perf_counter()
        for _ in range(sizes.burst):
            queue.put(_BODY)
        put_s = time.perf_counter() - began
        for _ in range(sizes.burst):
            queue.get(timeout=30)
        all_s = time.perf_counter() - began
    return Floor(sizes.burst / put_s, sizes.burst / all_s, trips)
