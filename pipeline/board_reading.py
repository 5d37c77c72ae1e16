"""Who was in a board on a day, as far as lists tell."""

from datetime import date

from market.boards import InvalidBoardError
from pipeline.kline_query import NothingHeldError
from pipeline.runtime import Runtime
from storage.catalog import Members


def members_on(runtime: Runtime, board: str, day: date) -> Members:
    """The members of a board on a day; of a later day than the last list, those of that list.

    Raises:
        NothingHeldError: No such board is known, or nothing is known of a day so early.
        StorageError: The database cannot be used.
    """
    try:
        found = runtime.catalog.members(board, day)
    except InvalidBoardError as error:
        raise NothingHeldError(
            f"no board {board} is known: `quantsync sync concepts` and `sync industries` fetch the "
            "lists",
            {"board": board},
        ) from error
    if found.known_from is None or day < found.known_from:
        since = (
            f"known since {found.known_from}"
            if found.known_from
            else "not synchronised yet, or there are none"
        )
        raise NothingHeldError(
            f"the members of {board} on {day} are not known: they are {since}, and the upstream "
            "tells today's members only",
            {"board": board},
        )
    return found
