"""Bar invariants: which rows may be stored as good, and why the others may not."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from market.bars import BarState, Dataset
from market.finality import has_ended
from market.periods import Period
from market.sessions import SETTLED_AT, TradingCalendar, bar_end_times

_Mask = npt.NDArray[np.bool_]
_Floats = npt.NDArray[np.float64]

_AUCTION = (9, 30)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What validation decided.

    Attributes:
        accepted: Rows that keep every invariant, sorted by key.
        rejected: The other rows, with a ``reasons`` column naming every invariant they break.
    """

    accepted: pa.Table
    rejected: pa.Table

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows break each invariant."""
        counts: Counter[str] = Counter()
        for text in self.rejected["reasons"].to_pylist():
            counts.update(text.split(","))
        return dict(counts)


def validate_bars(
    dataset: Dataset, period: Period, bars: pa.Table, calendar: TradingCalendar
) -> Verdict:
    """Part the rows that keep every bar invariant from those that do not.

    The invariants: prices finite and positive; ``low <= open, close <= high``; volume and amount
    finite and not negative; one row per key; the session is one of the exchange's and the bar ends
    where a bar of the period ends; and for symbols, ``amount / volume`` lies within
    ``[low, high]``, which a wrong unit (lots for shares) cannot pass.

    Args:
        dataset: Whose bars.
        period: Length of the bars.
        bars: Rows in the dataset's schema, in any order.
        calendar: The sessions that exist.
    """
    checks: list[tuple[str, _Mask]] = [
        ("price_not_positive", _price_not_positive(bars)),
        ("ohlc_order", _ohlc_order(bars)),
        ("volume_or_amount_negative", _negative_activity(bars)),
        ("duplicate", _duplicates(dataset, bars)),
        ("not_a_session", _mask(bars["session"], calendar.is_session)),
        ("not_a_bar_end", _off_grid(period, bars)),
    ]
    if dataset is Dataset.KLINE:
        checks.append(("amount_volume_unit", _unit_mismatch(bars)))
    bad = np.logical_or.reduce([mask for _, mask in checks]) if bars.num_rows else np.zeros(0, bool)
    rejected = bars.filter(pa.array(bad))
    reasons = [",".join(name for name, mask in checks if mask[row]) for row in np.flatnonzero(bad)]
    return Verdict(
        accepted=bars.filter(pa.array(~bad)),
        rejected=rejected.append_column("reasons", pa.array(reasons, pa.string())),
    )


def _floats(bars: pa.Table, name: str) -> _Floats:
    column = bars[name].cast(pa.float64())
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _price_not_positive(bars: pa.Table) -> _Mask:
    known = [_floats(bars, name) for name in ("high", "low", "close")]
    opens = _floats(bars, "open")
    bad = ~np.logical_and.reduce([np.isfinite(p) & (p > 0) for p in known])
    return np.asarray(bad | (~np.isnan(opens) & ~(np.isfinite(opens) & (opens > 0))), bool)


def _ohlc_order(bars: pa.Table) -> _Mask:
    opens, high, low, close = (_floats(bars, n) for n in ("open", "high", "low", "close"))
    opens = np.where(np.isnan(opens), close, opens)
    return np.asarray((low > np.minimum(opens, close)) | (high < np.maximum(opens, close)), bool)


def _negative_activity(bars: pa.Table) -> _Mask:
    volume, amount = _floats(bars, "volume"), _floats(bars, "amount")
    good = np.isfinite(volume) & np.isfinite(amount) & (volume >= 0) & (amount >= 0)
    return np.asarray(~good, bool)


def _duplicates(dataset: Dataset, bars: pa.Table) -> _Mask:
    if not bars.num_rows:
        return np.zeros(0, bool)
    keys = pa.StructArray.from_arrays(
        [
            bars[dataset.key].cast(pa.string()).combine_chunks(),
            bars["end_at"].combine_chunks().cast(pa.int64()),
        ],
        ["key", "end_at"],
    )
    seen: set[tuple[str, int]] = set()
    repeated: set[tuple[str, int]] = set()
    rows = [(row["key"], row["end_at"]) for row in keys.to_pylist()]
    for row in rows:
        (repeated if row in seen else seen).add(row)
    # Which of two different rows is right cannot be told, so neither is taken as good.
    return np.fromiter((row in repeated for row in rows), bool, len(rows))


def _mask(column: pa.ChunkedArray, holds: Callable[[date], bool]) -> _Mask:
    answers = {day: holds(day) for day in pc.unique(column).to_pylist()}
    return np.fromiter((not answers[d] for d in column.to_pylist()), bool, len(column))


def _off_grid(period: Period, bars: pa.Table) -> _Mask:
    ends = {(t.hour, t.minute) for t in bar_end_times(period)}
    if period is Period.M1:
        ends.add(_AUCTION)  # the opening call auction has a bar of its own
    local = bars["end_at"].combine_chunks()
    hours, minutes = pc.hour(local).to_pylist(), pc.minute(local).to_pylist()
    seconds = pc.second(local).to_pylist()
    days = pc.equal(
        pc.cast(pc.local_timestamp(local), pa.date32()), bars["session"].combine_chunks()
    ).to_pylist()
    return np.fromiter(
        (
            (h, m) not in ends or s != 0 or not same_day
            for h, m, s, same_day in zip(hours, minutes, seconds, days, strict=True)
        ),
        bool,
        bars.num_rows,
    )


def _unit_mismatch(bars: pa.Table) -> _Mask:
    """Rows whose average price lies outside the bar.

    Volume comes in whole lots of 100, so up to one lot on either side is rounding; prices come in
    hundredths, so is a cent.
    """
    volume, amount = _floats(bars, "volume"), _floats(bars, "amount")
    low, high = _floats(bars, "low") - 0.01, _floats(bars, "high") + 0.01
    traded = volume > 0
    too_little = amount < low * np.maximum(volume - 100, 0)
    too_much = amount > high * (volume + 100)
    return np.asarray(traded & (too_little | too_much), bool)


def bar_states(
    bars_end_at: pa.ChunkedArray, asked_at: datetime, settled_at: time = SETTLED_AT
) -> pa.ChunkedArray:
    """State of each bar: final once its period had ended, and settled, when it was asked for.

    A bar settles a minute after its end; the session's last, which takes the closing auction, at
    ``settled_at``. The request's own instant counts, so a bar that ended while the answer was under
    way is still provisional.

    Args:
        bars_end_at: Ends of the bars.
        asked_at: Exchange time just before the request was sent.
        settled_at: When the bars of a session's close no longer move, Shanghai time.
    """
    ended = has_ended(bars_end_at, asked_at, settled_at)
    return pc.if_else(ended, BarState.FINAL.value, BarState.PROVISIONAL.value)
