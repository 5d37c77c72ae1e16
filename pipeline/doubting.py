"""A fetched answer held against what is known: the window, the change column, the bars held."""

import time
from collections.abc import Callable
from datetime import date, timedelta

import pyarrow.compute as pc

from ingest.source import Bars
from ingest.validation import Evidence, Verdict, validate_bars
from market.bars import Dataset
from market.errors import CalendarRangeError
from market.periods import Period
from market.sessions import Window
from pipeline.patience import patiently
from pipeline.runtime import Runtime
from storage.held import final_close_before


def judge(
    runtime: Runtime,
    dataset: Dataset,
    period: Period,
    window: Window,
    bars: Bars,
    *,
    meanwhile: Callable[[], None],
) -> Verdict:
    """Part the bars of an answer that may be stored from those that may not.

    Args:
        runtime: What is held.
        dataset: Whose bars.
        period: Length of the bars.
        window: Sessions that were asked for.
        bars: What was answered.
        meanwhile: Called while a database that is away is waited for.

    Raises:
        StorageError: What is held could not be read.
    """
    held = None
    if dataset is Dataset.KLINE and period is Period.DAILY and bars.table.num_rows:
        held = patiently(
            lambda: _held_close(runtime, bars),
            until=time.monotonic() + runtime.settings.store_patience_s,
            what="comparing with what is held",
            meanwhile=meanwhile,
        )
    evidence = Evidence(window=window, changes=bars.changes, held_close=held)
    return validate_bars(dataset, period, bars.table, runtime.calendar, evidence)


def _held_close(runtime: Runtime, bars: Bars) -> float | None:
    """The close held of the session right before the first bar; of an earlier one it says nothing.

    Between the two there may be bars that are not held.
    """
    first: date = pc.min(bars.table["session"]).as_py()
    name = str(bars.table["symbol"][0].as_py())
    try:
        since = runtime.calendar.session_on_or_before(first - timedelta(days=1))
    except CalendarRangeError:
        return None  # there is no session before
    return final_close_before(runtime.database, name, first, since=since)
