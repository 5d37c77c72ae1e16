"""Reading bars as users want them."""

import pyarrow as pa

from market.bars import Dataset
from market.periods import Period
from market.sessions import Window
from storage.lake import Lake

KLINE_COLUMNS = ("end_at", "open", "high", "low", "close", "volume", "amount")


def klines(
    lake: Lake,
    name: str,
    period: Period,
    *,
    window: Window | None = None,
    dataset: Dataset = Dataset.KLINE,
) -> pa.Table:
    """Unadjusted bars of one symbol or board, ascending.

    Args:
        lake: Where bars are read.
        name: ``600519.SH``, or a board code with ``dataset=Dataset.BOARD_KLINE``.
        period: Length of the bars.
        window: Closed range of days; None: all that is held.
        dataset: Whose bars.

    Returns:
        ``end_at`` (Asia/Shanghai), prices in CNY, ``volume`` in shares, ``amount`` in CNY.

    Raises:
        CorruptFileError: A partition is no readable Parquet file.
    """
    bars = lake.read(dataset, period, names=[name], window=window)
    return bars.select(KLINE_COLUMNS)
