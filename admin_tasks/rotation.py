"""Which backups are kept: the newest of each of the last days, weeks and months that have one."""

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from datetime import datetime

from market.clock import in_shanghai


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


def kept(made_at: Collection[datetime], keep: Keep) -> set[datetime]:
    """Which of the backups made at these instants are kept; the newest always is.

    Each rule looks at all of them, so that one backup may stand for its day, its week and its
    month.
    """
    newest_first = sorted(made_at, reverse=True)
    chosen = set(newest_first[:1])
    rules: tuple[tuple[int, Callable[[datetime], Hashable]], ...] = (
        (keep.daily, lambda at: in_shanghai(at).date()),
        (keep.weekly, lambda at: in_shanghai(at).isocalendar()[:2]),
        (keep.monthly, lambda at: (in_shanghai(at).year, in_shanghai(at).month)),
    )
    for count, span_of in rules:
        newest_of: dict[Hashable, datetime] = {}
        for at in newest_first:
            newest_of.setdefault(span_of(at), at)
        chosen.update(list(newest_of.values())[:count])
    return chosen
