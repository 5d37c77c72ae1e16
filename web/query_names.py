"""The names of a query: those that its route takes, each once.

A name that nobody reads would change nothing, and the answer, or the run, be another than was asked
for.
"""

from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant

from web.keys import Caller, caller_of
from web.problems import UnprocessableError

_SHOWN = 60


async def check_query(request: Request, caller: Annotated[Caller, Depends(caller_of)]) -> None:
    """Refuse a query with a name that its route does not take, or with one given twice.

    Who asks is known before: nothing is told to others. A refusal counts as a request that reads.

    Raises:
        UnprocessableError: There is one.
        TooManyError: There were too many requests.
    """
    given = Counter(name for name, _ in request.query_params.multi_items())
    if not given:
        return
    permitted = sorted(set(_names(request.scope["route"].dependant)))
    for name, times in given.items():
        if name in permitted and times == 1:
            continue
        request.app.state.services.limits.take_read(caller.name)
        field = f"query.{name[:_SHOWN]}"
        if name not in permitted:
            remedy = _nearest(name, permitted)
            raise UnprocessableError(
                f"{request.url.path} takes no {name[:_SHOWN]!r}, but {_listed(permitted)}: "
                f"{remedy}",
                {"field": field, "remedy": remedy, "permitted": permitted},
            )
        remedy = "give it once"
        raise UnprocessableError(
            f"{name} is given {times} times, and one alone can be meant: {remedy}",
            {"field": field, "remedy": remedy},
        )


def _names(dependant: Dependant) -> Iterator[str]:
    """What a route reads of the query, itself and by what it depends on."""
    yield from (each.alias for each in dependant.query_params)
    for each in dependant.dependencies:
        yield from _names(each)


def _nearest(name: str, permitted: list[str]) -> str:
    alike = get_close_matches(name[:_SHOWN].lower().replace("-", "_"), permitted, n=1)
    return f"write {alike[0]}" if alike else "leave it out"


def _listed(permitted: list[str]) -> str:
    return ", ".join(permitted) or "nothing"
