"""Longer bars out of shorter ones: 15m, 30m and 60m from 5m; weekly and monthly from daily.

They are never stored: whoever reads gets them from the bars that are held, as the upstream would
have made them.

- Minute bars end on the session's own grid, which stands still over lunch: the 60m bars end at
  10:30, 11:30, 14:00 and 15:00, also where some of their 5m bars are missing.
- Weekly (Monday to Sunday) and monthly bars carry the last session that traded: a week of which
  Friday is a holiday, or a suspension, ends on Thursday; one under way, on its latest session.
- ``open`` is the first part's, ``close`` the last one's; ``high`` and ``low`` are the extremes;
  ``volume``, ``amount`` and ``turnover_rate`` sums. An ``open`` or a ``turnover_rate`` that a part
  does not know is not known of the whole. ``source`` is the last part's, ``fetched_at`` the latest.
- A bar is ``final`` if its period has ended by the exchange clock and calendar, every part is
  final, and no part can be missing; see :class:`Evidence`.
"""

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from market.bars import END_AT_TYPE, VALUE_COLUMNS, BarState, Dataset, sorted_bars
from market.finality import has_ended
from market.periods import Period
from market.sessions import (
    SETTLED_AT,
    TradingCalendar,
    Window,
    bar_end,
    bar_end_times,
    exchange_calendar,
)

AGGREGATED_FROM: Mapping[Period, Period] = {
    Period.M15: Period.M5,
    Period.M30: Period.M5,
    Period.M60: Period.M5,
    Period.WEEKLY: Period.DAILY,
    Period.MONTHLY: Period.DAILY,
}
"""The periods that are aggregated, each with the one it is made of."""

