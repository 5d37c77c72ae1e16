"""What is held beside what should be: how many series lack each of the latest sessions."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate

from market.bars import Dataset
from market.sessions import Window
from pipeline.freshness import Held, read_held
from pipeline.gap_runs import latest_settled
from pipeline.runtime import Runtime
from storage.coverage import Coverage, read_coverage


@dataclass(frozen=True, slots=True)
class Freshness:
    """What is held of a dataset and period beside what should be.

    Attributes:
        held: As :func:`read_held` says.
        late: How many sessions have settled since the newest complete one; 0: nothing is late.
        listed: How many series there are now, as the latest lists name them; series that were
            fetched, where no list is held.
        days: The latest settled sessions, ascending: how many of the listed series are complete.
    """

    held: Held
    late: int
    listed: int
    days: tuple[tuple[date, int], ...]

    @property
    def lacking(self) -> int:
        """How many listed series lack the newest session that any has complete."""
        return max(0, self.listed - self.reached)

    @property
    def reached(self) -> int:
        """How many listed series are complete in the newest session that any has complete."""
        return next((n for day, n in self.days[::-1] if day <= self.held.complete_to), 0)


def read_freshness(
    runtime: Runtime, upstream: str, sessions: int = 20
) -> tuple[date, list[Freshness]]:
    """What is held, against the sessions that have settled.

    Args:
        runtime: The stores.
        upstream: Whose clock says which session is settled.
        sessions: How many of them to look at.

    Returns:
        The latest settled session, and a row each of what is held.

    Raises:
        StorageError: The database cannot be used.
    """
    settled, calendar = latest_settled(runtime, upstream), runtime.calendar
    days = calendar.sessions_in(Window(calendar.offset(settled, 1 - sessions), settled))
    names = {
        Dataset.KLINE: {row.symbol for row in runtime.catalog.symbols()},
        Dataset.BOARD_KLINE: {row.code for row in runtime.catalog.boards()},
    }
    rows = []
    for held in read_held(runtime.database):
        series = read_coverage(runtime.database, held.dataset.value, held.period.value)
        listed = names[held.dataset] or set(series)
        rows.append(
            Freshness(
                held,
                held.lag(settled, calendar),
                len(listed),
                tuple(zip(days, _complete_on(days, series, listed), strict=True)),
            )
        )
    return settled, rows


def _complete_on(
    days: Sequence[date], series: Mapping[str, Coverage], listed: Collection[str]
) -> Iterable[int]:
    """How many listed series are complete, day by day."""
    steps: Counter[int] = Counter()
    for name, coverage in series.items():
        if name not in listed:
            continue
        for window in coverage.ranges:
            steps[bisect_left(days, window.start)] += 1
            steps[bisect_right(days, window.end)] -= 1
    return accumulate(steps[at] for at in range(len(days)))
