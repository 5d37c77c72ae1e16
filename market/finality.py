"""When a bar can no longer change: by the exchange clock, never by its position in an answer."""

from datetime import datetime, time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from market.clock import in_shanghai
from market.sessions import SETTLED_AT, bar_end

SETTLING_S = 60
"""Seconds from a bar's end until the upstream no longer touches it."""


def has_ended(
    end_at: pa.Array | pa.ChunkedArray, now: datetime, settled_at: time = SETTLED_AT
) -> pa.Array | pa.ChunkedArray:
    """Whether the period of each bar had ended, and settled, at an instant.

    A bar settles a minute after its end, the 09:30 auction of 1m bars included; one that ends at
    the session's close takes the closing auction, and settles at ``settled_at``.

    Args:
        end_at: Ends of the bars.
        now: Exchange time.
        settled_at: When the bars of a session's close no longer move, Shanghai time.

    Raises:
        ValueError: ``now`` has no time zone.
    """
    ends = end_at.cast(pa.int64())
    instant, close = _settling(now, settled_at)
    ended = pc.less_equal(ends, instant - SETTLING_S)
    return ended if close is None else pc.and_(ended, pc.not_equal(ends, close))


def have_ended(ends: Any, now: datetime, settled_at: time = SETTLED_AT) -> Any:
    """The same of a NumPy array of ends, epoch seconds: for answers that are read by the thousand.

    Raises:
        ValueError: ``now`` has no time zone.
    """
    instant, close = _settling(now, settled_at)
    ended = ends <= instant - SETTLING_S
    return ended if close is None else ended & (ends != close)


def _settling(now: datetime, settled_at: time) -> tuple[int, int | None]:
    """An instant, and the close of its day if bars that end then still move; epoch seconds."""
    today, instant = in_shanghai(now).date(), int(now.timestamp())
    settled = instant >= int(bar_end(today, settled_at).timestamp())
    return instant, None if settled else int(bar_end(today).timestamp())