_EPOCH = date(1970, 1, 1)
_DAYS_A_WEEK = 7
_SINCE_MONDAY = _EPOCH.weekday()
_MONTHS_A_YEAR = 12
_CELLS = 64
"""More than there are bars in a session, of any period that is aggregated."""
_NULLS_COUNT = pc.ScalarAggregateOptions(skip_nulls=False)
_AGGREGATES = [
    ("open", "first", _NULLS_COUNT), ("high", "max"), ("low", "min"), ("close", "last"),
    ("volume", "sum"), ("amount", "sum"), ("turnover_rate", "sum", _NULLS_COUNT),
    ("final", "all"), ("source", "last"), ("fetched_at", "max"),
    ("session", "last"), ("end_at", "last"), ("minute", "last"), ("part", "list"),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Evidence:
    """What decides whether an aggregated bar can still change.

    A part that is not held is either still to be fetched, or does not exist because the symbol did
    not trade. Coverage tells the two apart. Where it is not known, a part counts as one that does
    not exist only between bars that are held: a fetch has passed there.

    Attributes:
        now: Exchange time.
        settled_at: When the bars of a session's close no longer move, Shanghai time.
        covered: By symbol (or board), the sessions proven complete in the period of the parts;
            None: not known.
        calendar: The sessions that exist; None: the exchange's.
    """

    now: datetime
    settled_at: time = SETTLED_AT
    covered: Mapping[str, Sequence[Window]] | None = None
    calendar: TradingCalendar | None = None

    @property
    def sessions(self) -> TradingCalendar:
        """The sessions that exist."""
        return self.calendar or exchange_calendar()


@dataclass(frozen=True, slots=True)
class _Expected:
    """What a whole aggregated bar is made of.

    Attributes:
        parts: Days since 1970-01-01 of its sessions; or the minutes of the day at which they end.
        last_end: Epoch seconds at which the last part ends; None: the calendar does not say.
    """

    parts: tuple[int, ...]
    last_end: int | None


def whole_periods(period: Period, window: Window) -> Window:
    """The days of all weeks or months that a window touches; of other periods, the window."""
    if period not in (Period.WEEKLY, Period.MONTHLY):
        return window
    return Window(_days_of(period, window.start).start, _days_of(period, window.end).end)


def aggregate(dataset: Dataset, period: Period, parts: pa.Table, evidence: Evidence) -> pa.Table:
    """Aggregate bars of any number of symbols (or boards).

    Args:
        dataset: Whose bars.
        period: 15m, 30m, 60m, weekly or monthly.
        parts: 5m or daily bars, one per key, in any order. Of a week or month of which only some
            sessions are given, a bar of those is made: see :func:`whole_periods`.
        evidence: What decides the state.

    Returns:
        Bars in the dataset's schema, sorted by key.

    Raises:
        KeyError: The period is not one that is aggregated.
        ValueError: A column is missing, or a minute bar does not end where a 5m bar ends.
    """
    rows = _grouped(dataset, period, parts)
    groups = pc.unique(rows["group"]).to_pylist()
    if AGGREGATED_FROM[period].is_intraday:
        expected = {group: _cell(period, group) for group in groups}
        # The grid's end, also where the last parts are missing: an offset, for days have zones.
        late = [expected[g].parts[-1] for g in rows["group"].to_pylist()]
        late_s = pc.multiply(pc.subtract(pa.array(late, pa.int64()), rows["minute_last"]), 60)
        end_at = pc.add(rows["end_at_last"].cast(pa.int64()), late_s)
        last_end = end_at
    else:
        expected = {group: _sessions_of(period, group, evidence) for group in groups}
        end_at = rows["end_at_last"].cast(pa.int64())
        last_end = pa.array([expected[g].last_end for g in rows["group"].to_pylist()], pa.int64())
    ended = pc.fill_null(has_ended(last_end, evidence.now, evidence.settled_at), fill_value=False)
    whole = _whole(period, rows, expected, evidence)
    final = pc.and_(pc.and_(ended, rows["final_all"]), whole)
    return _bars(dataset, rows, end_at, final)


def _grouped(dataset: Dataset, period: Period, parts: pa.Table) -> pa.Table:
    """One row per symbol and aggregated bar, ascending, with what its parts give."""
    bars = sorted_bars(dataset, parts)
    local = pc.local_timestamp(bars["end_at"])
    minute = pc.add(pc.multiply(pc.hour(local), 60), pc.minute(local))
    day = bars["session"].cast(pa.int32()).cast(pa.int64())
    plain = ("session", "end_at", *VALUE_COLUMNS, "fetched_at")
    rows = pa.table(
        {
            "name": bars[dataset.key].cast(pa.string()),
            "group": _groups(period, bars["session"], day, minute),
            "part": minute if AGGREGATED_FROM[period].is_intraday else day,
            "minute": minute,
            "final": pc.equal(bars["state"].cast(pa.string()), BarState.FINAL.value),
            "source": bars["source"].cast(pa.string()),
            **{name: bars[name] for name in plain},
        }
    )
    # One thread, for the first and the last part are told by their order.
    return rows.group_by(["name", "group"], use_threads=False).aggregate(_AGGREGATES)


def _groups(
    period: Period, sessions: pa.ChunkedArray, day: pa.ChunkedArray, minute: pa.ChunkedArray
) -> pa.ChunkedArray:
    """A number that the parts of one aggregated bar share; ascending in time."""
    if period is Period.WEEKLY:
        return pc.divide(pc.add(day, _SINCE_MONDAY), _DAYS_A_WEEK)
    if period is Period.MONTHLY:
        return pc.add(pc.multiply(pc.year(sessions), _MONTHS_A_YEAR), pc.month(sessions))
    cell_of = {m: number for number, cell in enumerate(_cells(period)) for m in cell}
    found = pc.index_in(minute, pa.array(list(cell_of), pa.int64()))
    if found.null_count:
        wrong = pc.filter(minute, pc.is_null(found))[0].as_py()
        raise ValueError(
            f"a bar ends at {wrong // 60:02}:{wrong % 60:02}, where no 5m bar ends: {period.value} "
            "bars are made of 5m bars"
        )
    number = pc.take(pa.array(list(cell_of.values()), pa.int64()), found)
    return pc.add(pc.multiply(day, _CELLS), number)


@lru_cache(maxsize=8)
def _cells(period: Period) -> tuple[tuple[int, ...], ...]:
    """For each bar of a session, the minutes of the day at which its 5m bars end."""
    ends = [end.hour * 60 + end.minute for end in bar_end_times(period)]
    fives = [end.hour * 60 + end.minute for end in bar_end_times(AGGREGATED_FROM[period])]
    return tuple(
        tuple(five for five in fives if before < five <= end)
        for before, end in zip([0, *ends], ends, strict=False)
    )


def _cell(period: Period, group: int) -> _Expected:
    return _Expected(_cells(period)[group % _CELLS], None)


def _sessions_of(period: Period, group: int, evidence: Evidence) -> _Expected:
    """The sessions of a week or month by the calendar, and when the last of them closes.

    A week that reaches beyond the recorded calendar may have sessions that nobody knows of yet.
    """
    calendar = evidence.sessions
    if period is Period.WEEKLY:
        days = _days_of(period, _EPOCH + timedelta(days=group * _DAYS_A_WEEK))
    else:
        year, month = divmod(group - 1, _MONTHS_A_YEAR)
        days = _days_of(period, date(year, month + 1, 1))
    recorded = date(calendar.last_session.year, 12, 31)
    if days.end < calendar.first_session or days.start > recorded:
        return _Expected((), None)
    known = Window(max(days.start, calendar.first_session), min(days.end, recorded))
    sessions = calendar.sessions_in(known)
    last_end = None
    if sessions and days.end <= recorded:
        last_end = int(bar_end(sessions[-1]).timestamp())
    return _Expected(tuple((session - _EPOCH).days for session in sessions), last_end)


def _days_of(period: Period, day: date) -> Window:
    """The week, Monday to Sunday, or the month that a day lies in, within the days that exist."""
    if period is Period.WEEKLY:
        monday = day.toordinal() - day.weekday()
        sunday = min(monday + _DAYS_A_WEEK - 1, date.max.toordinal())
        return Window(date.fromordinal(monday), date.fromordinal(sunday))
    return Window(day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1]))


