"""The request budgets as ``quantsync status`` shows them: lines, JSON, and OpenMetrics."""

from collections.abc import Iterator, Mapping
from typing import Any

from ingest.budget_report import BudgetReport
from ingest.throttling import PaceState
from pipeline.pacing_reading import Pacing

_STORY_SHOWN = 8
_PREFIX = "quantsync_budget"


def pacing_json(pacing: Pacing) -> dict[str, Any]:
    """For ``--json``; instants are ISO 8601 in Shanghai time, rates are requests per second."""
    return {
        "reachable": pacing.unreachable is None,
        "reason": pacing.unreachable,
        "domains": [_budget_json(report) for report in pacing.reports],
    }


def _budget_json(report: BudgetReport) -> dict[str, Any]:
    facts = report.facts
    return {
        "domain": report.domain,
        "egress": report.egress,
        "state": facts.state.value,
        "pace": facts.pace,
        "permitted_rate": report.permitted_rate,
        "effective_rate": report.effective_rate,
        "used": report.used,
        "waiting": report.waiting,
        "since": facts.since,
        "cause": facts.cause,
        "signs": facts.signs,
        "next_probe": facts.next_probe,
        "probe_interval_s": facts.probe_interval_s,
        "totals": {
            "granted": facts.granted,
            "signs": facts.signs_total,
            "bans": facts.bans,
            "probes": facts.probes,
        },
        "story": [
            {
                "at": told.at,
                "from": told.before.value,
                "to": told.after.value,
                "pace": told.pace,
                "cause": told.cause,
            }
            for told in report.story
        ],
    }


def pacing_lines(pacing: Pacing) -> Iterator[str]:
    """For a person."""
    if pacing.unreachable is not None:
        yield f"pacing    unknown: {pacing.unreachable}"
    for report in pacing.reports:
        facts = report.facts
        used = ", ".join(f"{used} of {window}" for window, used in report.used.items())
        waiting = ", ".join(f"{number} {lane}" for lane, number in report.waiting.items())
        yield (
            f"pacing    {report.domain} from {report.egress}: {_state(report)}, "
            f"{report.effective_rate:.2f} of {report.permitted_rate:.2f} requests/s; "
            f"used {used}; waiting {waiting}"
        )
        if facts.state is PaceState.BANNED and facts.since and facts.next_probe:
            yield (
                f"            banned since {facts.since:%m-%d %H:%M:%S}: {facts.cause}; next probe "
                f"{facts.next_probe:%m-%d %H:%M:%S}, {facts.probes} sent so far"
            )
        for told in report.story[-_STORY_SHOWN:]:
            yield (
                f"            {told.at:%m-%d %H:%M:%S} {_word(told.after)} at {told.pace:.0%}: "
                f"{told.cause}"
            )


def _state(report: BudgetReport) -> str:
    pace = "" if report.facts.state is PaceState.BANNED else f" at {report.facts.pace:.0%}"
    return f"{_word(report.facts.state)}{pace}"


def _word(state: PaceState) -> str:
    return state.value.replace("_", " ")


def openmetrics(pacing: Pacing) -> str:
    """The OpenMetrics text format, 1.0; a Redis that is away is ``quantsync_budget_up 0``."""
    lines = [*_head("up", "gauge", "Whether the Redis that keeps the budgets answers.")]
    lines.append(_sample("up", {}, int(pacing.unreachable is None)))
    for name, kind, text, read in _METRICS:
        samples = [
            _sample(name + ("_total" if kind == "counter" else ""), _labels(report) | more, value)
            for report in pacing.reports
            for more, value in read(report)
        ]
        if samples:
            lines += [*_head(name, kind, text), *samples]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# TYPE {_PREFIX}_{name} {kind}", f"# HELP {_PREFIX}_{name} {text}"]


def _labels(report: BudgetReport) -> dict[str, str]:
    return {"domain": report.domain, "egress": report.egress}


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{_PREFIX}_{name}{{{pairs}}} {value:.15g}" if pairs else f"{_PREFIX}_{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


_Samples = list[tuple[dict[str, str], float]]


def _one(value: float) -> _Samples:
    return [({}, value)]


def _states(report: BudgetReport) -> _Samples:
    return [
        ({f"{_PREFIX}_state": state.value}, int(state is report.facts.state)) for state in PaceState
    ]


def _next_probe(report: BudgetReport) -> _Samples:
    due = report.facts.next_probe
    return [] if due is None else _one(due.timestamp())


def _windows(report: BudgetReport) -> _Samples:
    return [({"window": str(window)}, window.count) for window in report.windows]


_METRICS = (
    ("state", "stateset", "How the upstream bears this address.", _states),
    ("pace", "gauge", "Share of the permitted rate that is used.", lambda r: _one(r.facts.pace)),
    (
        "permitted_rate", "gauge", "Requests per second that the windows permit.",
        lambda r: _one(r.permitted_rate),
    ),
    (
        "effective_rate", "gauge", "Requests per second that are granted now.",
        lambda r: _one(r.effective_rate),
    ),
    ("limit", "gauge", "Requests permitted in each window.", _windows),
    (
        "used", "gauge", "Requests granted within each window until now.",
        lambda r: [({"window": window}, used) for window, used in r.used.items()],
    ),
    (
        "waiting", "gauge", "Requests that wait for a permit.",
        lambda r: [({"lane": lane}, number) for lane, number in r.waiting.items()],
    ),
    ("next_probe_timestamp_seconds", "gauge", "When the next probe of a ban is due.", _next_probe),
    ("granted", "counter", "Permits.", lambda r: _one(r.facts.granted)),
    ("signs", "counter", "Throttling signs.", lambda r: _one(r.facts.signs_total)),
    ("bans", "counter", "Bans.", lambda r: _one(r.facts.bans)),
    ("probes", "counter", "Probes sent in bans.", lambda r: _one(r.facts.probes)),
)  # fmt: skip
"""Name, type, help, and what a budget has to say of it."""
