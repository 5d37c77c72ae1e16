"""The request budgets as ``quantsync status`` shows them: lines and JSON."""

from collections.abc import Iterator
from typing import Any

from ingest.budget_report import BudgetReport
from ingest.throttling import PaceState
from pipeline.pacing_reading import Pacing

_STORY_SHOWN = 8


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
