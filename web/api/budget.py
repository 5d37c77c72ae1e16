"""The request budgets: how each upstream bears us."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from pipeline.pacing_reading import read_pacing
from pipeline.pacing_view import pacing_json
from web.api.parameters import READ_PROBLEMS
from web.keys import Reader

router = APIRouter(prefix="/api/v1", tags=["budget"])


class Totals(BaseModel):
    """Counts since the budget began."""

    granted: int
    signs: int
    bans: int
    probes: int


class Change(BaseModel):
    """One change of state or pace."""

    at: datetime
    before: Annotated[str, Field(alias="from", serialization_alias="from")]
    after: Annotated[str, Field(alias="to", serialization_alias="to")]
    pace: float
    cause: str


class Domain(BaseModel):
    """The budget of one upstream from one address. Rates are requests a second."""

    domain: str
    egress: str
    state: str
    pace: float
    permitted_rate: float
    effective_rate: float
    used: dict[str, int]
    waiting: dict[str, int]
    since: datetime | None
    cause: str | None
    signs: int
    next_probe: datetime | None
    probe_interval_s: float | None
    totals: Totals
    story: list[Change]


class Budget(BaseModel):
    """All budgets, if the Redis that keeps them answers."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"reachable": False, "reason": "no Redis can be reached (refused)", "domains": []}
            ]
        }
    )

    reachable: bool
    reason: str | None
    domains: list[Domain]


@router.get("/budget", summary="How requests are paced", responses=READ_PROBLEMS)
async def budget(request: Request, _caller: Reader) -> Budget:
    """State, pace and story of each upstream; a Redis that is away is told, and is no error."""
    services = request.app.state.services
    pacing = await services.lookers.run(read_pacing, services.settings)
    return Budget.model_validate(pacing_json(pacing))
