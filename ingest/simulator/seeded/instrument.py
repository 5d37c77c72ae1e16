"""One symbol or board of a seeded market, and its klines as of a moment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from ingest.simulator.bars import Bars, Ints, aggregate, concatenate
from ingest.simulator.draws import Bits, bits
from ingest.simulator.market import Trends
from ingest.simulator.periods import KLT
from ingest.simulator.seeded.adjusting import RAW, adjusted, coefficients
from ingest.simulator.seeded.daily import ExRight, History
from ingest.simulator.seeded.intraday import partial, session_bars
from ingest.simulator.seeded.series import BarSeries, trend_lines, turnover_of
from ingest.simulator.seeded.timeline import ROWS_PER_SESSION, Moment, Timeline, minute_labels
from market.periods import Period

INTRADAY_SESSIONS = {Period.M1: 5}
"""How many sessions back the upstream keeps minute bars; else ``OTHER_INTRADAY_SESSIONS``."""
OTHER_INTRADAY_SESSIONS = 44

Splitter = Callable[[Bars, Bits], Bars]


@dataclass(frozen=True, slots=True)
class Instrument:
    """Something with a kline.

    Attributes:
        name: As lists show it, without a listing day's ``N``.
        history: All its daily bars.
        minute_key: Decides its minutes.
        splitter: Makes 1m rows of daily bars.
        timeline: Sessions.
    """

    name: str
    history: History
    minute_key: int
    splitter: Splitter
    timeline: Timeline

    def rows(self, first: int, end: int) -> Bars:
        """The grid of 1m rows of whole sessions, by the places of their daily bars."""
        keys = bits(self.minute_key, self.history.ordinals[first:end])
        return self.splitter(self.history.bars.take(slice(first, end)), keys)

    def series(self, klt: int, fqt: int, moment: Moment) -> BarSeries:
        """The kline of a period as far as it has come."""
        period = KLT[klt]
        if period.minutes is not None:
            return self._intraday(period, period.minutes, fqt, moment)
        daily = self._daily(fqt, moment)
        if period is Period.DAILY:
            return daily
        groups = self.timeline.weeks if period is Period.WEEKLY else self.timeline.months
        return self._longer(daily, groups)

    def sessions(self, moment: Moment) -> list[date]:
        """Sessions of the daily bars so far."""
        seen = self.history.seen(moment.ordinal)
        return [self.timeline.sessions[o] for o in self.history.ordinals[:seen].tolist()]

    def trends(self, days: int, moment: Moment) -> Trends:
        """1m rows of the latest sessions with bars; older sessions have no opens."""
        seen = self.history.seen(moment.ordinal)
        first = max(0, seen - days)
        lines: list[str] = []
        if seen > first:
            grid = self.rows(first, seen)
            for at in range(seen - first):
                rows = self._seen_rows(grid, at, first + at, moment)
                lines += trend_lines(
                    self._minute_labels(first + at, len(rows)), rows, opens=first + at == seen - 1
                )
        return Trends(self.name, self.close_before(seen - 1) / 100, lines)

    def session_truth(self, place: int, klt: int) -> pa.Table:
        """The 1m rows of a whole session, auction first; or its longer intraday bars.

        Args:
            place: Of the session's daily bar.
            klt: 1 for the 241 rows; 5, 15, 30 or 60 for bars.
        """
        rows = self.rows(place, place + 1).flat()
        labels = self._minute_labels(place, len(rows))
        if klt > 1:
            starts, labels = self._cut(place, [len(rows)], klt)
            rows = aggregate(rows, starts)
        turnover = turnover_of(rows.lots, np.full(len(rows), self.history.float_shares[place]))
        session = self.timeline.sessions[int(self.history.ordinals[place])]
        series = BarSeries(self.name, labels, rows, self.close_before(place), turnover)
        return series.truth([session] * len(rows))

    def close_before(self, place: int) -> int:
        """Cents; the unadjusted close before a daily bar."""
        return self.history.previous if place <= 0 else int(self.history.bars.close[place - 1])

    def _seen_rows(self, grid: Bars, at: int, place: int, moment: Moment) -> Bars:
        session = grid.take(slice(at, at + 1))
        if int(self.history.ordinals[place]) == moment.ordinal and not moment.is_over:
            session = partial(session, moment.rows, moment.fraction)
        return session.flat()

    def _minute_labels(self, place: int, count: int) -> list[str]:
        session = self.timeline.labels[int(self.history.ordinals[place])]
        return [f"{session} {minute}" for minute in minute_labels()[:count]]

    def _bars(self, moment: Moment) -> Bars:
        """Unadjusted daily bars so far, the latest as far as it has come."""
        seen = self.history.seen(moment.ordinal)
        bars = self.history.bars.take(slice(0, seen))
        if not seen or moment.is_over or int(self.history.ordinals[seen - 1]) != moment.ordinal:
            return bars
        so_far = partial(self.rows(seen - 1, seen), moment.rows, moment.fraction)
        return concatenate(bars.take(slice(0, -1)), session_bars(so_far))

    def _ex_rights(self, moment: Moment) -> Sequence[ExRight]:
        today = self.timeline.on_or_after(moment.day)
        latest = today if self._is_session(moment.day, today) else today - 1
        return [event for event in self.history.ex_rights if event.ordinal <= latest]

    def _is_session(self, day: date, ordinal: int) -> bool:
        return ordinal <= self.timeline.last and self.timeline.sessions[ordinal] == day

    def _daily(self, fqt: int, moment: Moment) -> BarSeries:
        bars = self._bars(moment)
        seen = len(bars)
        ordinals = self.history.ordinals[:seen].tolist()
        labels = [self.timeline.labels[o] for o in ordinals]
        turnover = turnover_of(bars.lots, self.history.float_shares[:seen])
        previous = self.history.previous
        if fqt != RAW and seen:
            slope, intercept = coefficients(fqt, seen, self._ex_rights(moment))
            bars = adjusted(bars, slope, intercept)
            previous = round(previous * slope[0] + intercept[0])
        return BarSeries(self.name, labels, bars, previous, turnover)

    def _longer(self, daily: BarSeries, groups: Ints) -> BarSeries:
        """Weeks or months, labelled by their last traded day."""
        group = groups[self.history.ordinals[: len(daily.bars)]]
        starts = np.flatnonzero(np.diff(group, prepend=-1)).astype(np.int64)
        lasts = np.append(starts[1:], len(group))[: len(starts)] - 1
        labels = [daily.labels[at] for at in lasts.tolist()]
        turnover = np.add.reduceat(daily.turnover, starts) if len(starts) else daily.turnover
        return BarSeries(self.name, labels, aggregate(daily.bars, starts), daily.previous, turnover)

    def _intraday(self, period: Period, minutes: int, fqt: int, moment: Moment) -> BarSeries:
        seen = self.history.seen(moment.ordinal)
        first = max(0, seen - INTRADAY_SESSIONS.get(period, OTHER_INTRADAY_SESSIONS))
        nothing = self.history.bars.take(slice(0, 0))
        if seen == first:
            return BarSeries(self.name, [], nothing, self.history.previous, np.zeros(0))
        rows, lengths = self._rows_so_far(first, seen, moment)
        starts, labels = self._cut(first, lengths, minutes)
        bars = aggregate(rows, starts)
        of_session = np.repeat(np.arange(first, seen), [_bar_count(n, minutes) for n in lengths])
        turnover = turnover_of(bars.lots, self.history.float_shares[of_session])
        previous = self.close_before(first)
        if fqt != RAW:
            slope, intercept = coefficients(fqt, seen, self._ex_rights(moment))
            bars = adjusted(bars, slope[of_session], intercept[of_session])
            before = max(first - 1, 0)
            previous = round(previous * slope[before] + intercept[before])
        return BarSeries(self.name, labels, bars, previous, turnover)

    def _rows_so_far(self, first: int, seen: int, moment: Moment) -> tuple[Bars, list[int]]:
        grid = self.rows(first, seen)
        latest = self._seen_rows(grid, seen - 1 - first, seen - 1, moment)
        whole = grid.take(slice(0, -1)).flat()
        return concatenate(whole, latest), [ROWS_PER_SESSION] * (seen - 1 - first) + [len(latest)]

    def _cut(self, first: int, lengths: Sequence[int], minutes: int) -> tuple[Ints, list[str]]:
        """Where each bar begins in rows laid one after another, and each bar's label."""
        ends = minute_labels()[minutes::minutes]
        starts: list[int] = []
        labels: list[str] = []
        for at, length in enumerate(lengths):
            count = _bar_count(length, minutes)
            begins = at * ROWS_PER_SESSION
            # The auction row belongs to the first bar.
            starts += [begins, *(begins + 1 + minutes * no for no in range(1, count))]
            session = self.timeline.labels[int(self.history.ordinals[first + at])]
            labels += [f"{session} {end}" for end in ends[:count]]
        return np.array(starts, dtype=np.int64), labels


def _bar_count(rows: int, minutes: int) -> int:
    return max(1, -(-(rows - 1) // minutes))
