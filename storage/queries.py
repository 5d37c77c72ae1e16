"""Reading bars as users want them."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from market.adjustments import Adjustment, AdjustMethod, ExRight
from market.bars import Dataset
from market.periods import Period
from market.sessions import Window
from storage.adjusting import adjust as adjusted
from storage.ex_right import read_lake_ex_rights
from storage.lake import Lake

if TYPE_CHECKING:
    import pandas as pd

KLINE_COLUMNS = ("end_at", "open", "high", "low", "close", "volume", "amount")


def klines(
    lake: Lake,
    name: str,
    period: Period,
    *,
    window: Window | None = None,
    dataset: Dataset = Dataset.KLINE,
    columns: Sequence[str] = KLINE_COLUMNS,
    adjust: Adjustment = Adjustment.NONE,
    method: AdjustMethod = AdjustMethod.RATIO,
    events: Iterable[ExRight] | None = None,
) -> pa.Table:
    """Bars of one symbol or board, ascending; unadjusted unless asked otherwise.

    Args:
        lake: Where bars are read.
        name: ``600519.SH``, or a board code with ``dataset=Dataset.BOARD_KLINE``.
        period: Length of the bars.
        window: Closed range of days; None: all that is held.
        dataset: Whose bars.
        columns: Which columns of the kline schema, in this order.
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
    if adjust is Adjustment.NONE or dataset is not Dataset.KLINE:
        return lake.read(dataset, period, names=[name], window=window, columns=columns)
    needed = dict.fromkeys((*columns, "symbol", "session"))
    bars = lake.read(dataset, period, names=[name], window=window, columns=list(needed))
    if events is None:
        events = read_lake_ex_rights(lake.root, [name])
    return adjusted(bars, events, adjust, method).select(columns)


def to_pandas(bars: pa.Table) -> "pd.DataFrame":
    """Bars as a frame with the index ``end_at``, in Asia/Shanghai."""
    return bars.to_pandas().set_index("end_at")  # type: ignore[no-any-return]
