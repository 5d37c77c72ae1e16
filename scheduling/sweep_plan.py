"""Which daily bars of a sweep of quotes can be taken; all other symbols are fetched singly.

One sweep of about 55 requests carries the bar of every listed symbol. A symbol's is taken where it
continues what is held: all sessions that the run asks for before it are covered, and the quote's
previous close is the close held. A previous close that differs shows an ex-right, or a bar that is
wrong or missing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from storage.coverage import Coverage
from storage.held import LastBar

_CENT = 0.005
_STALE_SHARE = 2
"""Where one in so many quotes repeats the bar of the session before, all of them are that one's."""


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What a sweep settles.

    Attributes:
        bars: Symbols whose bar is taken.
        idle: Symbols that it shows not to have traded, all sessions before covered.
        new: Those of ``bars`` that were listed on this very session: nothing lies before it.
        notices: What a person should know.
    """

    bars: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def plan_sweep(
    quotes: pa.Table,
    *,
    session: date,
    before: date,
    sound: Sequence[bool],
    held: Mapping[str, LastBar],
    coverage: Mapping[str, Coverage],
    lacking: Collection[str],
    listed_on: Mapping[str, date],
) -> SweepPlan:
    """Choose among the bars of a sweep.

    Args:
        quotes: ``QUOTES_SCHEMA``.
        session: The session that they show.
        before: The session before.
        sound: Of each quote, whether its bar keeps every rule.
        held: Last final bar before the session, by symbol.
        coverage: Of daily bars, by symbol.
        lacking: Symbols that lack a session asked for before this one: one fetch brings both.
        listed_on: Symbols whose first session is proven.
    """
    shown = quotes.select(["symbol", "previous_close", "suspended", "close", "volume", "listed_on"])
    days = pc.cast(pc.local_timestamp(quotes["quoted_at"]), pa.date32()).to_pylist()
    bars, idle, new = [], [], []
    compared = repeated = 0
    for row, quoted_on, is_sound in zip(shown.to_pylist(), days, sound, strict=True):
        name, last = row["symbol"], held.get(row["symbol"])
        ranges = coverage[name].ranges if name in coverage else ()
        is_new = not ranges and session in (row["listed_on"], listed_on.get(name))
        is_next = bool(ranges) and ranges[-1].end == before and name not in lacking
        if not (is_new or is_next):
            continue
        if row["suspended"]:
            idle += [name] if is_next else []
            continue
        if last is not None and last.session == before:
            compared += 1
            repeated += (row["close"], row["volume"]) == (last.close, last.volume)
        if not is_sound or quoted_on not in (None, session):
            continue
        if is_new or _continues(last, row["previous_close"]):
            bars.append(name)
            new += [name] if is_new else []
    if repeated * _STALE_SHARE > compared:
        notice = (
            f"{repeated} of {compared} quotes repeat the bars of {before}: the list shows that "
            f"session still, and no bar of {session} was taken from it"
        )
        return SweepPlan(notices=(notice,))
    if len(idle) > len(bars):
        # Quotes that were reset before the open show no trade of anybody.
        idle = []
    return SweepPlan(tuple(bars), tuple(idle), tuple(new))


def _continues(last: LastBar | None, previous_close: float | None) -> bool:
    return (
        last is not None and previous_close is not None and abs(last.close - previous_close) < _CENT
    )
