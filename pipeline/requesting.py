"""What someone asks to be synchronised, read from the words of a command, a form or a document."""

from collections.abc import Sequence
from datetime import date

from market.boards import parse_board_code
from market.errors import UsageError
from market.periods import Period, parse_fetched_period
from market.symbols import parse_stock
from pipeline.plans import KINDS, STOCKS, Request


def read_request(
    kind: str,
    *,
    names: Sequence[str] | None,
    period: str,
    start: date | None,
    end: date | None,
    upstream: str,
    lane: str,
) -> Request:
    """A request whose words are known to be readable; nothing is started before that.

    Args:
        kind: ``stocks``, ``concepts`` or ``industries``.
        names: Symbols or boards in any spelling; None: all that are listed.
        period: ``daily``, ``5m`` or ``1m``; boards have daily klines only.
        start: First day; None: where history begins.
        end: Last day; None: the latest session that has begun.
        upstream: Where it is to be asked.
        lane: ``live`` or ``bulk``.

    Raises:
        UsageError: It cannot be meant.
    """
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is nothing to fetch: use {', '.join(KINDS)}", {"field": "kind"})
    read = parse_stock if kind == STOCKS else parse_board_code
    symbols = None if names is None else tuple(str(read(name)) for name in names)
    length = parse_fetched_period(period)
    if kind != STOCKS and length is not Period.DAILY:
        raise UsageError(f"boards have daily klines only, not {period}", {"field": "period"})
    if start is not None and end is not None and end < start:
        raise UsageError(f"the last day {end} is before the first day {start}: swap them", {"field": "to"})
    return Request(
        kind=kind,
        upstream=upstream,
        period=length,
        symbols=symbols,
        start=start,
        end=end,
        lane=lane,
    )
