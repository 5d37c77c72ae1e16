"""Which backups are kept: the newest of each of the last days, weeks and months that have one.

A newer backup takes an older one's place only if it holds about as much: one of a database that was
lost meanwhile is as new as any, and worth nothing.
"""

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime

from market.clock import in_shanghai
from storage.ex_right_tables import ex_right
from storage.tables import KLINE_TABLES, board, board_member, symbol

_WEIGHED = (
    *(table.name for table in KLINE_TABLES.values()),
    *(table.name for table in (symbol, board, board_member, ex_right)),
)
"""Tables that only grow, or nearly so: no retention of the ledger makes them small."""


@dataclass(frozen=True, slots=True)
class Keep:
    """How many backups are kept; days begin at midnight in Shanghai, weeks on Mondays.

    Attributes:
        daily: So many days with a backup keep their newest one.
        weekly: So many weeks.
        monthly: So many months.
    """

    daily: int = 7
    weekly: int = 4
    monthly: int = 12


def loss(newer: Mapping[str, int], older: Mapping[str, int]) -> str | None:
    """The table of which a newer backup holds fewer than half of the rows; None if of none.

    Args:
        newer: Rows of each table; one that is not named has none.
        older: The same of the one that it would stand for.
    """
    lost = (name for name in _WEIGHED if 2 * newer.get(name, 0) < older.get(name, 0))
    return next(lost, None)


def _any_stands(_newer: datetime, _older: datetime) -> bool:
    return True


def kept(
    made_at: Collection[datetime],
    keep: Keep,
    stands_for: Callable[[datetime, datetime], bool] = _any_stands,
) -> set[datetime]:
    """Which of the backups made at these instants are kept; the newest always is.

    Each rule looks at all of them, so that one backup may stand for its day, its week and its
    month.

    Args:
        made_at: The instants.
        keep: How many.
        stands_for: Whether a newer one may stand for an older one of its span; where it may not,
            both are kept.
    """
    newest_first = sorted(made_at, reverse=True)
    chosen = set(newest_first[:1])
    rules: tuple[tuple[int, Callable[[datetime], Hashable]], ...] = (
        (keep.daily, lambda at: in_shanghai(at).date()),
        (keep.weekly, lambda at: in_shanghai(at).isocalendar()[:2]),
        (keep.monthly, lambda at: (in_shanghai(at).year, in_shanghai(at).month)),
    )
    for count, span_of in rules:
        of_span: dict[Hashable, list[datetime]] = {}
        for at in newest_first:
            standing = of_span.setdefault(span_of(at), [])
            if not any(stands_for(newer, at) for newer in standing):
                standing.append(at)
        for standing in list(of_span.values())[:count]:
            chosen.update(standing)
    return chosen
