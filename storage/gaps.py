"""Gaps: for each session that the calendar expects of a series, whether it is held, else why not.

Pure: it judges facts that :mod:`storage.gap_facts` reads. A session without a bar is a gap until
there is proof that it has none, whatever coverage says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from market.bars import Dataset
from market.periods import Period
from market.sessions import Window
from storage.run_records import SUCCESSES

Mask = npt.NDArray[np.bool_]
"""One flag a session."""


class Reason(StrEnum):
    """Why a session that the calendar expects is not held as final."""

    SUSPENDED = "suspended"
    NOT_LISTED = "not_listed"
    DELISTED = "delisted"
    OUT_OF_REACH = "out_of_reach"
    PROVISIONAL = "provisional"
    LOST = "lost"
    FAILED = "failed"
    UNPROVEN = "unproven"
    NEVER_FETCHED = "never_fetched"


REPAIRABLE = frozenset(
    {Reason.PROVISIONAL, Reason.LOST, Reason.FAILED, Reason.UNPROVEN, Reason.NEVER_FETCHED}
)
"""Reasons that a fetch may cure; after the others nothing is owed, or nothing can be had."""

_SAYS = {
    Reason.SUSPENDED: "no trade, proven",
    Reason.NOT_LISTED: "not listed yet",
    Reason.DELISTED: "no longer listed",
    Reason.OUT_OF_REACH: "the upstream does not serve it any more",
    Reason.PROVISIONAL: "only provisional bars are held",
    Reason.LOST: "fetched once, and the bar is not in the lake",
    Reason.UNPROVEN: "answered without a bar, and nothing proves that there was no trade",
    Reason.NEVER_FETCHED: "never asked for",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """A fetch that has ended, as the ledger keeps it.

    Attributes:
        window: What it was asked for, as far as the ledger tells: what its run was asked for, from
            the first session that the answer proves.
        outcome: How it ended.
        reason: The ledger's sentence.
    """

    window: Window
    outcome: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What is known of one series. All masks are as long as the sessions they are judged with.

    Attributes:
        name: Symbol or board.
        since: The first day that is expected.
        final: Sessions whose bars are held and final.
        partial: Sessions with bars, of which the last is missing or not final.
        covered: Sessions that coverage calls complete.
        traded_not: Sessions proven to be without trade by a list, or by bars on both sides.
        edge: Sessions before the first bar of a whole answer.
        listed_on: First session; None: not known.
        delisted_on: Session of the first list that no longer named it; None: it is listed.
        attempts: Fetches that have ended, newest first.
    """

    name: str
    since: date
    final: Mask
    partial: Mask
    covered: Mask
    traded_not: Mask
    edge: Mask
    listed_on: date | None = None
    delisted_on: date | None = None
    attempts: Sequence[Attempt] = ()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring sessions that are missing for one reason.

    Attributes:
        window: Its first and its last session.
        sessions: How many.
        reason: Why they are missing.
        says: The reason in words, with the upstream's own where a fetch failed.
        repairable: Whether a fetch may bring them.
    """

    window: Window
    sessions: int
    reason: Reason
    says: str
    repairable: bool


@dataclass(frozen=True, slots=True)
class SeriesGaps:
    """One series against the calendar.

    Attributes:
        window: First and last session expected.
        expected: How many sessions that is.
        held: How many of them are held as final.
        missing: All others, ascending.
        final: The sessions held; what is asked for again is chosen between them.
    """

    dataset: Dataset
    period: Period
    name: str
    window: Window
    expected: int
    held: int
    missing: tuple[Stretch, ...]
    final: tuple[date, ...] = ()

    @property
    def repairable(self) -> int:
        """How many sessions a fetch may bring."""
        return sum(each.sessions for each in self.missing if each.repairable)

    def counts(self) -> dict[str, int]:
        """Missing sessions by reason, those with none left out."""
        found = {reason.value: 0 for reason in Reason}
        for each in self.missing:
            found[each.reason.value] += each.sessions
        return {name: count for name, count in found.items() if count}


def find_gaps(
    dataset: Dataset,
    period: Period,
    sessions: Sequence[date],
    facts: SeriesFacts,
    *,
    reach_from: date | None = None,
) -> SeriesGaps | None:
    """Judge every session expected of a series; None if none is.

    Args:
        dataset: Whose bars.
        period: Length of the bars.
        sessions: All sessions that may be expected, ascending; the last is settled.
        facts: What is known of the series, in masks over ``sessions``.
        reach_from: The earliest session that the upstream still serves; None: it serves all.
    """
    begin = next((at for at, day in enumerate(sessions) if day >= facts.since), None)
    if begin is None:
        return None
    judge = _Judge(sessions, facts, reach_from)
    absent = [begin + int(at) for at in np.flatnonzero(~facts.final[begin:])]
    expected = len(sessions) - begin
    return SeriesGaps(
        dataset=dataset,
        period=period,
        name=facts.name,
        window=Window(sessions[begin], sessions[-1]),
        expected=expected,
        held=expected - len(absent),
        missing=tuple(_stretches(sessions, [(at, *judge(at)) for at in absent])),
        final=tuple(sessions[int(at)] for at in np.flatnonzero(facts.final)) if absent else (),
    )


class _Judge:
    """Says why a session is not held."""

    def __init__(
        self, sessions: Sequence[date], facts: SeriesFacts, reach_from: date | None
    ) -> None:
        self._sessions, self._facts, self._reach_from = sessions, facts, reach_from
        bars = np.flatnonzero(facts.final | facts.partial)
        self._first = int(bars[0]) if len(bars) else len(sessions)
        self._last = int(bars[-1]) if len(bars) else -1

    def __call__(self, at: int) -> tuple[Reason, str, bool]:
        """The reason, in words, and whether a fetch may bring the session."""
        reason = self._settled(at)
        if reason is not None:
            return reason, _SAYS[reason], False
        reason, says = self._owed(at)
        if self._reach_from is not None and self._sessions[at] < self._reach_from:
            says = f"{says}; {_SAYS[Reason.OUT_OF_REACH]}"
            return Reason.OUT_OF_REACH, says, False
        return reason, says, True

    def _settled(self, at: int) -> Reason | None:
        """Why nothing is owed; None if something is."""
        if self._facts.partial[at]:
            return None
        return self._by_proof(at) or self._by_listing(at) or self._by_outcome(at)

    def _by_proof(self, at: int) -> Reason | None:
        if self._facts.traded_not[at]:
            return Reason.SUSPENDED
        if self._facts.edge[at]:
            return Reason.SUSPENDED if self._is_listed(at) else Reason.NOT_LISTED
        return None

    def _by_listing(self, at: int) -> Reason | None:
        facts, day = self._facts, self._sessions[at]
        if facts.listed_on is not None and day < facts.listed_on:
            return Reason.NOT_LISTED
        if facts.delisted_on is not None and day >= facts.delisted_on:
            return Reason.DELISTED
        return None

    def _by_outcome(self, at: int) -> Reason | None:
        attempt = self._attempt(self._sessions[at])
        if attempt is None or self._facts.covered[at]:
            return None
        if attempt.outcome == "delisted" and at > self._last:
            return Reason.DELISTED
        if attempt.outcome == "empty_not_listed" and not self._is_listed(at):
            return Reason.NOT_LISTED
        return None

    def _is_listed(self, at: int) -> bool:
        """Whether it was listed at a session, as far as a bar before it or a list tells."""
        since = self._facts.listed_on
        return at > self._first or (since is not None and self._sessions[at] >= since)

    def _owed(self, at: int) -> tuple[Reason, str]:
        attempt = self._attempt(self._sessions[at])
        if attempt is not None and attempt.outcome == "invalid" and not self._facts.covered[at]:
            return Reason.FAILED, f"{attempt.outcome}: {attempt.reason or 'no reason is recorded'}"
        if self._facts.partial[at]:
            return Reason.PROVISIONAL, _SAYS[Reason.PROVISIONAL]
        if self._facts.covered[at]:
            return Reason.LOST, _SAYS[Reason.LOST]
        if attempt is None:
            return Reason.NEVER_FETCHED, _SAYS[Reason.NEVER_FETCHED]
        if attempt.outcome not in SUCCESSES:
            return Reason.FAILED, f"{attempt.outcome}: {attempt.reason or 'no reason is recorded'}"
        return Reason.UNPROVEN, _SAYS[Reason.UNPROVEN]

    def _attempt(self, day: date) -> Attempt | None:
        """The newest fetch whose window holds a session."""
        for attempt in self._facts.attempts:
            if attempt.window.start <= day <= attempt.window.end:
                return attempt
        return None


def _stretches(
    sessions: Sequence[date], judged: Sequence[tuple[int, Reason, str, bool]]
) -> Iterator[Stretch]:
    """Judged sessions, neighbours of one reason together."""
    first = 0
    for at in range(1, len(judged) + 1):
        if at < len(judged):
            neighbours = judged[at][0] == judged[at - 1][0] + 1
            if neighbours and judged[at][1:] == judged[first][1:]:
                continue
        _, reason, says, repairable = judged[first]
        window = Window(sessions[judged[first][0]], sessions[judged[at - 1][0]])
        yield Stretch(window, at - first, reason, says, repairable)
        first = at
