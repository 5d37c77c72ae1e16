"""How the request budgets are shown: to people, as JSON, and to a metrics collector."""

from dataclasses import replace
from datetime import datetime, timedelta

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ingest.budget_report import BudgetReport, PaceFacts, Transition
from ingest.rates import parse_windows
from ingest.throttling import PaceState
from market.clock import EXCHANGE_TZ
from pipeline.metrics import exposition
from pipeline.output import json_text
from pipeline.pacing_metrics import pacing_metrics
from pipeline.pacing_reading import Pacing
from pipeline.pacing_view import pacing_json, pacing_lines

NOW = datetime(2026, 1, 5, 10, 32, tzinfo=EXCHANGE_TZ)
BANNED = BudgetReport(
    domain="eastmoney",
    egress='home "A"',
    windows=parse_windows("1/1s,180/300s"),
    facts=PaceFacts(
        state=PaceState.BANNED,
        pace=0.1,
        since=NOW,
        cause="host closed the connection",
        signs=4,
        next_probe=NOW + timedelta(seconds=90),
        probe_interval_s=120.0,
        granted=77,
        signs_total=9,
        bans=2,
        probes=5,
    ),
    used={"1/1s": 0, "180/300s": 12},
    waiting={"live": 1, "bulk": 7},
    story=(Transition(NOW, PaceState.OPEN, PaceState.BANNED, 0.1, "host closed the connection"),),
)
OPEN = replace(
    BANNED, facts=replace(BANNED.facts, state=PaceState.OPEN, pace=0.5, next_probe=None), story=()
)


def samples(pacing: Pacing) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """As a collector reads them."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition(pacing_metrics(pacing)))
        for sample in family.samples
    }


def test_a_collector_reads_state_rates_use_and_totals() -> None:
    """The text is valid OpenMetrics, labels and all."""
    read = samples(Pacing((BANNED,)))
    of = (("domain", "eastmoney"), ("egress", 'home "A"'))

    assert read["quantsync_budget_up", ()] == 1
    assert read["quantsync_budget_state", (*of, ("quantsync_budget_state", "banned"))] == 1
    assert read["quantsync_budget_state", (*of, ("quantsync_budget_state", "open"))] == 0
    assert read["quantsync_budget_permitted_rate", of] == 0.6
    assert read["quantsync_budget_effective_rate", of] == 0
    assert read["quantsync_budget_used", (*of, ("window", "180/300s"))] == 12
    assert read["quantsync_budget_waiting", (*of, ("lane", "bulk"))] == 7
    assert read["quantsync_budget_bans_total", of] == 2
    probe = read["quantsync_budget_next_probe_timestamp_seconds", of]
    assert probe == (NOW + timedelta(seconds=90)).timestamp()


def test_metrics_say_that_no_redis_answers() -> None:
    assert samples(Pacing((), "no Redis can be reached")) == {("quantsync_budget_up", ()): 0}


def test_a_person_reads_why_since_when_and_what_comes_next() -> None:
    """A ban has its cause and its next probe; a slow pace its rate."""
    banned, why, told = pacing_lines(Pacing((BANNED,)))
    (slow,) = pacing_lines(Pacing((OPEN,)))

    assert banned.startswith('pacing    eastmoney from home "A": banned, 0.00 of 0.60 requests/s')
    assert "used 0 of 1/1s, 12 of 180/300s; waiting 1 live, 7 bulk" in banned
    assert "since 01-05 10:32:00: host closed the connection; next probe 01-05 10:33:30" in why
    assert told.strip() == "01-05 10:32:00 banned at 10%: host closed the connection"
    assert "open at 50%, 0.30 of 0.60 requests/s" in slow
    assert list(pacing_lines(Pacing((), "why not"))) == ["pacing    unknown: why not"]


def test_the_document_holds_all_of_it() -> None:
    """With instants as text."""
    (said,) = pacing_json(Pacing((BANNED,)))["domains"]

    assert (said["state"], said["effective_rate"], said["signs"]) == ("banned", 0.0, 4)
    assert said["totals"] == {"granted": 77, "signs": 9, "bans": 2, "probes": 5}
    assert said["story"][0]["to"] == "banned"
    assert '"next_probe": "2026-01-05T10:33:30+08:00"' in json_text(said)
