"""What is asked to be synchronised."""

from dataclasses import dataclass
from datetime import date

from market.periods import Period

STOCKS = "stocks"
CONCEPTS = "concepts"
INDUSTRIES = "industries"
KINDS = (STOCKS, CONCEPTS, INDUSTRIES)
"""What can be synchronised."""


@dataclass(frozen=True, slots=True)
class Request:
    """What someone asks to be synchronised.

    Attributes:
        kind: ``stocks``, ``concepts`` or ``industries``.
        upstream: ``live``, ``simulator`` or a simulator's URL.
        period: Length of the bars (boards: daily).
        symbols: Symbols or boards; None: all that are listed.
        start: First day; None: where history begins.
        end: Last day; None: the latest session that has begun.
        lane: ``live`` or ``bulk``.
        slot: Scheduled instant served, ISO 8601; None on demand.
        missed: How many earlier slots of the day nobody served, which this run serves too.
        snapshot: Sweep the whole market for provisional 5m bars, and fetch only ``symbols`` singly.
    """

    kind: str
    upstream: str
    period: Period = Period.DAILY
    symbols: tuple[str, ...] | None = None
    start: date | None = None
    end: date | None = None
    lane: str = "live"
    slot: str | None = None
    missed: int = 0
    snapshot: bool = False
