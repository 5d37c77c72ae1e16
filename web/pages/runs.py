"""Runs: those there were, and one as it goes on to its end."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from market.errors import QuantsyncError
from pipeline.asking import abandon
from pipeline.diagnosis import outlook
from pipeline.runtime import Runtime
from storage.run_records import SUCCESSES, RunState, RunStatus
from web.api.parameters import RunPath
from web.audit import audited
from web.keys import Operator, Reader
from web.pages.forms import FormToken
from web.pages.looks import Looks
from web.pages.overview import looks_of
from web.pages.rendering import page, render, services_of
from web.pages.routing import pages
from web.pages.streaming import follow
from web.streams import EventStream

router = pages()

_SHOWN, _FAILURES_SHOWN = 60, 200
_STATES = "^(running|committed|partial|failed)?$"


@dataclass(frozen=True, slots=True)
class Shown:
    """A run as its page shows it.

    Attributes:
        left_s: Seconds until all that it plans now is fetched; None: it cannot be said.
        says: What it waits for, and what will happen.
        failures: What was not done: kind of work, subject, outcome and reason.
        more: How many failures are not shown.
        failed: How often each outcome that is no success stands.
    """

    status: RunStatus
    left_s: float | None
    says: list[str]
    failures: list[dict[str, object]]
    more: int
    failed: dict[str, int]


@router.get("/runs")
async def show_all(
    request: Request, caller: Reader, state: Annotated[str, Query(pattern=_STATES)] = ""
) -> HTMLResponse:
    """The newest runs."""
    services = services_of(request)
    wanted = RunState(state) if state else None
    found = await services.queries.run(services.runtime.ledger.runs, _SHOWN, state=wanted)
    states = [each.value for each in RunState]
    return page(request, caller, "runs.html", runs=found, state=state, states=states)


@router.get("/runs/{run_id}")
async def show(request: Request, caller: Reader, run_id: RunPath) -> HTMLResponse:
    """One run."""
    services, looks = services_of(request), looks_of(request)
    shown = await services.queries.run(read_shown, services.runtime, looks, run_id)
    return page(request, caller, "run.html", shown=shown)


@router.get("/runs/{run_id}/live")
async def show_live(request: Request, caller: Reader, run_id: RunPath) -> EventStream:
    """One run, followed to its end."""
    services, looks = services_of(request), looks_of(request)

    async def look() -> tuple[str, bool]:
        try:
            shown = await services.queries.run(read_shown, services.runtime, looks, run_id)
        except QuantsyncError as error:
            return render(request, caller, "part/away.html", says=error.message), True
        text = render(request, caller, "part/run.html", shown=shown)
        return text, not shown.status.state.is_end

    return follow(request, caller, look)


@router.post("/runs/{run_id}/abandon", dependencies=[FormToken])
async def give_up(request: Request, caller: Operator, run_id: RunPath) -> Response:
    """End a run at once: what it committed stays."""
    services = services_of(request)
    async with audited(request, caller, {"run_id": run_id}):
        await services.writers.run(abandon, services.runtime, run_id)
    return RedirectResponse(f"/runs/{run_id}", 303)


def read_shown(runtime: Runtime, looks: Looks, run_id: str) -> Shown:
    """A run with what it did not do.

    Raises:
        NoSuchRunError: The ledger has no such run.
        StorageError: The database cannot be used.
    """
    status = runtime.ledger.status(run_id)
    failed = Counter(status.outcomes) + Counter(status.ex_rights)
    failed = Counter({name: n for name, n in failed.items() if name not in SUCCESSES})
    failures = runtime.ledger.outcomes(run_id, exclude=SUCCESSES, limit=_FAILURES_SHOWN)
    return Shown(
        status,
        looks.meter.left_s(status),
        [] if status.state.is_end else outlook(runtime, status),
        failures,
        max(0, failed.total() - len(failures)),
        dict(failed.most_common()),
    )
