"""Quotes: one row per listed symbol as of an instant, as one sweep of the upstream's list gives.

After the close a quote carries the whole raw daily bar of its symbol; before, the bar as it stands.
Its previous close is the exchange's reference price: it differs from the last raw close exactly
where the symbol went ex-right.
"""

from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from market.bars import END_AT_TYPE, BarState, Dataset, sorted_bars
from market.sessions import bar_end

_NO_TRADE = {"meaning": "CNY; null: no trade in this session"}

QUOTES_SCHEMA = pa.schema(
    [
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("close", pa.float64(), metadata={"meaning": "latest price, CNY; null: no trade"}),
        pa.field("previous_close", pa.float64(), metadata={"meaning": "CNY, ex-right adjusted"}),
        pa.field("suspended", pa.bool_(), nullable=False),
        pa.field("open", pa.float64(), metadata=_NO_TRADE),
        pa.field("high", pa.float64(), metadata=_NO_TRADE),
        pa.field("low", pa.float64(), metadata=_NO_TRADE),
        pa.field("volume", pa.int64(), metadata={"meaning": "shares of the session so far"}),
        pa.field("amount", pa.float64(), metadata={"meaning": "CNY of the session so far"}),
        pa.field("turnover_rate", pa.float64(), metadata={"meaning": "percent of the free float"}),
        pa.field("quoted_at", END_AT_TYPE, metadata={"meaning": "last change; null: not given"}),
        pa.field("listed_on", pa.date32(), metadata={"meaning": "null: not given"}),
        pa.field("industry", pa.string(), metadata={"meaning": "board name; null: not given"}),
        pa.field(
            "concepts", pa.list_(pa.string()), metadata={"meaning": "board names; null: not given"}
        ),
    ]
)
"""One row per listed A share; key ``symbol``; begins with the columns of ``SYMBOL_LIST_SCHEMA``."""

_PRICES = ("open", "high", "low", "close")


def daily_bars(
    quotes: pa.Table, session: date, *, state: BarState, source: str, fetched_at: datetime
) -> pa.Table:
    """The session's daily bars that quotes carry.

    Args:
        quotes: ``QUOTES_SCHEMA``; symbols that did not trade, or lack a number, have no bar.
        session: The session they show.
        state: Final once the session has settled.
        source: Who delivered them.
        fetched_at: When, aware.

    Returns:
        Bars in the kline schema, sorted.
    """
    whole = pc.invert(quotes["suspended"])
    for name in (*_PRICES, "volume", "amount"):
        whole = pc.and_(whole, pc.is_valid(quotes[name]))
    traded = quotes.filter(whole)
    rows = traded.num_rows
    columns = {
        "symbol": traded["symbol"],
        "session": pa.array([session] * rows, pa.date32()),
        "end_at": pa.array([bar_end(session)] * rows, END_AT_TYPE),
        **{name: traded[name] for name in (*_PRICES, "volume", "amount", "turnover_rate")},
        "state": pa.array([state.value] * rows),
        "source": pa.array([source] * rows),
        "fetched_at": pa.array([fetched_at] * rows, pa.timestamp("us", tz="UTC")),
    }
    return sorted_bars(Dataset.KLINE, pa.table(columns))
