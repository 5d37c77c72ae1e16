"""The request budgets as metrics."""

from collections.abc import Callable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    StateSetMetricFamily,
)

from ingest.budget_report import BudgetReport
from ingest.throttling import PaceState
from pipeline.pacing_reading import Pacing

_PREFIX = "quantsync_budget"
_OF = ("domain", "egress")


def pacing_metrics(pacing: Pacing) -> Iterator[Metric]:
    """Every budget; where Redis is away only ``quantsync_budget_up 0``."""
    yield GaugeMetricFamily(
        f"{_PREFIX}_up",
        "Whether the Redis that keeps the budgets answers.",
        value=int(pacing.unreachable is None),
    )
    if not pacing.reports:
        return
    yield _states(pacing)
    for name, text, label, read in _GAUGES:
        gauge = GaugeMetricFamily(f"{_PREFIX}_{name}", text, labels=[*_OF, *label])
        _fill(gauge, pacing, read)
        if gauge.samples:
            yield gauge
    for name, text, read in _COUNTERS:
        counter = CounterMetricFamily(f"{_PREFIX}_{name}", text, labels=_OF)
        _fill(counter, pacing, read)
        yield counter


_Read = Callable[[BudgetReport], list[tuple[tuple[str, ...], float]]]


def _fill(family: GaugeMetricFamily | CounterMetricFamily, pacing: Pacing, read: _Read) -> None:
    for report in pacing.reports:
        for label, value in read(report):
            family.add_metric([report.domain, report.egress, *label], value)


def _states(pacing: Pacing) -> StateSetMetricFamily:
    family = StateSetMetricFamily(
        f"{_PREFIX}_state", "How the upstream bears this address.", labels=_OF
    )
    for report in pacing.reports:
        family.add_metric(
            [report.domain, report.egress],
            {state.value: state is report.facts.state for state in PaceState},
        )
    return family


def _next_probe(report: BudgetReport) -> list[tuple[tuple[str, ...], float]]:
    due = report.facts.next_probe
    return [] if due is None else [((), due.timestamp())]


_GAUGES: tuple[tuple[str, str, tuple[str, ...], _Read], ...] = (
    ("pace", "Share of the permitted rate that is used.", (), lambda r: [((), r.facts.pace)]),
    (
        "permitted_rate", "Requests per second that the windows permit.", (),
        lambda r: [((), r.permitted_rate)],
    ),
    (
        "effective_rate", "Requests per second that are granted now.", (),
        lambda r: [((), r.effective_rate)],
    ),
    (
        "limit", "Requests permitted in each window.", ("window",),
        lambda r: [((str(window),), window.count) for window in r.windows],
    ),
    (
        "used", "Requests granted within each window until now.", ("window",),
        lambda r: [((window,), used) for window, used in r.used.items()],
    ),
    (
        "waiting", "Requests that wait for a permit.", ("lane",),
        lambda r: [((lane,), number) for lane, number in r.waiting.items()],
    ),
    ("next_probe_timestamp_seconds", "When the next probe of a ban is due.", (), _next_probe),
)  # fmt: skip
"""Name, help, further labels, and what a budget has to say of it."""

_COUNTERS: tuple[tuple[str, str, _Read], ...] = (
    ("granted", "Permits.", lambda r: [((), r.facts.granted)]),
    ("signs", "Throttling signs.", lambda r: [((), r.facts.signs_total)]),
    ("bans", "Bans.", lambda r: [((), r.facts.bans)]),
    ("probes", "Probes sent in bans.", lambda r: [((), r.facts.probes)]),
)
