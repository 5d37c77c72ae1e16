"""Asking for bars: of any symbol or board, period and adjustment, as of any instant, in pages."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from market.adjustments import Adjustment, AdjustMethod
from market.aggregation import AGGREGATED_FROM, Evidence
from market.bars import Dataset
from market.boards import parse_board_code
from market.clock import EXCHANGE_TZ
from market.errors import QuantsyncError
from market.periods import Period
from market.sessions import Window
from market.symbols import parse_symbol
from pipeline.adjust_reading import Adjusting
from storage.aliases import Aliases
from storage.queries import KLINE_COLUMNS, BarReader, klines

COLUMNS = (*KLINE_COLUMNS, "state")
_FEW, _MANY = 20, 320
"""Sessions of minute bars that are read in one go: few at first, as few may be wanted."""


class NothingHeldError(QuantsyncError):
    """What was asked for is not in the stores."""


@dataclass(frozen=True, slots=True)
class KlineQuery:
    """Which bars are wanted.

    Attributes:
        name: ``600519.SH`` under its present code, or a board's code.
        window: Closed range of days; None: all that is held.
        as_of: As the bars were known at this instant; None: now.
    """

    dataset: Dataset
    name: str
    period: Period
    window: Window | None = None
    adjust: Adjustment = Adjustment.NONE
    method: AdjustMethod = AdjustMethod.RATIO
    as_of: datetime | None = None

    @property
    def fetched_period(self) -> Period:
        """The period of the bars that these are made of."""
        return AGGREGATED_FROM.get(self.period, self.period)


def read_subject(text: str, aliases: Callable[[], Aliases]) -> tuple[Dataset, str]:
    """A symbol, under its present code, or a board, in any spelling.

    Raises:
        InvalidSymbolError: It is neither.
        InvalidBoardError: It begins as a board's code and is none.
    """
    if text.strip().upper().startswith("BK"):
        return Dataset.BOARD_KLINE, parse_board_code(text)
    name = str(parse_symbol(text))
    # Ex-rights, coverage and revisions are kept under the present code alone.
    return Dataset.KLINE, aliases().get(name, name)


def read_bars(
    query: KlineQuery, reader: BarReader, wanted: Adjusting, evidence: Evidence | None
) -> pa.Table:
    """The bars of a query, ascending, with their state.

    Args:
        query: Which bars.
        reader: Where they are read.
        wanted: How they are adjusted, by :func:`pipeline.adjust_reading.read_adjusting`.
        evidence: What is known of their parts, by :func:`pipeline.kline_reading.evidence_for`.

    Raises:
        StorageError: A store cannot be read.
    """
    return klines(
        reader,
        query.name,
        query.period,
        window=query.window,
        dataset=query.dataset,
        columns=COLUMNS,
        evidence=evidence,
        **wanted,
    )


@dataclass(frozen=True, slots=True)
class KlinePage:
    """Some of the bars of a query.

    Attributes:
        bars: Ascending.
        more_after: Epoch seconds of the last one's end, if there are more; else None.
    """

    bars: pa.Table
    more_after: int | None


def read_page(
    query: KlineQuery,
    read: Callable[[KlineQuery], pa.Table],
    partitions: list[Window],
    limit: int,
    after: int | None = None,
) -> KlinePage:
    """The first bars of a query, or those that follow an earlier page's.

    Args:
        query: Which bars.
        read: Reads those of a query.
        partitions: The days of each partition that holds any, ascending: no more of them are read
            than the page needs.
        limit: How many bars at most.
        after: End of the last bar before, epoch seconds; None: this is the first page.
    """
    query = _from(query, after)
    found: list[pa.Table] = []
    rows = 0
    for part in _parts(query, partitions):
        bars = read(part)
        if after is not None:
            later = pc.greater(bars["end_at"].cast(pa.int64()), after)
            bars = bars.filter(later)
        found.append(bars)
        rows += bars.num_rows
        if rows > limit:
            break
    bars = pa.concat_tables(found).combine_chunks() if found else read(replace(query, window=_NONE))
    page = bars.slice(0, limit)
    if bars.num_rows <= limit:
        return KlinePage(page, None)
    return KlinePage(page, page["end_at"][-1].cast(pa.int64()).as_py())


_NONE = Window(date(1900, 1, 1), date(1900, 1, 1))
"""Days of which nothing is held: reading them gives the columns and no rows."""


def _from(query: KlineQuery, after: int | None) -> KlineQuery:
    if after is None:
        return query
    day = datetime.fromtimestamp(after, UTC).astimezone(EXCHANGE_TZ).date()
    end = query.window.end if query.window else date.max
    start = max(day, query.window.start) if query.window else day
    return replace(query, window=Window(start, max(start, end)))


def _parts(query: KlineQuery, partitions: list[Window]) -> Iterator[KlineQuery]:
    """The query in parts that follow each other, each of some partitions."""
    window = query.window
    held = [w for w in partitions if window is None or _meet(w, window)]
    if not query.period.is_intraday:
        if held:
            yield query
        return
    at, size = 0, _FEW
    while at < len(held):
        days = Window(held[at].start, held[min(at + size, len(held)) - 1].end)
        yield replace(query, window=days)
        at, size = at + size, min(2 * size, _MANY)


def _meet(one: Window, other: Window) -> bool:
    return one.start <= other.end and other.start <= one.end
