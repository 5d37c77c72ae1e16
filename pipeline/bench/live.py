"""How soon a live task starts behind a backfill that was enqueued before it."""

import time
from collections.abc import Collection

from pipeline.bench.figures import Figure, Section
from pipeline.bench.sections import Bench
from pipeline.bench.sites import BROKERS, LostTaskError, Site, sites
from pipeline.bench.timing import percentile
from pipeline.queues import LIVE_PRIORITY, STOCK_QUEUE

_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def measure(bench: Bench, *, only: Collection[str] = BROKERS) -> Section:
    """Time live tasks on an idle queue, and behind a backfill.

    Raises:
        LostTaskError: A task did not run, or the backfill was over before the last live task.
    """
    backfill, probes = bench.size(10_000, 300), bench.size(100, 5)
    section = Section(
        "Live tasks behind a backfill",
        f"A run of {backfill:,} batches in the bulk lane is published as every run is, all in one "
        f"chord; then {probes} tasks of the live lane are sent one by one to the same queue, while "
        "one worker (8 threads, tasks without work) works the backfill off. From publishing to "
        "start. A task in hand is never interrupted: with work, a live task waits for the first of "
        "8 threads to become free.",
    )
    with sites(bench, only, section.missing) as found:
        for broker, site in found.items():
            section.figures += _figures(bench, site, broker, backfill, probes)
            site.close()
    return section


def _figures(bench: Bench, site: Site, broker: str, backfill: int, probes: int) -> list[Figure]:
    bench.say(f"a worker starts on {broker}")
    site.start_quant()
    publisher = site.start_publisher()
    site.starts(site.publish(STOCK_QUEUE, 16, LIVE_PRIORITY))
    idle = site.latencies(STOCK_QUEUE, probes, LIVE_PRIORITY)
    bench.say(f"{backfill:,} tasks are published to {broker}")
    with site.workers_standing_still():
        run_id, began, ended = publisher.wave("bulk", backfill)
        before = site.depth(STOCK_QUEUE)
    resumed = time.time()
    behind = site.latencies(STOCK_QUEUE, probes, LIVE_PRIORITY)
    after = site.depth(STOCK_QUEUE)
    if not after:
        raise LostTaskError("the backfill was over before the last live task was sent")
    bench.say(f"the backfill ends on {broker}")
    done_s = site.body_ran_at(run_id) - resumed
    note = f"{before:,} tasks of the backfill waited before the first, {after:,} after the last"
    figures = [
        Figure(
            f"{broker}: live task, {name}", percentile(behind, share), "ms",
            f"idle, {name}", percentile(idle, share), note=note if name == "p50" else "",
            samples=tuple(behind) if name == "p50" else (),
        )
        for name, share in _SHARES.items()
    ]  # fmt: skip
    whole = f"{broker}: the backfill's chord, from its first task to its body"
    return [*figures, Figure(whole, done_s, "s", "publishing it", ended - began)]
