"""What several routes are asked with, and what they answer with."""

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, Field

from market.clock import EXCHANGE_TZ
from market.errors import InvalidWindowError
from market.sessions import Window
from web.problems import responses

_FIRST, _LAST = date(1990, 1, 1), date(2199, 12, 31)
READ_PROBLEMS = responses(401, 422, 429, 503)
WRITE_PROBLEMS = responses(400, 401, 403, 408, 409, 413, 422, 429, 503)
LOOK_UP_PROBLEMS = READ_PROBLEMS | responses(404)


def _within_reach(day: date) -> date:
    if not _FIRST <= day <= _LAST:
        raise ValueError(f"give a day from {_FIRST} to {_LAST}")
    return day


Day = Annotated[date, AfterValidator(_within_reach)]
SymbolPath = Annotated[
    str,
    Path(
        pattern=r"^[0-9A-Za-z.]{1,16}$",
        description="A symbol in any common spelling, or a board's code.",
        examples=["600519"],
    ),
]
BoardPath = Annotated[
    str, Path(pattern=r"^[Bb][Kk][0-9]{4,8}$", description="A board's code.", examples=["BK0477"])
]
RunPath = Annotated[
    str,
    Path(
        pattern=r"^[0-9]{8}T[0-9]{6}-[0-9a-f]{8}$",
        description="A run's id.",
        examples=["20251231T080000-1a2b3c4d"],
    ),
]
From = Annotated[Day | None, Query(alias="from", description="First day.", examples=["2024-01-02"])]
To = Annotated[Day | None, Query(alias="to", description="Last day.", examples=["2025-12-31"])]


class Span(BaseModel):
    """A closed range of sessions."""

    start: date = Field(alias="from", serialization_alias="from")
    end: date = Field(alias="to", serialization_alias="to")


def window_of(start: date | None, end: date | None) -> Window | None:
    """The closed range of days that two ends make; None: neither is given.

    Raises:
        InvalidWindowError: The end is before the start.
    """
    if start is None and end is None:
        return None
    first, last = start or _FIRST, end or _LAST
    if last < first:
        raise InvalidWindowError(
            f"to={last} is before from={first}: swap them", {"field": "query.to"}
        )
    return Window(first, last)


def instant(epoch: float) -> datetime:
    """Epoch seconds as an instant in Shanghai time."""
    return datetime.fromtimestamp(epoch, UTC).astimezone(EXCHANGE_TZ)


def instant_or_none(epoch: float | None) -> datetime | None:
    """The same of what may not have happened."""
    return None if epoch is None else instant(epoch)
