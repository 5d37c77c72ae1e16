"""What was fetched and not taken, why, and deciding about it."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from market.errors import UsageError
from pipeline.quarantine_deciding import (
    Chosen,
    accept,
    beside_held,
    broken_rules,
    choose,
    drop,
)
from pipeline.runtime import Runtime
from storage.kline_quarantine import BarDecision, BarEntry, BarFilter, BarQuarantine
from storage.list_entries import ListEntries, ListEntry
from storage.list_quarantine import QuarantineStatus
from web.audit import audited
from web.keys import Operator, Reader
from web.pages.forms import FormToken
from web.pages.rendering import page, services_of
from web.pages.routing import pages

router = pages()

_SHOWN = 200
_ID = "^[bl][0-9]{1,12}$"
_DECISIONS = {"accept": accept, "drop": drop}


@dataclass(frozen=True, slots=True)
class Kept:
    """What waits, or was decided."""

    bars: list[BarEntry]
    lists: list[ListEntry]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry beside what is held in its place.

    Attributes:
        bar: A bar; else ``list`` is one.
        rules: The rules that the bar breaks, and what each says.
        beside: By :func:`pipeline.quarantine_deciding.beside_held`.
    """

    id: str
    bar: BarEntry | None
    list: ListEntry | None
    rules: dict[str, str]
    beside: dict[str, Any]


@router.get("/quarantine")
async def show(
    request: Request,
    caller: Reader,
    status: Annotated[str, Query(pattern="^(open|accepted|dropped)$")] = "open",
) -> HTMLResponse:
    """Bars that break a rule, and lists that are not proven whole."""
    services = services_of(request)
    kept = await services.queries.run(_kept, services.runtime, status)
    statuses = [each.value for each in BarDecision]
    return page(
        request, caller, "quarantine.html", kept=kept, chosen=status, statuses=statuses,
        shown=_SHOWN,
    )  # fmt: skip


@router.get("/quarantine/{entry_id}")
async def show_entry(
    request: Request, caller: Reader, entry_id: Annotated[str, Path(pattern=_ID)]
) -> HTMLResponse:
    """One entry, why it is there, and what is held in its place."""
    services = services_of(request)
    entry = await services.queries.run(_entry, services.runtime, entry_id)
    return page(request, caller, "quarantined.html", entry=entry)


@router.post("/quarantine", dependencies=[FormToken])
async def decide(
    request: Request,
    caller: Operator,
    ids: Annotated[list[str] | None, Form(max_length=1000)] = None,
    decision: Annotated[str, Form(pattern="^(accept|drop)$")] = "",
    note: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Accept or drop entries; who decided is kept with the decision."""
    if not ids:
        raise UsageError("nothing was chosen: tick what is to be decided about", {"field": "ids"})
    services = services_of(request)
    about = {"ids": ids, "decision": decision, "note": note}
    async with audited(request, caller, about) as entry:

        def carry_out() -> list[str]:
            chosen: Chosen = choose(services.runtime, ids)
            return _DECISIONS[decision](services.runtime, chosen, _by(caller), note or None)

        entry.about["said"] = await services.writers.run(carry_out)
    return RedirectResponse("/quarantine", 303)


def _by(caller: Operator) -> str:
    """Who decides, as it is kept with the decision."""
    name = caller.key.name if caller.key else "nobody"
    return f"{name} (key {caller.name})"


def _kept(runtime: Runtime, status: str) -> Kept:
    bars = BarQuarantine(runtime.database)
    lists = ListEntries(runtime.database)
    return Kept(
        bars.entries(BarFilter(status=BarDecision(status)), _SHOWN),
        lists.entries(status=QuarantineStatus(status), limit=_SHOWN),
    )


def _entry(runtime: Runtime, entry_id: str) -> Entry:
    chosen = choose(runtime, [entry_id])
    bar = next(iter(chosen.bars), None)
    found = bar or chosen.lists[0]
    rules = {} if bar is None else broken_rules(bar)
    lists = next(iter(chosen.lists), None)
    return Entry(entry_id, bar, lists, rules, beside_held(runtime, found))
