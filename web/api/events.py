"""The progress of a run as server-sent events."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from storage.run_records import RunStatus
from web.api.parameters import LOOK_UP_PROBLEMS, RunPath
from web.api.runs_models import run_of
from web.keys import Reader

router = APIRouter(prefix="/api/v1", tags=["runs"])

_STREAM = "text/event-stream"
_EXAMPLE = 'event: progress\nid: 1\ndata: {"run_id":"20251231T080000-1a2b3c4d","done":1}\n\n'
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`progress`, `waiting`, and at last `end`; then the stream is closed.",
        "content": {_STREAM: {"schema": {"type": "string"}, "example": _EXAMPLE}},
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
        return caller.key is None or services.keys.get(caller.key.key_id) is not None

    async def stream() -> AsyncIterator[bytes]:
        async for each in watcher.events(status, _document, still_open):
            if not services.keys.is_fresh:
                await services.snapshots.run(services.keys.refresh)
            yield each

    return _Stream(stream(), partial(watcher.leave, caller.name))


class _Stream(StreamingResponse):
    """An answer that goes on; its end is told also where it never began."""

    def __init__(self, content: AsyncIterator[bytes], ended: Callable[[], None]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(content, media_type=_STREAM, headers=headers)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


def _document(status: RunStatus) -> str:
    return run_of(status).model_dump_json(by_alias=True)
