"""The clock of Shanghai on whole columns: Arrow looks at each instant, which most need not."""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]

DAY_S = 86_400
_AHEAD_S = 8 * 3600
_NO_SUMMER_TIME_FROM_S = int(datetime(1992, 1, 1, tzinfo=UTC).timestamp())
"""From then on it has been eight hours ahead, without exception."""


def instants(local: Ints) -> Ints:
    """Epoch seconds of what the clock shows, given as seconds since 1970 there."""
    if not len(local) or local.min() >= _NO_SUMMER_TIME_FROM_S:
        return np.asarray(local - _AHEAD_S, np.int64)
    known = pc.assume_timezone(pa.array(local).cast(pa.timestamp("s")), "Asia/Shanghai")
    return np.asarray(known.cast(pa.int64()).to_numpy(), np.int64)


def shown_at(ends: Ints) -> Ints:
    """What the clock shows at epoch seconds, as seconds since 1970 there."""
    if not len(ends) or ends.min() >= _NO_SUMMER_TIME_FROM_S:
        return np.asarray(ends + _AHEAD_S, np.int64)
    local = pc.local_timestamp(pa.array(ends).cast(pa.timestamp("s", tz="Asia/Shanghai")))
    return np.asarray(local.cast(pa.int64()).to_numpy(), np.int64)
