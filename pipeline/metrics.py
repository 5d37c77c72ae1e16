"""What a metrics collector reads: queues, runs, durations, freshness, signs of life, budgets.

Everything is read from the ledger, the broker and the budgets at the moment of the scrape, so any
number of workers on any number of hosts are seen from one place, and nothing is pushed.
"""

import shutil
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from market.clock import EXCHANGE_TZ
from market.sessions import SESSION_CLOSE
from pipeline.broker import BrokerUnreachableError
from pipeline.freshness import read_held
from pipeline.pacing_metrics import pacing_metrics
from pipeline.pacing_reading import read_pacing
from pipeline.runtime import Runtime
from storage.errors import StorageError
from storage.ledger_figures import count_runs, newest_slots, read_durations
from storage.vital_signs import read_failures, read_signs

_DURATIONS = {
    "batch": "Seconds from the claim of a batch to its end.",
    "batch_wait": "Seconds from handing a batch to the broker to its claim.",
    "commit": "Seconds from the claim of a wave to its commit.",
}


def read_metrics(runtime: Runtime) -> Iterator[Metric]:
    """All metrics; a part that is away is said by ``quantsync_…_up 0``, never by an error."""
    yield from pacing_metrics(read_pacing(runtime.settings))
    yield from _broker()
    yield from _places(runtime)
    try:
        ledger = list(_ledger(runtime))
    except StorageError:
        ledger = []
    yield _up("database", "Whether the database answers.", up=bool(ledger))
    yield from ledger


def exposition(metrics: Iterable[Metric]) -> str:
    """The OpenMetrics text format, 1.0."""
    registry = CollectorRegistry()
    registry.register(_Once(metrics))
    return str(generate_latest(registry).decode())  # type: ignore[no-untyped-call]


class _Once(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class InstallationCollector(Collector):
    """Reads everything anew at each scrape, one scrape at a time."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        with self._lock:
            return list(read_metrics(self._runtime))


def _up(what: str, text: str, *, up: bool) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"quantsync_{what}_up", text, value=int(up))


def _broker() -> Iterator[Metric]:
    from pipeline.publishing import queue_depths  # noqa: PLC0415  (the app: after the settings)

    depths: dict[str, int] = {}
    try:
        depths = queue_depths()
    except BrokerUnreachableError:
        yield _up("broker", "Whether the broker answers.", up=False)
        return
    yield _up("broker", "Whether the broker answers.", up=True)
    gauge = GaugeMetricFamily(
        "quantsync_queue_messages", "Messages that no worker has taken.", labels=["queue"]
    )
    for queue, depth in depths.items():
        gauge.add_metric([queue], depth)
    yield gauge


def _places(runtime: Runtime) -> Iterator[Metric]:
    gauge = GaugeMetricFamily(
        "quantsync_disk_free_bytes", "Room left where data are kept.", labels=["place"]
    )
    settings = runtime.settings
    places = {
        "home": settings.home, "lake": settings.lake_path, "staging": settings.staging_path,
    }  # fmt: skip
    for name, place in places.items():
        if place.exists():
            gauge.add_metric([name], shutil.disk_usage(place).free)
    yield gauge


def _ledger(runtime: Runtime) -> Iterator[Metric]:
    """Raises StorageError where the database is away."""
    yield from _runs(runtime)
    yield from _durations(runtime)
    yield from _freshness(runtime)
    signs = GaugeMetricFamily(
        "quantsync_sign_timestamp_seconds",
        "Last sign of life: beat sent, a worker served a tick, a reconciler looked.",
        labels=["part"],
    )
    for name, sign in read_signs(runtime.database).items():
        signs.add_metric([name], sign.at)
    yield signs
    failed = GaugeMetricFamily(
        "quantsync_task_failed_seconds",
        "Seconds since a task failed that has not succeeded since.",
        labels=["task"],
    )
    for failure in read_failures(runtime.database):
        failed.add_metric([failure.task], failure.ago_s)
    yield failed


def _runs(runtime: Runtime) -> Iterator[Metric]:
    runs = GaugeMetricFamily(
        "quantsync_runs",
        "Runs that the ledger holds.",
        labels=["kind", "period", "lane", "state"],
    )
    for row in count_runs(runtime.database):
        runs.add_metric([row.kind, row.period, row.lane, row.state], row.count)
    yield runs
    slots = GaugeMetricFamily(
        "quantsync_newest_slot_timestamp_seconds",
        "The latest slot of the schedule that a run serves.",
        labels=["kind", "period", "lane"],
    )
    for slot in newest_slots(runtime.database):
        slots.add_metric([slot.kind, slot.period, slot.lane], slot.at.timestamp())
    yield slots


def _durations(runtime: Runtime) -> Iterator[Metric]:
    figures = read_durations(runtime.database)
    for what, text in _DURATIONS.items():
        family = SummaryMetricFamily(f"quantsync_{what}_seconds", text, labels=["queue", "lane"])
        for row in figures:
            if row.what == what:
                family.add_metric([row.queue, row.lane], row.count, row.seconds)
        yield family


def _freshness(runtime: Runtime) -> Iterator[Metric]:
    from pipeline.gap_runs import settled_if_told  # noqa: PLC0415

    of = ["dataset", "period"]
    series = GaugeMetricFamily("quantsync_series", "Series that are held.", labels=of)
    behind = GaugeMetricFamily(
        "quantsync_series_behind", "Series that end before the newest complete session.", labels=of
    )
    newest = GaugeMetricFamily(
        "quantsync_newest_session_timestamp_seconds",
        "Close of the newest session that any series is complete up to.",
        labels=of,
    )
    lag = GaugeMetricFamily(
        "quantsync_sessions_behind",
        "Sessions that have settled since the newest complete one; 0: nothing is late.",
        labels=of,
    )
    held = read_held(runtime.database)
    settled = settled_if_told(runtime) if held else None
    for row in held:
        labels = [row.dataset.value, row.period.value]
        series.add_metric(labels, row.series)
        behind.add_metric(labels, row.behind)
        close = datetime.combine(row.complete_to, SESSION_CLOSE, tzinfo=EXCHANGE_TZ)
        newest.add_metric(labels, close.timestamp())
        if settled is not None:
            lag.add_metric(labels, row.lag(settled, runtime.calendar))
    yield from (series, behind, newest, lag)
