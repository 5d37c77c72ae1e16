"""Beginning and abandoning runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from market.errors import CalendarRangeError, InvalidPeriodError, InvalidWindowError, UsageError
from pipeline.asking import abandon
from pipeline.estimating import estimate
from pipeline.request import Request as RunRequest
from pipeline.run_requests import read_request
from web.api.parameters import WRITE_PROBLEMS, Day, RunPath
from web.api.runs_models import Accepted, Plan, Run, plan_of, run_of
from web.audit import audited
from web.handing import Handed, IdempotencyKey, hand_out_run, naming
from web.keys import Caller, Operator
from web.problems import UnprocessableError, responses

router = APIRouter(prefix="/api/v1", tags=["runs"])

_SymbolText = Annotated[str, Field(pattern=r"^[0-9A-Za-z.]{1,16}$", examples=["600519"])]


class SyncBody(BaseModel):
    """What is to be synchronised."""

    model_config = ConfigDict(
        extra="forbid",
        populate_by_name=True,
        json_schema_extra={
            "examples": [
                {
                    "dataset": "stocks",
                    "period": "daily",
                    "symbols": ["600519", "000001"],
                    "from": "2025-12-01",
                    "to": "2025-12-31",
                }
            ]
        },
    )

    dataset: Literal["stocks", "concepts", "industries"] = "stocks"
    period: Literal["daily", "5m", "1m"] = "daily"
    symbols: Annotated[list[_SymbolText] | None, Field(min_length=1, max_length=10_000)] = None
    start: Annotated[Day | None, Field(alias="from")] = None
    end: Annotated[Day | None, Field(alias="to")] = None


class BackfillBody(SyncBody):
    """Which past window is to be filled."""

    start: Annotated[Day, Field(alias="from")]


_DryRun = Annotated[
    bool, Query(description="Answer the plan: requests, time, what expires. Nothing is begun.")
]
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": Plan, "description": "The plan, with `dry_run`."},
    202: {"model": Accepted, "description": "The run was begun."},
    **WRITE_PROBLEMS,
}


@router.post("/syncs", status_code=202, summary="Fetch what is missing", responses=_ANSWERS)
async def syncs(
    request: Request,
    response: Response,
    caller: Operator,
    body: SyncBody,
    name: IdempotencyKey = None,
    dry_run: _DryRun = False,
) -> Accepted | Plan:
    """In the live lane: before any backfill."""
    return await _begin(request, response, caller, body, "live", name, dry_run=dry_run)


@router.post("/backfills", status_code=202, summary="Fill a past window", responses=_ANSWERS)
async def backfills(
    request: Request,
    response: Response,
    caller: Operator,
    body: BackfillBody,
    name: IdempotencyKey = None,
    dry_run: _DryRun = False,
) -> Accepted | Plan:
    """In the bulk lane: behind everything live."""
    return await _begin(request, response, caller, body, "bulk", name, dry_run=dry_run)


@router.delete("/runs/{run_id}", summary="Abandon a run", responses=WRITE_PROBLEMS | responses(404))
async def abandon_run(request: Request, caller: Operator, run_id: RunPath) -> Run:
    """What it has committed stays, the rest is dropped, and the next sync fetches it."""
    services = request.app.state.services
    async with audited(request, caller, {"run_id": run_id}) as entry:
        status, said = await services.writers.run(abandon, services.runtime, run_id)
        entry.status, entry.about["mended"] = 200, said
    return run_of(status)


async def _begin(
    request: Request,
    response: Response,
    caller: Caller,
    body: SyncBody,
    lane: str,
    name: str | None,
    *,
    dry_run: bool,
) -> Accepted | Plan:
    services = request.app.state.services
    wanted = _wanted(body, services.settings.quantsync_upstream, lane)
    if dry_run:
        response.status_code = 200
        with _at_window(body):
            return plan_of(await services.queries.run(estimate, services.runtime, wanted))
    asked = {"lane": lane, **body.model_dump(mode="json", by_alias=True)}
    named = naming(services.runtime, caller, name, asked)
    async with audited(request, caller, asked) as entry:
        with _at_window(body):
            handed: Handed = await services.writers.run(
                hand_out_run, services.runtime, wanted, named
            )
        entry.about |= {"run_id": handed.subject, "repeated": handed.repeated}
    place = f"/api/v1/runs/{handed.subject}"
    response.headers["Location"] = place
    return Accepted(
        run_id=handed.subject, run=place, events=f"{place}/events", repeated=handed.repeated
    )


@contextmanager
def _at_window(body: SyncBody) -> Iterator[None]:
    """Let a window in which nothing can be fetched name the end that is given."""
    try:
        yield
    except (InvalidWindowError, CalendarRangeError) as error:
        field = "body.to" if body.start is None else "body.from"
        raise type(error)(error.message, {**error.context, "field": field}) from None


def _field(error: UsageError) -> str:
    if isinstance(error, InvalidPeriodError):
        return "body.period"
    if isinstance(error, InvalidWindowError):
        return "body.to"
    return "body.symbols" if error.context else "body"


def _wanted(body: SyncBody, upstream: str, lane: str) -> RunRequest:
    try:
        return read_request(
            kind=body.dataset,
            period=body.period,
            names=body.symbols,
            start=body.start,
            end=body.end,
            upstream=upstream,
            lane=lane,
        )
    except UsageError as error:
        field = _field(error)
        said = error.message.replace("--to ", "to=").replace("--from ", "from=")
        raise UnprocessableError(said, {**error.context, "field": field}) from None
