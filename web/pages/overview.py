"""The first page: is the data fresh, what runs, what failed and why, what happens next."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.responses import HTMLResponse

from market.errors import QuantsyncError
from pipeline.attaching import is_own, is_up
from pipeline.diagnosis import examine, outlook
from pipeline.findings import ERROR, OK, Finding
from pipeline.forecasting import Foreseen
from pipeline.lateness import Freshness
from pipeline.monitor_link import Monitor, find_monitor
from pipeline.pacing_reading import Pacing
from pipeline.runtime import Runtime
from storage.run_records import RunState, RunStatus
from web.keys import Reader
from web.pages.looks import Looks
from web.pages.rendering import page, render, services_of
from web.pages.routing import pages
from web.pages.streaming import follow
from web.streams import EventStream

if TYPE_CHECKING:
    from pipeline.inspecting import Inspection

router = pages()

_RUNNING_SHOWN, _ENDED_SHOWN = 20, 8
_OF_THE_STACK = ("broker", "backend", "budget", "beat")
"""What is said of parts that an embedded stack brings with it."""


@dataclass(frozen=True, slots=True)
class Going:
    """A run under way.

    Attributes:
        left_s: Seconds until all that it plans now is fetched; None: it cannot be said.
        says: What it waits for, and what will happen.
    """

    status: RunStatus
    left_s: float | None
    says: list[str]


@dataclass(frozen=True, slots=True)
class Activity:
    """What runs, and what ended lately."""

    going: list[Going]
    ended: list[RunStatus]
    pacing: Pacing


@dataclass(frozen=True, slots=True)
class Front:
    """What stands on the page when it is opened."""

    settled: date
    freshness: list[Freshness]
    coming: list[Foreseen]
    activity: Activity


@dataclass(frozen=True, slots=True)
class Services:
    """What the services say of themselves.

    Attributes:
        inspection: Workers and queues; None: they cannot be asked, and ``unreachable`` says why.
        findings: What is not as it should be.
        looked: How many things were looked at.
        monitor: Flower.
    """

    inspection: "Inspection | None"
    unreachable: str
    findings: list[Finding]
    looked: int
    monitor: Monitor


@router.get("/")
async def show(request: Request, caller: Reader) -> HTMLResponse:
    """The overview."""
    services, looks = services_of(request), looks_of(request)
    front = await services.queries.run(_front, services.runtime, looks)
    return page(request, caller, "overview.html", front=front, activity=front.activity)


@router.get("/overview/activity")
async def show_activity(request: Request, caller: Reader) -> EventStream:
    """What runs, as it goes on; budgets with it."""
    services, looks = services_of(request), looks_of(request)

    async def look() -> tuple[str, bool]:
        try:
            activity = await services.queries.run(read_activity, services.runtime, looks)
        except QuantsyncError as error:
            return render(request, caller, "part/away.html", says=error.message), True
        return render(request, caller, "part/activity.html", activity=activity), True

    return follow(request, caller, look)


@router.get("/overview/freshness")
async def show_freshness(request: Request, caller: Reader) -> HTMLResponse:
    """How far the data have come."""
    looks = looks_of(request)
    settled, freshness = await services_of(request).queries.run(looks.freshness.get)
    return page(request, caller, "part/freshness.html", settled=settled, freshness=freshness)


@router.get("/overview/services")
async def show_services(request: Request, caller: Reader) -> HTMLResponse:
    """Workers, queues and findings: they take a second or two to answer."""
    services = services_of(request)
    found = await services.lookers.run(_services, services.runtime)
    return page(request, caller, "part/services.html", services=found)


def looks_of(request: Request) -> Looks:
    """What pages share."""
    found: Looks = request.app.state.looks
    return found


def read_activity(runtime: Runtime, looks: Looks) -> Activity:
    """What runs, and what ended lately.

    Raises:
        StorageError: The database cannot be used.
    """
    running = runtime.ledger.runs(_RUNNING_SHOWN, state=RunState.RUNNING)
    going = [Going(run, looks.meter.left_s(run), outlook(runtime, run)) for run in running]
    latest = runtime.ledger.runs(_ENDED_SHOWN + len(running))
    ended = [run for run in latest if run.state.is_end][:_ENDED_SHOWN]
    return Activity(going, ended, looks.pacing.get())


def _front(runtime: Runtime, looks: Looks) -> Front:
    settled, freshness = looks.freshness.get()
    coming: dict[str, Foreseen] = {}  # the next time of each entry
    for each in looks.schedule.get():
        if each.happens and each.times == 1:
            coming.setdefault(each.name, each)
    return Front(settled, freshness, list(coming.values()), read_activity(runtime, looks))


def _services(runtime: Runtime) -> Services:
    settings = runtime.settings
    monitor = find_monitor(settings.flower_url)
    findings = examine(runtime)
    wrong = [each for each in findings if each.level != OK]
    if is_own(settings) and not is_up(settings):
        nothing = Finding(
            "stack", ERROR, f"nothing runs in {settings.home}", "`quantsync up` starts it"
        )
        rest = [each for each in wrong if each.what not in _OF_THE_STACK]
        return Services(None, "", [nothing, *rest], len(findings), monitor)
    from pipeline.inspecting import inspect_workers  # noqa: PLC0415  (Celery)

    try:
        return Services(inspect_workers(), "", wrong, len(findings), monitor)
    except QuantsyncError as error:
        return Services(None, error.message, wrong, len(findings), monitor)
