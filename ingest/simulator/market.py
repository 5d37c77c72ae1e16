"""What the server asks of a market, whatever the market is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

import pyarrow as pa

from market.boards import BoardKind

STOCK_MARKETS = (0, 1)
"""Eastmoney's market numbers of stocks: 1 for SH, 0 for SZ and BJ."""
BOARD_MARKET = 90
"""Eastmoney's market number of boards."""

NONE = "-"
"""What the upstream writes where there is no number."""

Cell = str | int | float


@dataclass(frozen=True, slots=True)
class SecId:
    """Eastmoney's name for a thing with quotes: ``1.600519``, ``0.000001``, ``90.BK0477``."""

    market: int
    code: str

    def __str__(self) -> str:
        return f"{self.market}.{self.code}"


class Series(Protocol):
    """A kline as of an instant."""

    @property
    def name(self) -> str:
        """Name of the symbol or board."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """One per bar, ascending: ``2025-12-31`` or ``2025-12-31 09:35``."""
        ...

    def lines(self, first: int, end: int) -> list[str]:
        """The bars of a range of places, each as f51 … f61 joined by commas."""
        ...

    def close_before(self, place: int) -> float:
        """The close of the bar before a place, in CNY (boards: points)."""
        ...


@dataclass(frozen=True, slots=True)
class Trends:
    """One-minute rows of the latest sessions.

    Attributes:
        name: Name of the symbol or board.
        previous_close: CNY (boards: points), before the latest session.
        lines: f51 … f58 joined by commas.
    """

    name: str
    previous_close: float
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class QuoteTable:
    """A list with one row per symbol or board.

    Attributes:
        columns: Values by the upstream's field number; 12 is the code. A field that is not here
            has no value for any row.
    """

    columns: Mapping[int, Sequence[Cell]]
    _orders: dict[tuple[int, bool], list[int]] = field(default_factory=dict, compare=False)

    def __len__(self) -> int:
        return len(self.columns[12])

    def order(self, by: int, *, descending: bool) -> list[int]:
        """Places of all rows sorted by a field; rows without a value come last, ties by code."""
        wanted = (by, descending)
        if wanted not in self._orders:
            codes = self.columns[12]
            values = self.columns.get(by, codes)
            known = [at for at, value in enumerate(values) if value != NONE]
            unknown = [at for at, value in enumerate(values) if value == NONE]
            known.sort(key=codes.__getitem__)
            known.sort(key=values.__getitem__, reverse=descending)
            unknown.sort(key=codes.__getitem__)
            self._orders[wanted] = known + unknown
        return self._orders[wanted]

    def rows(self, places: Sequence[int], fields: Sequence[int]) -> list[dict[str, Cell]]:
        """Rows as the upstream writes them, keys in the order given."""
        columns = [(f"f{number}", self.columns.get(number)) for number in fields]
        return [{key: NONE if c is None else c[at] for key, c in columns} for at in places]

    def select(self, places: Sequence[int]) -> "QuoteTable":
        """A table of some of the rows."""
        return QuoteTable({f: [c[at] for at in places] for f, c in self.columns.items()})


class Market(Protocol):
    """A market that can be asked for anything as of any instant of its calendar.

    Every method is safe to call from several threads, and answers the same for the same instant.
    """

    kind: str
    default_now: datetime

    def describe(self) -> dict[str, object]:
        """What kind of market it is, for people."""
        ...

    def check(self, now: datetime) -> None:
        """Refuse an instant of which the market knows nothing.

        Raises:
            CalendarRangeError: The instant lies outside the market's calendar.
        """
        ...

    def kline(self, secid: SecId, klt: int, fqt: int, now: datetime) -> Series | None:
        """A kline by Eastmoney's numbers for period and adjustment; None if there is no such."""
        ...

    def trends(self, secid: SecId, days: int, now: datetime) -> Trends | None:
        """1m rows of the latest sessions with any; None if there is no such symbol."""
        ...

    def quotes(self, now: datetime) -> QuoteTable:
        """All listed symbols."""
        ...

    def boards(self, kind: BoardKind, now: datetime) -> QuoteTable:
        """All boards of a kind."""
        ...

    def board_quotes(self, board: str, now: datetime) -> QuoteTable | None:
        """The listed members of a board; None if there is no such board."""
        ...

    def unfinished(self, now: datetime) -> datetime:
        """An instant at which the latest session was still under way; for a fault."""
        ...

    def session_before(self, now: datetime) -> datetime:
        """An instant after the close of the session before the latest; for a fault."""
        ...

    def daily(self, symbol: str, now: datetime | None = None) -> pa.Table:
        """The unadjusted daily bars that a client must end up with; see ``TRUTH_SCHEMA``."""
        ...

    def listing(self, on: date) -> tuple[str, ...]:
        """Codes on the exchange's list on a day, ascending."""
        ...

    def members(self, board: str, on: date) -> tuple[str, ...]:
        """Codes of a board's members on a day, ascending."""
        ...


TRUTH_SCHEMA = pa.schema(
    [
        pa.field("session", pa.date32()),
        pa.field("label", pa.string(), metadata={"meaning": "as served, e.g. 2025-12-31 09:35"}),
        *(
            pa.field(name, pa.float64(), metadata={"meaning": "CNY"})
            for name in ("open", "high", "low", "close")
        ),
        pa.field("lots", pa.int64(), metadata={"meaning": "volume in lots of 100 shares"}),
        pa.field("amount", pa.float64(), metadata={"meaning": "CNY"}),
        pa.field("turnover_rate", pa.float64(), metadata={"meaning": "percent of the float"}),
    ]
)
"""The columns of a market's truth, one row per bar."""
