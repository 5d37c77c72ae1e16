"""Bars: the one schema in which klines travel between packages and lie in the lake.

======================  =========================  ==============================================
column                  type                       meaning
======================  =========================  ==============================================
symbol (board)          dictionary<string>         ``600519.SH``; board klines: ``BK0477``
session                 date32                     the trading day the bar belongs to
end_at                  timestamp[s, Shanghai]     end of the bar: daily 15:00, 5m 09:35 … 15:00
open high low close     float64                    CNY, unadjusted (boards: index points)
volume                  int64                      shares (Eastmoney's lots × 100)
amount                  float64                    CNY
turnover_rate           float64, nullable          percent of the free float
state                   dictionary<string>         ``provisional``/``final``, by the exchange clock
source                  dictionary<string>         who delivered it, e.g. ``eastmoney``
fetched_at              timestamp[us, UTC]         when
======================  =========================  ==============================================

Key: ``(symbol, end_at)`` within a period. Sorted by key. ``open`` is null where the upstream does
not give it (1m bars of all sessions but the latest).
"""

from enum import StrEnum
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

import market.arrow  # noqa: F401 - before the first array, wherever there are bars


class Dataset(StrEnum):
    """Which klines: those of symbols or those of boards."""

    KLINE = "kline"
    BOARD_KLINE = "board_kline"

    @property
    def key(self) -> str:
        """Name of the column that says whose bar it is."""
        return "symbol" if self is Dataset.KLINE else "board"


class BarState(StrEnum):
    """Whether a bar can still change."""

    PROVISIONAL = "provisional"
    FINAL = "final"


END_AT_TYPE = pa.timestamp("s", tz="Asia/Shanghai")
FETCHED_AT_TYPE = pa.timestamp("us", tz="UTC")
_TEXT = pa.dictionary(pa.int32(), pa.string())

PRICE_COLUMNS = ("open", "high", "low", "close")
VALUE_COLUMNS = (*PRICE_COLUMNS, "volume", "amount", "turnover_rate")
"""The columns that make two bars of one key equal or different."""


def _field(name: str, kind: pa.DataType, meaning: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"meaning": meaning})


@lru_cache(maxsize=2)
def bar_schema(dataset: Dataset) -> pa.Schema:
    """The schema of a dataset's bars, units and meaning in the field metadata."""
    price = "CNY, unadjusted" if dataset is Dataset.KLINE else "index points"
    return pa.schema(
        [
            _field(dataset.key, _TEXT, f"{dataset.key} code"),
            _field("session", pa.date32(), "trading day"),
            _field("end_at", END_AT_TYPE, "end of the bar, Asia/Shanghai"),
            _field("open", pa.float64(), f"{price}; null if not given upstream", nullable=True),
            _field("high", pa.float64(), price),
            _field("low", pa.float64(), price),
            _field("close", pa.float64(), price),
            _field("volume", pa.int64(), "shares"),
            _field("amount", pa.float64(), "CNY"),
            _field("turnover_rate", pa.float64(), "percent of the free float", nullable=True),
            _field("state", _TEXT, "provisional or final"),
            _field("source", _TEXT, "who delivered it"),
            _field("fetched_at", FETCHED_AT_TYPE, "when it was fetched, UTC"),
        ]
    )


def sorted_bars(dataset: Dataset, bars: pa.Table) -> pa.Table:
    """Bars in the dataset's schema, sorted by key.

    Raises:
        ValueError: A column is missing, or its values do not fit the schema.
    """
    schema = bar_schema(dataset)
    missing = set(schema.names) - set(bars.column_names)
    if missing:
        raise ValueError(f"bars lack the columns {sorted(missing)}")
    if getattr(bars.schema.field("end_at").type, "tz", None) is None:
        # Arrow would read it as UTC and shift every bar by eight hours.
        raise ValueError("the end_at of bars has no time zone: expected Asia/Shanghai")
    # A dictionary sorts by its codes, so sort on the plain text.
    order = pc.sort_indices(
        pa.table({"key": bars[dataset.key].cast(pa.string()), "end_at": bars["end_at"]}),
        sort_keys=[("key", "ascending"), ("end_at", "ascending")],
    )
    return bars.select(schema.names).take(order).cast(schema)
