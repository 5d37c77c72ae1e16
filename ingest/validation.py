"""Bar invariants: which rows may be stored as good, and why the others may not."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, time
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.activity import Mask, floats, judge_activity
from ingest.continuity import adjusted_stretches, link, wrong_unit_stretches
from ingest.shanghai import DAY_S, shown_at
from market.bars import BarState, Dataset
from market.extra_sessions import traded
from market.finality import has_ended
from market.periods import Period
from market.sessions import (
    SETTLED_AT,
    TradingCalendar,
    Window,
    bar_end_times,
)

_AUCTION = (9, 30)
_END_BITS = 36  # epoch seconds stay below 2**36 for 2,000 years
_SHENZHEN = ".SZ"

RULES = MappingProxyType(
    {
        "price_not_positive": "a price is zero, negative or no number",
        "ohlc_order": "low above, or high below, open or close",
        "volume_or_amount_negative": "volume or amount is negative or no number",
        "duplicate": "another row has the same end",
        "not_a_session": "the exchange did not trade on that day",
        "not_a_bar_end": "no bar of the period ends then",
        "outside_window": "not within the window that was asked for",
        "no_trade": "neither volume nor amount: a suspension filled in",
        "amount_missing": "volume without an amount",
        "shares_for_lots": "shares came where lots are due: the volume is a hundredfold",
        "lots_for_shares": "lots were divided once more: the volume is a hundredth",
        "average_price": "amount / volume lies outside [low, high]",
        "adjusted_prices": "prices are adjusted where raw ones were asked for",
        "change_disagrees": "close minus change is not the close of the bar before",
        "held_close_disagrees": "close minus change is not the close held of the session before",
    }
)
"""Every rule by its name, and what a row that breaks it shows."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a fetch beside its bars.

    Attributes:
        window: Sessions that were asked for; None: bars of any are taken.
        changes: Close minus previous raw close as the upstream gives it, CNY, row by row; None, or
            null in a row, where it gives none.
        held_close: Final raw close held of the session right before the first bar, CNY.
    """

    window: Window | None = None
    changes: pa.ChunkedArray | None = None
    held_close: float | None = None


NO_EVIDENCE = Evidence()


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
    dataset: Dataset,
    period: Period,
    bars: pa.Table,
    calendar: TradingCalendar,
    evidence: Evidence = NO_EVIDENCE,
) -> Verdict:
    """Part the rows that keep every rule of :data:`RULES` from those that do not.

    Of boards, whose prices are points and whose amounts are sums, only the rules of prices and time
    are asked.

    Args:
        dataset: Whose bars.
        period: Length of the bars.
        bars: Rows of one series in the dataset's schema, in any order.
        calendar: The sessions that exist.
        evidence: What else is known.
    """
    checks: list[tuple[str, Mask]] = [
        ("price_not_positive", price_not_positive(bars)),
        ("ohlc_order", ohlc_order(bars)),
        ("duplicate", _duplicates(dataset, bars)),
        ("not_a_session", no_session(dataset, bars, calendar)),
        ("not_a_bar_end", off_grid(period, bars)),
        ("outside_window", _outside(bars, evidence.window)),
    ]
    if dataset is Dataset.KLINE:
        checks += _series_checks(period, bars, evidence, _any(checks, bars))
    else:
        checks.append(("volume_or_amount_negative", negative_activity(bars)))
    bad = _any(checks, bars)
    if not bad.any():
        return all_accepted(bars)
    rejected = bars.filter(pa.array(bad))
    reasons = [",".join(name for name, mask in checks if mask[row]) for row in np.flatnonzero(bad)]
    return Verdict(
        accepted=bars.filter(pa.array(~bad)),
        rejected=rejected.append_column("reasons", pa.array(reasons, pa.string())),
    )


def all_accepted(bars: pa.Table) -> Verdict:
    """The verdict on bars that keep every rule."""
    return Verdict(bars, bars.slice(0, 0).append_column("reasons", pa.nulls(0, pa.string())))


def sound_alone(period: Period, bars: pa.Table) -> Mask:
    """Which bars keep every rule that a bar breaks by itself; of any number of series.

    Args:
        period: Length of the bars.
        bars: Symbols' bars in the kline schema.
    """
    prices = price_not_positive(bars) | ohlc_order(bars)
    activity = judge_activity(period, bars, ~prices)
    odd = (
        activity.negative
        | activity.no_trade
        | activity.amount_missing
        | activity.shares_for_lots
        | activity.lots_for_shares
        | activity.average_price
    )
    return np.asarray(~(prices | odd), bool)


def _any(checks: list[tuple[str, Mask]], bars: pa.Table) -> Mask:
    none: Mask = np.zeros(bars.num_rows, bool)
    return np.asarray(np.logical_or.reduce([none, *(mask for _, mask in checks)]), bool)


def _series_checks(
    period: Period, bars: pa.Table, evidence: Evidence, misplaced: Mask
) -> list[tuple[str, Mask]]:
    """What only the bars of a symbol together show; ``misplaced`` broke a rule of its own."""
    activity = judge_activity(period, bars, ~misplaced)
    own = [
        ("volume_or_amount_negative", activity.negative),
        ("no_trade", activity.no_trade),
        ("amount_missing", activity.amount_missing),
    ]
    usable = ~_any([("", misplaced), *own], bars)
    order = np.argsort(row_ends(bars), kind="stable")
    changes = _changes(bars, evidence)
    links = link(floats(bars, "close")[order], changes[order], usable[order], evidence.held_close)
    place = np.argsort(order)
    chain = links.chain[place]
    signs = activity.average_price | _negative_price(bars)
    adjusted = adjusted_stretches(chain, signs)
    # An adjusted price near zero looks as if a unit were wrong.
    units = {
        name: (wrong_unit_stretches(chain, mask, activity.judged) | mask) & ~adjusted
        for name, mask in (
            ("shares_for_lots", activity.shares_for_lots),
            ("lots_for_shares", activity.lots_for_shares),
        )
    }
    return [
        *own,
        *units.items(),
        ("average_price", activity.average_price),
        ("adjusted_prices", adjusted),
        ("change_disagrees", links.disagree[place]),
        ("held_close_disagrees", links.held_broken[place]),
    ]


def _changes(bars: pa.Table, evidence: Evidence) -> npt.NDArray[np.float64]:
    if evidence.changes is None:
        return np.full(bars.num_rows, np.nan)
    return floats(pa.Table.from_arrays([evidence.changes], ["change"]), "change")


def _negative_price(bars: pa.Table) -> Mask:
    lowest = np.fmin.reduce([floats(bars, name) for name in ("open", "high", "low", "close")])
    return np.asarray(lowest < 0, bool)


def price_not_positive(bars: pa.Table) -> Mask:
    """Bars with a price that is none, or not above zero; ``open`` may be unknown."""
    known = [floats(bars, name) for name in ("high", "low", "close")]
    opens = floats(bars, "open")
    bad = ~np.logical_and.reduce([np.isfinite(p) & (p > 0) for p in known])
    return np.asarray(bad | (~np.isnan(opens) & ~(np.isfinite(opens) & (opens > 0))), bool)


def ohlc_order(bars: pa.Table) -> Mask:
    """Bars whose low is above, or whose high is below, their open or close."""
    opens, high, low, close = (floats(bars, n) for n in ("open", "high", "low", "close"))
    opens = np.where(np.isnan(opens), close, opens)
    return np.asarray((low > np.minimum(opens, close)) | (high < np.maximum(opens, close)), bool)


def negative_activity(bars: pa.Table) -> Mask:
    """Bars with a negative volume or amount, or none."""
    volume, amount = floats(bars, "volume"), floats(bars, "amount")
    good = np.isfinite(volume) & np.isfinite(amount) & (volume >= 0) & (amount >= 0)
    return np.asarray(~good, bool)


def _duplicates(dataset: Dataset, bars: pa.Table) -> Mask:
    """Of two different rows of one key it cannot be told which is right: neither is good."""
    keys, names = row_ends(bars), bars[dataset.key]
    if not all(len(chunk.dictionary) == 1 for chunk in names.chunks) or names.num_chunks > 1:
        owners = names.cast(pa.string()).combine_chunks().dictionary_encode()
        keys = keys + (owners.indices.to_numpy().astype(np.int64) << _END_BITS)
    if (np.diff(keys) > 0).all():
        return np.zeros(len(keys), bool)  # as they come, most often
    _, place, times = np.unique(keys, return_inverse=True, return_counts=True)
    return np.asarray(times[place] > 1, bool)


def no_session(dataset: Dataset, bars: pa.Table, calendar: TradingCalendar) -> Mask:
    """Bars of days on which the exchange of their symbol did not trade."""
    days = sessions_of_rows(bars)
    sessions = _sessions_of(calendar)
    at = np.minimum(np.searchsorted(sessions, days), len(sessions) - 1)
    strange = np.asarray(sessions[at] != days, bool)
    if strange.any() and dataset is Dataset.KLINE:
        names = bars[dataset.key].cast(pa.string())
        shenzhen = np.asarray(pc.ends_with(names, _SHENZHEN).to_numpy(zero_copy_only=False), bool)
        for row in np.flatnonzero(strange & shenzhen):
            strange[row] = not traded(calendar, days[row].item(), shenzhen=True)
    return strange


@lru_cache(maxsize=2)
def _sessions_of(calendar: TradingCalendar) -> npt.NDArray[np.datetime64]:
    every = Window(calendar.first_session, calendar.last_session)
    return np.array(calendar.sessions_in(every), "datetime64[D]")


def _outside(bars: pa.Table, window: Window | None) -> Mask:
    if window is None:
        return np.zeros(bars.num_rows, bool)
    days = sessions_of_rows(bars)
    early, late = days < np.datetime64(window.start), days > np.datetime64(window.end)
    return np.asarray(early | late, bool)


def off_grid(period: Period, bars: pa.Table) -> Mask:
    """Bars that end when no bar of the period ends, or not on their session."""
    ends = {(t.hour, t.minute) for t in bar_end_times(period)}
    if period is Period.M1:
        ends.add(_AUCTION)  # the opening call auction has a bar of its own
    allowed = np.array(sorted((hour * 60 + minute) * 60 for hour, minute in ends))
    days, seconds = np.divmod(shown_at(row_ends(bars)), DAY_S)
    same_day = days == sessions_of_rows(bars).astype(np.int64)
    at_an_end = seconds == allowed[0] if len(allowed) == 1 else np.isin(seconds, allowed)
    return np.asarray(~(same_day & at_an_end), bool)


def row_ends(bars: pa.Table) -> npt.NDArray[np.int64]:
    """The end of each bar, epoch seconds."""
    column = bars["end_at"]
    if column.num_chunks == 1:
        return np.asarray(column.chunk(0).view(pa.int64()).to_numpy(), np.int64)
    return np.asarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)


def sessions_of_rows(bars: pa.Table) -> npt.NDArray[np.datetime64]:
    """The session of each bar."""
    return np.asarray(bars["session"].to_numpy(zero_copy_only=False), "datetime64[D]")


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
