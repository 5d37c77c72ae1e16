"""Starting a sync or a backfill: first its plan, then its confirmation, then its progress."""

import secrets
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Form, Query
from fastapi import Request as WebRequest
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from market.periods import FETCHED_PERIODS
from pipeline.estimating import Estimate, estimate
from pipeline.options import split_names
from pipeline.request import KINDS, Request
from pipeline.run_requests import read_request
from web.audit import audited
from web.handing import hand_out_run, naming
from web.keys import Operator, Reader
from web.pages.forms import FormToken, read_day
from web.pages.overview import looks_of
from web.pages.rendering import is_partial, page, services_of
from web.pages.routing import pages
from web.pages.runs import read_shown

router = pages()

LANES = ("live", "bulk")
_PERIODS = tuple(period.value for period in reversed(FETCHED_PERIODS))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a form asks for, as it was filled in."""

    kind: str
    lane: str
    period: str
    symbols: str
    start: str
    end: str

    def request(self, upstream: str) -> Request:
        """The same as the pipeline takes it.

        Raises:
            UsageError: It cannot be meant.
        """
        return read_request(
            kind=self.kind,
            names=split_names(self.symbols) if self.symbols.strip() else None,
            period=self.period,
            start=read_day(self.start, "from"),
            end=read_day(self.end, "to"),
            upstream=upstream,
            lane=self.lane,
        )


def _wanted(
    kind: Annotated[str, Form(max_length=20)] = KINDS[0],
    lane: Annotated[str, Form(pattern="^(live|bulk)$")] = LANES[0],
    period: Annotated[str, Form(max_length=10)] = _PERIODS[0],
    symbols: Annotated[str, Form(max_length=20_000)] = "",
    start: Annotated[str, Form(alias="from", max_length=10)] = "",
    end: Annotated[str, Form(alias="to", max_length=10)] = "",
) -> Wanted:
    return Wanted(kind, lane, period, symbols, start, end)


_Form = Annotated[Wanted, Depends(_wanted)]


@router.get("/operations")
async def show(
    request: WebRequest,
    caller: Reader,
    symbols: Annotated[str, Query(max_length=200)] = "",
) -> HTMLResponse:
    """The form."""
    empty = Wanted(KINDS[0], LANES[0], _PERIODS[0], symbols, "", "")
    return _page(request, caller, empty)


@router.post("/operations/plan", dependencies=[FormToken])
async def show_plan(request: WebRequest, caller: Operator, wanted: _Form) -> HTMLResponse:
    """What it would cost; nothing is sent and nothing recorded."""
    services = services_of(request)
    asked = wanted.request(services.settings.quantsync_upstream)
    plan = await services.queries.run(estimate, services.runtime, asked)
    name = secrets.token_hex(16)
    if is_partial(request):
        return page(request, caller, "part/plan.html", wanted=wanted, plan=plan, name=name)
    return _page(request, caller, wanted, plan, name)


@router.post("/operations/start", dependencies=[FormToken])
async def start(
    request: WebRequest,
    caller: Operator,
    wanted: _Form,
    name: Annotated[str | None, Form(pattern="^[0-9a-f]{32}$")] = None,
) -> Response:
    """Begin it, once however often the button is pressed, and show how it goes on."""
    services, looks = services_of(request), looks_of(request)
    asked = wanted.request(services.settings.quantsync_upstream)
    about = _told(asked)
    named = naming(services.runtime, caller, name, about)
    async with audited(request, caller, about) as entry:
        handed = await services.writers.run(hand_out_run, services.runtime, asked, named)
        entry.about["run_id"] = handed.subject
    if not is_partial(request):
        return RedirectResponse(f"/runs/{handed.subject}", 303)
    shown = await services.queries.run(read_shown, services.runtime, looks, handed.subject)
    return page(request, caller, "part/begun.html", shown=shown)


def _told(asked: Request) -> dict[str, object]:
    """A request for the audit."""
    names = asked.symbols
    return {
        "kind": asked.kind,
        "period": asked.period.value,
        "lane": asked.lane,
        "from": asked.start,
        "to": asked.end,
        "symbols": None if names is None else list(names),
    }


def _page(
    request: WebRequest,
    caller: Reader,
    wanted: Wanted,
    plan: Estimate | None = None,
    name: str = "",
) -> HTMLResponse:
    return page(
        request, caller, "operations.html", wanted=wanted, plan=plan, name=name,
        kinds=KINDS, periods=_PERIODS, lanes=LANES,
    )  # fmt: skip
