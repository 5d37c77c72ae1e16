"""Whether it works: for supervisors, proxies and collectors."""

from dataclasses import replace
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from market.errors import QuantsyncError
from pipeline.metrics import exposition, read_metrics
from pipeline.readiness import Part
from pipeline.runtime import Runtime
from web.api.parameters import READ_PROBLEMS
from web.keys import Reader, identify

router = APIRouter(tags=["health"])

_RETRY_S = "5"
_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Health(BaseModel):
    """This process serves."""

    status: Literal["ok"]


class PartState(BaseModel):
    """One part that the application stands on."""

    part: Literal["database", "broker", "results", "lake"]
    ok: bool
    says: str | None
    needed_for: str


class Readiness(BaseModel):
    """Whether everything can be asked of it, and if not, which part is away."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ready": False,
                    "parts": [
                        {
                            "part": "broker",
                            "ok": False,
                            "says": "the broker at redis://127.0.0.1:6379 does not answer",
                            "needed_for": "starting runs, reports and emails",
                        }
                    ],
                }
            ]
        }
    )

    ready: bool
    parts: list[PartState]


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", summary="Whether this process serves")
async def healthz() -> Health:
    """Asks no store and no broker, and needs no key."""
    return Health(status="ok")


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    summary="Whether all parts answer",
    responses={503: {"model": Readiness, "description": "A part is away: `parts` says which."}},
)
async def readyz(request: Request, response: Response) -> Readiness:
    """Needs no key. 503 says which part is away; what does not need it is served all the same.

    Why it is away, which names hosts, is told to who may read.
    """
    services = request.app.state.services
    parts: list[Part] = await services.readiness()
    if not await _is_known(request):
        parts = [replace(each, says=None) for each in parts]
    ready = all(each.ok for each in parts)
    if not ready:
        response.status_code = 503
        response.headers["Retry-After"] = _RETRY_S
    response.headers["Cache-Control"] = "no-store"
    return Readiness.model_validate({"ready": ready, "parts": parts}, from_attributes=True)


async def _is_known(request: Request) -> bool:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    try:
        await identify(request, key if scheme.lower() == "bearer" else None)
    except QuantsyncError:
        return False
    return True


@router.get(
    "/metrics",
    summary="Metrics in the OpenMetrics text format",
    response_class=Response,
    responses={
        200: {"content": {"application/openmetrics-text": {"schema": {"type": "string"}}}},
        **READ_PROBLEMS,
    },
)
async def metrics(request: Request, _caller: Reader) -> Response:
    """Those of `quantsync metrics`: queues, runs, durations, freshness, budgets."""
    services = request.app.state.services
    text = await services.lookers.run(_metrics, services.runtime)
    return Response(text, media_type=_OPENMETRICS)


def _metrics(runtime: Runtime) -> str:
    return exposition(read_metrics(runtime))
