"""A fetched answer held against what is known: the window, the change column, the bars held."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from ingest.soundness import Series
from ingest.soundness import in_doubt as may_break_a_rule
from ingest.source import Bars
from ingest.validation import Evidence, Verdict, validate_bars
from market.bars import Dataset, sorted_bars
from market.errors import CalendarRangeError
from market.periods import Period
from market.sessions import Window
from pipeline.patience import patiently
from pipeline.runtime import Runtime
from storage.held import final_close_before, holding_daily_bars
from storage.kline_quarantine import BarDecision, BarEntry, BarQuarantine, content_hash
from storage.run_records import BatchPlan


class HeldCloses:
    """The closes held of the symbols of a batch, before the bars that are fetched.

    One question tells which symbols have any bar: of the others none need be looked up, and the
    first fetch of a market is a batch of them after another.

    Args:
        runtime: What is held.
        plan: The batch.
    """

    def __init__(self, runtime: Runtime, plan: BatchPlan) -> None:
        self._runtime = runtime
        self._plan = plan
        self._holding: frozenset[str] | None = None

    def before(self, name: str, first: date) -> float | None:
        """The close held of the session right before a symbol's first bar; CNY.

        Of an earlier session it says nothing: between the two there may be bars that are not held.

        Raises:
            StorageError: What is held could not be read.
        """
        since = self._session_before(first)
        if since is None:
            return None
        if self._holding is None:
            items = self._plan.items
            starts = [item.start for item in items if item.start is not None]
            ends = [item.end for item in items if item.end is not None]
            earliest = self._session_before(min(starts, default=first)) or min(
                starts, default=first
            )
            self._holding = holding_daily_bars(
                self._runtime.database,
                [item.subject for item in items],
                Window(min(earliest, since), max(ends, default=first)),
            )
        if name not in self._holding:
            return None
        return final_close_before(self._runtime.database, name, first, since=since)

    def _session_before(self, day: date) -> date | None:
        try:
            return self._runtime.calendar.session_on_or_before(day - timedelta(days=1))
        except CalendarRangeError:
            return None


def in_doubt(
    runtime: Runtime,
    dataset: Dataset,
    period: Period,
    answers: Sequence[tuple[Window, Bars]],
    closes: HeldCloses,
    *,
    meanwhile: Callable[[], None],
) -> list[bool]:
    """Which of a batch's answers are to be judged one by one; of the others every bar is good.

    Args:
        runtime: What is held.
        dataset: Whose bars.
        period: Length of the bars.
        answers: What was asked for, and what was answered.
        closes: Those held of the batch's symbols.
        meanwhile: Called while a database that is away is waited for.

    Raises:
        StorageError: What is held could not be read.
    """

    def series() -> list[Series]:
        return [
            Series(bars.table, _evidence(dataset, period, bars, window, closes))
            for window, bars in answers
        ]

    known = patiently(
        series,
        until=time.monotonic() + runtime.settings.store_patience_s,
        what="comparing with what is held",
        meanwhile=meanwhile,
    )
    return may_break_a_rule(dataset, period, known, runtime.calendar)


def _evidence(
    dataset: Dataset, period: Period, bars: Bars, window: Window, closes: HeldCloses
) -> Evidence:
    held = None
    if dataset is Dataset.KLINE and period is Period.DAILY and bars.table.num_rows:
        first: date = pc.min(bars.table["session"]).as_py()
        held = closes.before(str(bars.table["symbol"][0].as_py()), first)
    return Evidence(window=window, changes=bars.changes, held_close=held)


def judge(
    runtime: Runtime,
    dataset: Dataset,
    period: Period,
    window: Window,
    bars: Bars,
    *,
    closes: HeldCloses,
    meanwhile: Callable[[], None],
) -> Verdict:
    """Part the bars of an answer that may be stored from those that may not.

    Args:
        runtime: What is held.
        dataset: Whose bars.
        period: Length of the bars.
        window: Sessions that were asked for.
        bars: What was answered.
        closes: Those held of the batch's symbols.
        meanwhile: Called while a database that is away is waited for.

    Raises:
        StorageError: What is held could not be read.
    """

    def settled() -> Verdict:
        return _settle(runtime, dataset, period, bars, window, closes)

    return patiently(
        settled,
        until=time.monotonic() + runtime.settings.store_patience_s,
        what="comparing with what is held",
        meanwhile=meanwhile,
    )


def _settle(
    runtime: Runtime,
    dataset: Dataset,
    period: Period,
    bars: Bars,
    window: Window,
    closes: HeldCloses,
) -> Verdict:
    evidence = _evidence(dataset, period, bars, window, closes)
    verdict = validate_bars(dataset, period, bars.table, runtime.calendar, evidence)
    if not verdict.rejected.num_rows:
        return verdict
    subject = str(verdict.rejected[dataset.key][0].as_py())
    decided = BarQuarantine(runtime.database).decided(dataset.value, period.value, subject)
    if not decided:
        return verdict
    rows, answers = verdict.rejected.to_pylist(), _answers(verdict, decided)
    if any(
        answer == BarDecision.ACCEPTED.value and "held_close_disagrees" in row["reasons"]
        for row, answer in zip(rows, answers, strict=True)
    ):
        # Whoever accepted the first bar accepted that it does not continue what is held.
        evidence = replace(evidence, held_close=None)
        verdict = validate_bars(dataset, period, bars.table, runtime.calendar, evidence)
    return _as_decided(dataset, verdict, _answers(verdict, decided))


def _answers(verdict: Verdict, decided: Sequence[BarEntry]) -> list[str | None]:
    """What a person said of each rejected row: of one with the same end and values."""
    said = {(entry.end_at, content_hash(entry.row)): entry.status for entry in decided}
    return [
        said.get((int(row["end_at"].timestamp()), content_hash(row)))
        for row in verdict.rejected.to_pylist()
    ]


def _as_decided(dataset: Dataset, verdict: Verdict, answers: Sequence[str | None]) -> Verdict:
    """A verdict in which the rows that a person has looked at are what the person said.

    One that was accepted is good; one that was dropped is no bar at all, so the session has none.
    """
    good = pa.array([answer == BarDecision.ACCEPTED.value for answer in answers], pa.bool_())
    open_ = pa.array([answer is None for answer in answers], pa.bool_())
    vouched = verdict.rejected.drop_columns("reasons").filter(good)
    accepted = pa.concat_tables([verdict.accepted, vouched]).unify_dictionaries()
    return Verdict(sorted_bars(dataset, accepted), verdict.rejected.filter(open_))
