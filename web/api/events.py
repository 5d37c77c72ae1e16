"""The progress of a run as server-sent events."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from storage.run_records import RunStatus
from web.api.parameters import LOOK_UP_PROBLEMS, RunPath
from web.api.runs_models import run_of
from web.keys import Reader
from web.streams import EVENTS, EventStream

router = APIRouter(prefix="/api/v1", tags=["runs"])

_EXAMPLE = 'event: progress\nid: 1\ndata: {"run_id":"20251231T080000-1a2b3c4d","done":1}\n\n'
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`progress`, `waiting`, and at last `end`; then the stream is closed.",
        "content": {EVENTS: {"schema": {"type": "string"}, "example": _EXAMPLE}},
    },
    **LOOK_UP_PROBLEMS,
}


@router.get(
    "/runs/{run_id}/events",
    summary="The progress of a run, as it happens",
    response_class=Response,
    responses=_ANSWERS,
)
async def events(request: Request, caller: Reader, run_id: RunPath) -> Response:
    """`progress` and `end` carry the run as `GET /runs/{run_id}` has it, without its failures.

    No more than `WEB_STREAMS` are open at once; the rest is answered 503.
    """
    services = request.app.state.services
    watcher = services.watcher
    watcher.enter(caller.name)
    try:
        status: RunStatus = await services.queries.run(services.runtime.ledger.status, run_id)
    except BaseException:
        watcher.leave(caller.name)
        raise

    def still_open() -> bool:
        return bool(services.keys.still_admits(caller))

    async def stream() -> AsyncIterator[bytes]:
        async for each in watcher.events(status, _document, still_open):
            if not services.keys.is_fresh:
                await services.snapshots.run(services.keys.refresh)
            yield each

    return EventStream(stream(), partial(watcher.leave, caller.name))


def _document(status: RunStatus) -> str:
    return run_of(status).model_dump_json(by_alias=True)
