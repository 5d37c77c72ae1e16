"""Where the bars of a fail-over meet those held: no session is made of two sources."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from ingest.source import Bars, NotOfferedError
from ingest.sources.failover import Fit
from market.bars import Dataset
from market.periods import Period
from market.sessions import TradingCalendar, Window
from market.symbols import Symbol
from pipeline.patience import patiently
from pipeline.pulse import pulse
from storage.coverage import Coverage, read_coverage_of
from storage.database import Database
from storage.held import HeldBar, held_bars


def fit_at_the_seam(database: Database, calendar: TradingCalendar, *, patience_s: float) -> Fit:
    """What of a fail-over's answer may be stored, by what is held.

    Sessions that are covered stay as they are, whoever they came from, so only those after the last
    covered one are taken: those before it, if any are missing, come with the next run. A session
    held in part is replaced by the answer's; it is refused if it lacks a bar that is held, for that
    one would stay, another source's, among the new ones.
    """

    def fit(symbol: Symbol, period: Period, window: Window, bars: Bars) -> Bars:
        name = str(symbol)

        def held() -> tuple[Window, list[HeldBar]]:
            covered = read_coverage_of(database, Dataset.KLINE.value, period.value, name)
            open_window = last_missing(covered, window, calendar)
            return open_window, held_bars(database, name, period, open_window)

        until = time.monotonic() + patience_s
        what = f"reading what is held of {symbol}"
        open_window, others = patiently(held, until=until, what=what, meanwhile=pulse)
        table = bars.table.filter(
            pc.greater_equal(bars.table["session"], pa.scalar(open_window.start))
        )
        if not table.num_rows:
            raise NotOfferedError(
                f"what is missing of the {period} bars of {symbol} begins on {open_window.start}, "
                "and the answer has none from then on",
                {"symbol": name},
            )
        _refuse_mixture(symbol, period, table, others)
        return replace(bars, table=table, since=open_window.start)

    return fit


def last_missing(coverage: Coverage, window: Window, calendar: TradingCalendar) -> Window:
    """The last stretch of a window in which no session is covered; the window ends in one."""
    before = [each.end for each in coverage.ranges if each.end < window.end]
    if not before or before[-1] < window.start:
        return window
    following = calendar.sessions_in(Window(before[-1] + timedelta(days=1), window.end))
    return Window(following[0], window.end)


def _refuse_mixture(
    symbol: Symbol, period: Period, table: pa.Table, held: Sequence[HeldBar]
) -> None:
    ours = str(table["source"][0].as_py())
    new = set(table["end_at"].cast(pa.int64()).to_pylist())
    sessions = set(table["session"].to_pylist())
    left = [
        bar
        for bar in held
        if bar.source != ours and bar.session in sessions and bar.end_at not in new
    ]
    if left:
        raise NotOfferedError(
            f"{ours} lacks {len(left)} of the {period} bars of {symbol} that are held of "
            f"{left[0].session} from {left[0].source}: no session is made of two sources",
            {"symbol": str(symbol), "session": left[0].session},
        )
