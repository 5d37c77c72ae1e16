"""Who was in a board on a day, or why that is not known."""

from datetime import date

from market.clock import SystemClock
from market.errors import UsageError
from pipeline.kline_query import NothingHeldError
from pipeline.runtime import Runtime
from storage.catalog import Members


def check_past(on: date | None, what: str) -> None:
    """Refuse a day that has not come.

    Args:
        on: The day; None: none was given.
        what: How it was given, ``--on 2026-01-05``.

    Raises:
        UsageError: It is in the future.
    """
    today = SystemClock().now().date()
    if on is not None and on > today:
        raise UsageError(f"{what} is in the future: today is {today} in Shanghai")


def read_members(runtime: Runtime, board: str, on: date | None) -> Members:
    """The members of a board on a day (None: by the latest list).

    Raises:
        InvalidBoardError: No such board is known.
        NothingHeldError: The day lies before the first list.
        StorageError: The database cannot be used.
    """
    day = on or date.max
    found = runtime.catalog.members(board, day)
    if found.known_from is None or day < found.known_from:
        since = (
            f"known since {found.known_from}"
            if found.known_from
            else "not synchronised yet, or there are none"
        )
        raise NothingHeldError(
            f"the members of {board} on {on or SystemClock().now().date()} are not known: they are "
            f"{since}, and the upstream tells today's members only",
            {"board": board},
        )
    return found
