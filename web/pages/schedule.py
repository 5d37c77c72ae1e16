"""What the schedule begins within a day."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi import Request
from fastapi.responses import HTMLResponse

from market.clock import in_shanghai
from pipeline.forecasting import Foreseen
from web.keys import Reader
from web.pages.looks import DAY_H
from web.pages.overview import looks_of
from web.pages.rendering import page, services_of
from web.pages.routing import pages

router = pages()

_WIDTH = 960
"""Of the timeline, in its own units: 40 an hour."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One entry of the schedule over a day.

    Attributes:
        times: How often something is done.
        first: When first; None: not within the day.
        last: When last.
        says: Why nothing is done, where nothing is.
        marks: Places on the timeline.
        steady: Whether it goes on all the time.
    """

    name: str
    times: int
    first: datetime | None
    last: datetime | None
    says: Foreseen
    marks: tuple[int, ...]
    steady: bool


@router.get("/schedule")
async def show(request: Request, caller: Reader) -> HTMLResponse:
    """The coming 24 hours, and what the gate of each run will say."""
    coming = await services_of(request).queries.run(looks_of(request).schedule.get)
    start = min((in_shanghai(each.at) for each in coming), default=None)
    lanes = [] if start is None else list(_lanes(coming, start))
    hours = [] if start is None else list(_hours(start))
    return page(
        request, caller, "schedule.html", coming=coming, lanes=lanes, hours=hours, width=_WIDTH
    )


def _lanes(coming: list[Foreseen], start: datetime) -> Iterable[Lane]:
    by_name: dict[str, list[Foreseen]] = {}
    for each in coming:
        by_name.setdefault(each.name, []).append(each)
    lanes = [_lane(name, mine, start) for name, mine in by_name.items()]
    return sorted(lanes, key=lambda lane: (lane.steady, lane.first is None, lane.first or start))


def _lane(name: str, mine: list[Foreseen], start: datetime) -> Lane:
    done = [each for each in mine if each.happens]
    return Lane(
        name,
        sum(each.times for each in done),
        done[0].at if done else None,
        done[-1].until if done else None,
        done[0] if done else mine[-1],
        tuple(_place(each.at, start) for each in done if each.times == 1),
        steady=any(each.times > 1 for each in done),
    )


def _hours(start: datetime) -> Iterable[tuple[int, int]]:
    """Every third hour of the day, and its place."""
    first = start.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    for at in range(DAY_H):
        instant = first + timedelta(hours=at)
        if instant.hour % 3 == 0:
            yield instant.hour, _place(instant, start)


def _place(at: datetime, start: datetime) -> int:
    return round((in_shanghai(at) - start) / timedelta(hours=DAY_H) * _WIDTH)
