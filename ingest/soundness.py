"""Many answers looked at together: most have no fault, and that is told of thousands at a time.

What may have one goes to :mod:`ingest.validation`, which names every rule that is broken. The two
must never disagree: an answer without doubt here keeps every rule there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingest.activity import Mask, floats
from ingest.continuity import breaks
from ingest.validation import (
    Evidence,
    negative_activity,
    no_session,
    off_grid,
    ohlc_order,
    price_not_positive,
    row_ends,
    sessions_of_rows,
    sound_alone,
)
from market.bars import Dataset
from market.periods import Period
from market.sessions import TradingCalendar


@dataclass(frozen=True, slots=True)
class Series:
    """The bars of one answer, and what is known of it.

    Attributes:
        bars: Of one symbol or board, in the dataset's schema.
        evidence: What else is known.
    """

    bars: pa.Table
    evidence: Evidence


def in_doubt(
    dataset: Dataset, period: Period, series: Sequence[Series], calendar: TradingCalendar
) -> list[bool]:
    """Which answers may have a row that breaks a rule; the others have none.

    Args:
        dataset: Whose bars.
        period: Length of the bars.
        series: The answers.
        calendar: The sessions that exist.
    """
    if not series:
        return []
    bars = pa.concat_tables([each.bars for each in series])
    lengths = [each.bars.num_rows for each in series]
    owner = np.repeat(np.arange(len(series)), lengths)
    odd = price_not_positive(bars) | ohlc_order(bars)
    odd |= no_session(dataset, bars, calendar) | off_grid(period, bars)
    odd |= _outside(bars, series, lengths) | _out_of_order(bars, owner)
    if dataset is Dataset.KLINE:
        odd |= ~sound_alone(period, bars) | _broken(bars, series, owner)
        if period.is_intraday:
            odd |= floats(bars, "volume") == 0  # in a whole session of them, no trade at all
    else:
        odd |= negative_activity(bars)
    doubted = np.bincount(owner[odd], minlength=len(series)) > 0
    return [bool(each) for each in doubted]


def _outside(bars: pa.Table, series: Sequence[Series], lengths: Sequence[int]) -> Mask:
    windows = [each.evidence.window for each in series]
    never, ever = np.datetime64("0001-01-01"), np.datetime64("9999-12-31")
    first = np.array([np.datetime64(w.start) if w else never for w in windows], "datetime64[D]")
    last = np.array([np.datetime64(w.end) if w else ever for w in windows], "datetime64[D]")
    days = sessions_of_rows(bars)
    outside = (days < np.repeat(first, lengths)) | (days > np.repeat(last, lengths))
    return np.asarray(outside, bool)


def _out_of_order(bars: pa.Table, owner: npt.NDArray[np.int64]) -> Mask:
    """Rows that do not end after the one before them: repeated, or to be sorted first."""
    late = np.zeros(len(owner), bool)
    late[1:] = (np.diff(row_ends(bars)) <= 0) & (np.diff(owner) == 0)
    return late


def _broken(bars: pa.Table, series: Sequence[Series], owner: npt.NDArray[np.int64]) -> Mask:
    """Rows that do not continue the one before them, or the close held before the first one."""
    close, unknown = floats(bars, "close"), np.nan
    changes = [
        floats(pa.Table.from_arrays([each.evidence.changes], ["change"]), "change")
        if each.evidence.changes is not None
        else np.full(each.bars.num_rows, unknown)
        for each in series
    ]
    before = np.full(len(close), unknown)
    before[1:] = np.where(np.diff(owner) == 0, close[:-1], unknown)
    begins = np.flatnonzero(np.append(True, np.diff(owner) != 0))[: len(close)]
    held = [each.evidence.held_close for each in series if each.bars.num_rows]
    before[begins] = [unknown if one is None else one for one in held]
    return breaks(close, np.concatenate(changes), before)
