"""Requests for runs, read from words."""

from collections.abc import Sequence
from datetime import date

from market.errors import InvalidPeriodError, InvalidWindowError, UsageError
from market.periods import Period, parse_fetched_period
from market.symbols import parse_stock
from pipeline.request import KINDS, STOCKS, Request


def read_request(
    *,
    kind: str,
    period: str,
    names: Sequence[str] | None,
    start: date | None,
    end: date | None,
    upstream: str,
    lane: str,
) -> Request:
    """A request for a run whose words are known to be readable; nothing is started before that.

    Raises:
        UsageError: A word that cannot be meant.
    """
    if kind not in KINDS:
        raise UsageError(f"{kind!r} cannot be synchronised: use {', '.join(KINDS)}")
    subjects = None
    if names is not None and kind == STOCKS:
        subjects = tuple(str(parse_stock(name)) for name in names)
    elif names is not None:
        from market.boards import parse_board_code  # noqa: PLC0415 - imports PyArrow

        subjects = tuple(parse_board_code(name) for name in names)
    length = parse_fetched_period(period)
    if kind != STOCKS and length is not Period.DAILY:
        raise InvalidPeriodError(f"boards have daily klines only, not {period}: ask for daily ones")
    if start is not None and end is not None and end < start:
        raise InvalidWindowError(f"the last day {end} is before the first day {start}: swap them")
    return Request(kind, upstream, length, subjects, start, end, lane)