def _whole(
    period: Period, rows: pa.Table, expected: Mapping[int, _Expected], evidence: Evidence
) -> pa.Array:
    """Of each bar, whether every part that exists is held."""
    names, groups = rows["name"].to_pylist(), rows["group"].to_pylist()
    held_counts = pc.list_value_length(rows["part_list"]).to_pylist()
    whole = [
        held >= len(expected[group].parts) for group, held in zip(groups, held_counts, strict=True)
    ]
    for at in (at for at, complete in enumerate(whole) if not complete):
        held, parts = rows["part_list"][at].as_py(), expected[groups[at]].parts
        if evidence.covered is not None:
            if AGGREGATED_FROM[period].is_intraday:
                absent = [rows["session_last"][at].as_py()]
            else:
                absent = [_EPOCH + timedelta(days=day) for day in parts if day not in set(held)]
            ranges = evidence.covered.get(names[at], ())
            whole[at] = all(any(r.start <= day <= r.end for r in ranges) for day in absent)
        else:
            begun = held[0] == parts[0] or (at > 0 and names[at - 1] == names[at])
            passed = held[-1] == parts[-1] or names[at : at + 2] == [names[at]] * 2
            whole[at] = begun and passed
    return pa.array(whole, pa.bool_())


def _bars(
    dataset: Dataset, rows: pa.Table, end_at: pa.ChunkedArray, final: pa.ChunkedArray
) -> pa.Table:
    columns = {
        dataset.key: rows["name"],
        "session": rows["session_last"],
        "end_at": end_at.cast(pa.timestamp("s", tz="UTC")).cast(END_AT_TYPE),
        "open": rows["open_first"],
        "high": rows["high_max"],
        "low": rows["low_min"],
        "close": rows["close_last"],
        "volume": rows["volume_sum"],
        "amount": _hundredths(rows["amount_sum"]),
        "turnover_rate": _hundredths(rows["turnover_rate_sum"]),
        "state": pc.if_else(final, BarState.FINAL.value, BarState.PROVISIONAL.value),
        "source": rows["source_last"],
        "fetched_at": rows["fetched_at_max"],
    }
    return sorted_bars(dataset, pa.table(columns))


def _hundredths(sums: pa.ChunkedArray) -> pa.ChunkedArray:
    """Sums of whole hundredths, as which amounts and rates are given, without what floats add."""
    # Arrow's own rounding to digits multiplies by 0.01, which is not exact.
    return pc.divide(pc.round(pc.multiply(sums, 100.0)), 100.0)
