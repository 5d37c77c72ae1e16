"""What is held and how far it is complete, and what was kept out."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict

from market.bars import Dataset
from market.periods import FETCHED_PERIODS, Period
from pipeline.freshness import read_held
from pipeline.gap_runs import settled_if_told
from pipeline.kline_query import read_subject
from pipeline.quarantining import read_name
from pipeline.runtime import Runtime
from storage.aliases import read_aliases
from storage.coverage import read_coverage_of
from storage.kline_quarantine import BarDecision, BarEntry, BarFilter, BarQuarantine
from storage.list_entries import ListEntries, ListEntry
from storage.list_quarantine import QuarantineStatus
from web.api.parameters import READ_PROBLEMS, From, Span, To, instant, instant_or_none, window_of
from web.keys import Reader
from web.problems import at_field

router = APIRouter(prefix="/api/v1", tags=["holdings"])


class Held(BaseModel):
    """What is held of a dataset and period."""

    dataset: Dataset
    period: Period
    series: int
    complete_from: date
    complete_to: date
    behind: int
    sessions_late: int | None


class SeriesCoverage(BaseModel):
    """Sessions proven complete of one symbol or board."""

    dataset: Dataset
    period: Period
    ranges: list[Span]
    watermark: date | None


class Coverage(BaseModel):
    """How far everything is complete."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "settled": "2025-12-31",
                    "held": [
                        {
                            "dataset": "kline",
                            "period": "daily",
                            "series": 5432,
                            "complete_from": "2015-01-05",
                            "complete_to": "2025-12-31",
                            "behind": 12,
                            "sessions_late": 0,
                        }
                    ],
                    "symbol": None,
                    "coverage": [],
                }
            ]
        }
    )

    settled: date | None
    held: list[Held]
    symbol: str | None
    coverage: list[SeriesCoverage]


class QuarantinedBar(BaseModel):
    """A bar that broke a rule."""

    id: str
    run_id: str
    dataset: str
    period: str
    subject: str
    bar: dict[str, Any]
    reasons: list[str]
    status: BarDecision
    quarantined_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    note: str | None


class QuarantinedList(BaseModel):
    """A list that is not proven whole."""

    id: str
    run_id: str
    name: str
    session: date
    reason: str
    rows: int
    status: QuarantineStatus
    seen_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    note: str | None


class Quarantine(BaseModel):
    """What was fetched and not taken, and why."""

    bars: list[QuarantinedBar]
    lists: list[QuarantinedList]


_Subject = Annotated[
    str | None,
    Query(pattern=r"^[0-9A-Za-z._]{1,16}$", description="A symbol or board; default: all."),
]


@router.get("/coverage", summary="How far everything is complete", responses=READ_PROBLEMS)
async def coverage(request: Request, _caller: Reader, symbol: _Subject = None) -> Coverage:
    """By dataset and period, against the calendar; of one symbol or board its ranges, too."""
    services = request.app.state.services
    found: Coverage = await services.queries.run(_coverage, services.runtime, symbol)
    return found


def _coverage(runtime: Runtime, symbol: str | None) -> Coverage:
    rows = read_held(runtime.database)
    settled = settled_if_told(runtime)
    held = [
        Held.model_validate(
            asdict(row)
            | {"sessions_late": None if settled is None else row.lag(settled, runtime.calendar)}
        )
        for row in rows
    ]
    if symbol is None:
        return Coverage(settled=settled, held=held, symbol=None, coverage=[])
    with at_field("query.symbol"):
        dataset, name = read_subject(symbol, lambda: read_aliases(runtime.database))
    found = []
    for period in FETCHED_PERIODS:
        each = read_coverage_of(runtime.database, dataset.value, period.value, name)
        if each.ranges:
            ranges = [Span.model_validate({"from": w.start, "to": w.end}) for w in each.ranges]
            found.append(
                SeriesCoverage(
                    dataset=dataset, period=period, ranges=ranges, watermark=each.watermark
                )
            )
    return Coverage(settled=settled, held=held, symbol=name, coverage=found)


@router.get("/quarantine", summary="What was not taken, and why", responses=READ_PROBLEMS)
async def quarantine(
    request: Request,
    _caller: Reader,
    subject: _Subject = None,
    what: Literal["bars", "lists", "all"] = "all",
    status: Literal["open", "vouched", "accepted", "superseded", "dropped", "all"] = "open",
    start: From = None,
    end: To = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Of each kind.")] = 100,
) -> Quarantine:
    """Bars that break a rule, and lists that are not proven whole."""
    services = request.app.state.services
    with at_field("query.subject"):
        name = None if subject is None else read_name(subject)
    window_of(start, end)
    wanted = None if status == "all" else QuarantineStatus(status)
    bars: list[BarEntry] = []
    lists: list[ListEntry] = []
    is_bars = wanted is None or wanted.value in list(BarDecision)
    if what != "lists" and is_bars:
        decision = None if wanted is None else BarDecision(wanted.value)
        chosen = BarFilter(subject=name, status=decision, start=start, end=end)
        bars = await services.queries.run(_bars, services.runtime, chosen, limit)
    if what != "bars":
        lists = await services.queries.run(_lists, services.runtime, name, wanted, limit)
    return Quarantine(bars=[_bar(each) for each in bars], lists=[_list(each) for each in lists])


def _bars(runtime: Runtime, wanted: BarFilter, limit: int) -> list[BarEntry]:
    return BarQuarantine(runtime.database).entries(wanted, limit)


def _lists(
    runtime: Runtime, name: str | None, status: QuarantineStatus | None, limit: int
) -> list[ListEntry]:
    return ListEntries(runtime.database).entries(name=name, status=status, limit=limit)


def _bar(entry: BarEntry) -> QuarantinedBar:
    return QuarantinedBar(
        id=f"b{entry.id}",
        run_id=entry.run_id,
        dataset=entry.dataset,
        period=entry.period,
        subject=entry.subject,
        bar=entry.row,
        reasons=list(entry.reasons),
        status=BarDecision(entry.status),
        quarantined_at=instant(entry.quarantined_at),
        decided_at=instant_or_none(entry.decided_at),
        decided_by=entry.decided_by,
        note=entry.note,
    )


def _list(entry: ListEntry) -> QuarantinedList:
    return QuarantinedList(
        id=f"l{entry.id}",
        run_id=entry.run_id,
        name=entry.name,
        session=entry.session,
        reason=entry.reason,
        rows=entry.rows,
        status=QuarantineStatus(entry.status),
        seen_at=instant(entry.seen_at),
        decided_at=instant_or_none(entry.decided_at),
        decided_by=entry.decided_by,
        note=entry.note,
    )
