"""Runs: those there are, and one with what it did not do."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from pipeline.diagnosis import outlook
from pipeline.runtime import Runtime
from storage.run_records import SUCCESSES, RunState, RunStatus
from web.api.parameters import LOOK_UP_PROBLEMS, READ_PROBLEMS, RunPath
from web.api.runs_models import RunDetail, RunOutcome, Runs, RunStateName, run_fields, run_of
from web.keys import Reader

router = APIRouter(prefix="/api/v1", tags=["runs"])

_MOST_FAILURES = 500


@router.get("/runs", summary="Runs, the newest first", responses=READ_PROBLEMS)
async def runs(
    request: Request,
    _caller: Reader,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
    state: Annotated[RunStateName | None, Query(description="Only those in it.")] = None,
) -> Runs:
    """Those that the ledger holds."""
    services = request.app.state.services
    wanted = None if state is None else RunState(state)
    found = await services.queries.run(_newest, services.runtime, limit, wanted)
    return Runs(runs=[run_of(each) for each in found])


@router.get("/runs/{run_id}", summary="One run", responses=LOOK_UP_PROBLEMS)
async def run(request: Request, _caller: Reader, run_id: RunPath) -> RunDetail:
    """With what it did not do, and, while it goes on, what happens next."""
    services = request.app.state.services
    detail: RunDetail = await services.queries.run(_detail, services.runtime, run_id)
    return detail


def _newest(runtime: Runtime, limit: int, state: RunState | None) -> list[RunStatus]:
    return runtime.ledger.runs(limit, state=state)


def _detail(runtime: Runtime, run_id: str) -> RunDetail:
    status = runtime.ledger.status(run_id)
    rows = runtime.ledger.outcomes(run_id, exclude=SUCCESSES, limit=_MOST_FAILURES)
    failures = [RunOutcome.model_validate(row) for row in rows]
    said = [] if status.state.is_end else outlook(runtime, status)
    return RunDetail(**run_fields(status), failures=failures, outlook=said)
