"""Reading bars as users want them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from market.bars import Dataset
from market.periods import Period
from market.sessions import Window
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
) -> pa.Table:
    """Unadjusted bars of one symbol or board, ascending.

    Args:
        lake: Where bars are read.
        name: ``600519.SH``, or a board code with ``dataset=Dataset.BOARD_KLINE``.
        period: Length of the bars.
        window: Closed range of days; None: all that is held.
        dataset: Whose bars.
        columns: Which columns of the kline schema, in this order.

    Returns:
        By default ``end_at`` (Asia/Shanghai), prices in CNY, ``volume`` in shares, ``amount`` in
        CNY.

    Raises:
        CorruptFileError: A partition is no readable Parquet file.
    """
    return lake.read(dataset, period, names=[name], window=window, columns=columns)


def to_pandas(bars: pa.Table) -> "pd.DataFrame":
    """Bars as a frame with the index ``end_at``, in Asia/Shanghai."""
    return bars.to_pandas().set_index("end_at")  # type: ignore[no-any-return]
