"""Reading bars as users want them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from market.adjustments import Adjustment, AdjustMethod, ExRight
from market.aggregation import AGGREGATED_FROM, Evidence, aggregate, whole_periods
from market.bars import Dataset
from market.clock import SystemClock
from market.periods import Period
from market.sessions import Window
from storage.adjusting import adjust as adjusted
from storage.ex_right import read_lake_ex_rights
from storage.lake import Lake

if TYPE_CHECKING:
    import pandas as pd

KLINE_COLUMNS = ("end_at", "open", "high", "low", "close", "volume", "amount")


class BarReader(Protocol):
    """Whatever bars can be read from: the lake, or the stores as they were at an instant."""

    def read(
        self,
        dataset: Dataset,
        period: Period,
        *,
        names: Collection[str] | None = None,
        window: Window | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Bars of some symbols (or boards) in a closed window, sorted by key."""
        ...


def klines(
    lake: BarReader,
    name: str,
    period: Period,
    *,
    window: Window | None = None,
    dataset: Dataset = Dataset.KLINE,
    columns: Sequence[str] = KLINE_COLUMNS,
    evidence: Evidence | None = None,
    adjust: Adjustment = Adjustment.NONE,
    method: AdjustMethod = AdjustMethod.RATIO,
    events: Iterable[ExRight] | None = None,
) -> pa.Table:
    """Bars of one symbol or board, ascending; unadjusted unless asked otherwise.

    15m, 30m and 60m bars are aggregated from the 5m bars that are held, weekly and monthly ones
    from daily; see :mod:`market.aggregation`.

    Args:
        lake: Where bars are read.
        name: ``600519.SH``, or a board code with ``dataset=Dataset.BOARD_KLINE``.
        period: Length of the bars.
        window: Closed range of days; None: all that is held. A week or month belongs to it if its
            last traded session does, and is then given whole.
        dataset: Whose bars.
        columns: Which columns of the kline schema, in this order.
        evidence: What decides the ``state`` of aggregated bars; None: now, without coverage.
        adjust: ``QFQ`` or ``HFQ`` adjusts prices on read; volume and amount stay as traded. Boards
            have no ex-rights.
        method: How; see :mod:`storage.adjusting`.
        events: The symbol's ex-rights; None: those in the lake's copy.

    Returns:
        By default ``end_at`` (Asia/Shanghai), prices in CNY, ``volume`` in shares, ``amount`` in
        CNY.

    Raises:
        CorruptFileError: A partition, or the copy of the ex-rights, is no readable Parquet file.
    """
    source = AGGREGATED_FROM.get(period)
    prices = _Prices(lake, name, adjust, method, events) if dataset is Dataset.KLINE else None
    if source is None:
        if prices is None or prices.are_raw:
            return lake.read(dataset, period, names=[name], window=window, columns=columns)
        wanted = dict.fromkeys((*columns, "symbol", "session"))
        bars = lake.read(dataset, period, names=[name], window=window, columns=list(wanted))
        return prices.adjusted(bars).select(list(columns))
    needed = None if window is None else whole_periods(period, window)
    parts = lake.read(dataset, source, names=[name], window=needed)
    if prices is not None:
        # The upstream, too, aggregates bars that are adjusted, and not the other way round.
        parts = prices.adjusted(parts)
    bars = aggregate(dataset, period, parts, evidence or Evidence(SystemClock().now()))
    if window is not None:
        first, last = pa.scalar(window.start), pa.scalar(window.end)
        sessions = bars["session"]
        inside = pc.and_(pc.greater_equal(sessions, first), pc.less_equal(sessions, last))
        bars = bars.filter(inside)
    return bars.select(list(columns))


@dataclass(frozen=True, slots=True)
class _Prices:
    """How the prices of a symbol are to be given."""

    lake: BarReader
    name: str
    adjust: Adjustment
    method: AdjustMethod
    events: Iterable[ExRight] | None

    @property
    def are_raw(self) -> bool:
        return self.adjust is Adjustment.NONE

    def adjusted(self, bars: pa.Table) -> pa.Table:
        if self.are_raw or not bars.num_rows:
            return bars
        events = self.events
        if events is None:
            if not isinstance(self.lake, Lake):
                raise ValueError(
                    f"the ex-rights of {self.name} must be given: only a lake has them"
                )
            # Bars come under the present code, whichever they were asked for by.
            bearers = pc.unique(bars["symbol"].cast(pa.string())).to_pylist()
            events = read_lake_ex_rights(self.lake.root, bearers)
        return adjusted(bars, events, self.adjust, self.method)


def to_pandas(bars: pa.Table) -> "pd.DataFrame":
    """Bars as a frame with the index ``end_at``, in Asia/Shanghai."""
    return bars.to_pandas().set_index("end_at")  # type: ignore[no-any-return]
