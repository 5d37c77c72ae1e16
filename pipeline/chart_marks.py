"""What a chart shows beside its bars: ex-rights, and places where a bar should be and is not."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby

from market.adjustments import ExRight
from market.aggregation import AGGREGATED_FROM
from market.bars import Dataset
from market.periods import Period
from market.sessions import Window, bar_end, bar_end_times
from pipeline.gap_runs import examine_gaps
from pipeline.runtime import Runtime
from storage.gaps import Reason, SeriesGaps

_NO_PLACE = frozenset({Reason.NOT_LISTED, Reason.DELISTED})
"""Sessions before and after a symbol's life: no bar belongs there."""


@dataclass(frozen=True, slots=True)
class Vacancy:
    """A place where the calendar expects a bar that is not held as final.

    Attributes:
        end_at: Where the bar would end.
        reason: Why it is not held; ``provisional``: a bar may stand there that can still change.
        says: The same for people.
    """

    end_at: datetime
    reason: Reason
    says: str


@dataclass(frozen=True, slots=True)
class Marks:
    """Marks of one series.

    Attributes:
        ex_rights: By session.
        vacancies: By instant.
        gaps: What the vacancies were made of; None: the series was never asked for.
    """

    ex_rights: tuple[ExRight, ...]
    vacancies: tuple[Vacancy, ...]
    gaps: SeriesGaps | None


def read_marks(
    runtime: Runtime, dataset: Dataset, name: str, period: Period, window: Window | None = None
) -> Marks:
    """The marks of a symbol or board within a window.

    Args:
        runtime: The stores.
        dataset: Whose bars.
        name: Under its present code.
        period: Of the bars that are shown; the places of longer ones are vacant when all sessions
            that they are made of are.
        window: Closed range of days; None: all that was ever asked for.

    Raises:
        StorageError: A store cannot be read.
    """
    upstream = runtime.settings.quantsync_upstream
    source = AGGREGATED_FROM.get(period, period)
    found = examine_gaps(runtime, upstream, source, [name])
    gaps = next((each for each in found.series if each.name == name), None)
    events = runtime.ex_rights.read([name]) if dataset is Dataset.KLINE else []
    return Marks(
        tuple(e for e in events if _within(e.ex_session, window)),
        () if gaps is None else tuple(_vacancies(runtime, gaps, period, window)),
        gaps,
    )


def _within(day: date, window: Window | None) -> bool:
    return window is None or window.start <= day <= window.end


def _vacancies(
    runtime: Runtime, gaps: SeriesGaps, period: Period, window: Window | None
) -> Iterator[Vacancy]:
    absent = {
        day: stretch
        for stretch in gaps.missing
        if stretch.reason not in _NO_PLACE
        for day in runtime.calendar.sessions_in(stretch.window)
    }
    expected = runtime.calendar.sessions_in(gaps.window)
    for _, group in groupby(expected, key=lambda day: _bucket(day, period)):
        days = list(group)
        if not all(day in absent for day in days) or not _within(days[-1], window):
            continue
        stretch = absent[days[-1]]
        for end in bar_end_times(period) if period.is_intraday else (None,):
            at = bar_end(days[-1]) if end is None else bar_end(days[-1], end)
            yield Vacancy(at, stretch.reason, stretch.says)


def _bucket(day: date, period: Period) -> tuple[int, ...]:
    """What the sessions of one bar have in common."""
    if period is Period.WEEKLY:
        return tuple(day.isocalendar()[:2])
    if period is Period.MONTHLY:
        return day.year, day.month
    return (day.toordinal(),)
