"""Runs and plans as the API tells them."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from pipeline.estimating import Estimate
from storage.run_records import RunState, RunStatus
from web.api.parameters import Span, instant, instant_or_none

_EXAMPLE: Any = {
    "run_id": "20251231T080000-1a2b3c4d",
    "kind": "stocks",
    "period": "daily",
    "lane": "live",
    "slot": None,
    "upstream": "live",
    "state": "running",
    "reason": None,
    "trouble": None,
    "window": {"from": "2025-12-01", "to": "2025-12-31"},
    "symbols": ["600519.SH"],
    "notices": [],
    "created_at": "2025-12-31T16:00:00+08:00",
    "deadline_at": "2026-01-01T16:00:00+08:00",
    "finished_at": None,
    "elapsed_s": 1.2,
    "eta_s": 4.8,
    "items": 5,
    "done": 1,
    "waves": 1,
    "waves_committed": 0,
    "batches": 1,
    "batches_leased": 1,
    "requests": 1,
    "bars_written": 0,
    "outcomes": {"ok": 1},
    "ex_rights": {},
}


class Run(BaseModel):
    """A run at a glance."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    run_id: str
    kind: str
    period: str | None
    lane: str
    slot: str | None
    upstream: str
    state: RunState
    reason: str | None
    trouble: str | None
    window: Span | None
    symbols: list[str] | None
    notices: list[str]
    created_at: datetime
    deadline_at: datetime
    finished_at: datetime | None
    elapsed_s: float
    eta_s: float | None
    items: int
    done: int
    waves: int
    waves_committed: int
    batches: int
    batches_leased: int
    requests: int
    bars_written: int
    outcomes: dict[str, int]
    ex_rights: dict[str, int]


class RunOutcome(BaseModel):
    """How one fetch of a run ended."""

    work: str
    subject: str
    outcome: str
    reason: str | None
    rows: int
    covered_from: date | None
    covered_to: date | None


class RunDetail(Run):
    """A run with what it did not do, and what happens next."""

    failures: list[RunOutcome]
    outlook: list[str]


class Runs(BaseModel):
    """Runs, the newest first."""

    runs: list[Run]


class Expiring(BaseModel):
    """A session that the upstream will not serve much longer."""

    session: date
    closes_left: int
    symbols: int


class Plan(BaseModel):
    """What a run would cost, before a request is made."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "stocks",
                    "period": "daily",
                    "lane": "live",
                    "upstream": "eastmoney",
                    "window": {"from": "2025-12-01", "to": "2025-12-31"},
                    "requests": {"klines": 5, "ex-rights": 10},
                    "total": 15,
                    "seconds": 15.0,
                    "permitted": "1/1s, 180/300s",
                    "live_free": 60,
                    "expiring": [],
                    "notices": [],
                }
            ]
        }
    )

    kind: str
    period: str
    lane: str
    upstream: str
    window: Span
    requests: dict[str, int]
    total: int
    seconds: float
    permitted: str
    live_free: int
    expiring: list[Expiring]
    notices: list[str]


class Accepted(BaseModel):
    """A run that was begun."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "run_id": "20251231T080000-1a2b3c4d",
                    "run": "/api/v1/runs/20251231T080000-1a2b3c4d",
                    "events": "/api/v1/runs/20251231T080000-1a2b3c4d/events",
                    "repeated": False,
                }
            ]
        }
    )

    run_id: str
    run: str
    events: str
    repeated: bool


RunStateName = Literal["running", "committed", "partial", "failed"]


def run_fields(status: RunStatus) -> dict[str, Any]:
    """The fields of :class:`Run`."""
    fields = asdict(status)
    params = fields.pop("params")
    start, end = params.get("from"), params.get("to")
    return fields | {
        "state": status.state,
        "window": {"from": start, "to": end} if start and end else None,
        "symbols": params.get("symbols"),
        "created_at": instant(status.created_at),
        "deadline_at": instant(status.deadline_at),
        "finished_at": instant_or_none(status.finished_at),
        "elapsed_s": round(status.elapsed_s, 3),
        "eta_s": _eta(status),
    }


def run_of(status: RunStatus) -> Run:
    """A run's status as the API tells it."""
    return Run.model_validate(run_fields(status))


def _eta(status: RunStatus) -> float | None:
    """Seconds that the rest takes at the pace so far; None: not known, or nothing is left."""
    if status.state.is_end or not status.done or status.done >= status.items:
        return None
    return round(status.elapsed_s / status.done * (status.items - status.done), 1)


def plan_of(found: Estimate) -> Plan:
    """An estimate as the API tells it."""
    fields = asdict(found)
    fields["window"] = {"from": found.window.start, "to": found.window.end}
    return Plan.model_validate(fields | {"total": found.total})
