"""How far each dataset and period is complete, by itself and against the calendar."""

from dataclasses import dataclass
from datetime import date

from market.bars import Dataset
from market.periods import FETCHED_PERIODS, Period
from market.sessions import TradingCalendar, Window
from storage.coverage import read_coverage
from storage.database import Database


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of a dataset and period.

    Attributes:
        series: How many series have anything complete.
        complete_from: The first session of the longest.
        complete_to: The newest session that any of them is complete up to.
        behind: How many end earlier: suspended, delisted, or not fetched since.
    """

    dataset: Dataset
    period: Period
    series: int
    complete_from: date
    complete_to: date
    behind: int

    def lag(self, settled: date, calendar: TradingCalendar) -> int:
        """How many sessions have settled since the newest complete one; 0: nothing is late."""
        if settled <= self.complete_to:
            return 0
        return len(calendar.sessions_in(Window(self.complete_to, settled))) - 1


def read_held(database: Database) -> list[Held]:
    """What is held, in the order of datasets and periods.

    Raises:
        StorageError: The database cannot be used.
    """
    rows = []
    for dataset in Dataset:
        for period in FETCHED_PERIODS:
            series = read_coverage(database, dataset.value, period.value)
            marks = [c.watermark for c in series.values() if c.watermark is not None]
            if marks:
                newest = max(marks)
                first = min(c.ranges[0].start for c in series.values())
                behind = sum(1 for mark in marks if mark < newest)
                rows.append(Held(dataset, period, len(marks), first, newest, behind))
    return rows
