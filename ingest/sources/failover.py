"""One source that asks others where the usual one is away.

Only bars of symbols have a fail-over, and only where the usual source shows that it is away
(:data:`AWAY`): a code it does not know, a window without bars or a body that cannot be read are
facts about the data, which another source would only hide.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import cache
from typing import Protocol, TypeVar

import pyarrow as pa

from ingest import wire
from ingest.source import (
    BannedError,
    Bars,
    EmptySuccessError,
    FoundExRights,
    KlineSource,
    KnownUnreachableError,
    Outcome,
    Source,
    SourceError,
    ThrottledError,
    UnreachableError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
from market.adjustments import Adjustment
from market.boards import BoardKind
from market.periods import Period
from market.sessions import Window
from market.symbols import Symbol

log = logging.getLogger(__name__)

AWAY = (
    BannedError,
    UnreachableError,
    ThrottledError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
"""Banned, unreachable, throttling, answering with server errors, silent."""
_KNOWN_BEFORE = (BannedError, KnownUnreachableError)
"""Nothing was sent: whoever keeps that memory also knows when to try again."""

_QUOTES = "the symbol list"

_T = TypeVar("_T")


class Retried(Protocol):
    """Calls again as long as an error is transient, a few times."""

    def __call__(self, call: Callable[[], _T], /) -> _T:
        """What the call gives in the end."""
        ...


Fit = Callable[[Symbol, Period, Window, Bars], Bars]
"""What of another source's answer may stand beside the bars held; raises a :class:`SourceError`."""


class AwayError(SourceError):
    """The usual source is away, and no other has the bars: ``outcome`` says how it is away."""

    def __init__(self, message: str, context: Mapping[str, object] | None = None) -> None:
        super().__init__(message, context)
        self.outcome = Outcome(str(self.context.get("outcome", Outcome.UNREACHABLE)))


class Presence:
    """Remembers that an upstream is away, so that not every symbol waits for it to say so.

    Requests that fail in a row, on any thread of the process, count together. After some of them
    nothing is sent for a while; then one caller tries, and the others go on without. Success
    without data may be the question's own fault: of it only different questions count together.

    Args:
        most: So many failures in a row, and it is away.
        retry_after_s: For so long it is not tried again.
    """

    def __init__(self, *, most: int = 3, retry_after_s: float = 30.0) -> None:
        self._most = most
        self._retry_after_s = retry_after_s
        self._lock = threading.Lock()
        self._failures = 0
        self._empty: set[str] = set()
        self._until = 0.0
        self._last: SourceError | None = None

    def ask(self, call: Callable[[], _T], about: str) -> _T:
        """One request, if the upstream is not known to be away.

        Args:
            call: Sends it.
            about: What is asked for: a symbol, a board or a list.

        Raises:
            AwayError: It is: nothing was sent.
            SourceError: The call's.
        """
        self._check()
        return self.watch(call, about)

    def watch(self, call: Callable[[], _T], about: str) -> _T:
        """One request, and what it shows of the upstream: for whoever has nobody else to ask.

        Raises:
            SourceError: The call's.
        """
        try:
            answer = call()
        except AWAY as error:
            if not isinstance(error, _KNOWN_BEFORE):
                self._note(error, about)
            raise
        except SourceError as error:
            if _answered(error):
                self._clear()
            raise
        self._clear()
        return answer

    def _check(self) -> None:
        with self._lock:
            if self._failures < self._most or self._last is None:
                return
            now = time.monotonic()
            if now >= self._until:
                self._until = now + self._retry_after_s  # this caller tries
                return
            last = self._last
        raise AwayError(last.message, {**last.context, "outcome": last.outcome.value})

    def _note(self, error: SourceError, about: str) -> None:
        with self._lock:
            if isinstance(error, EmptySuccessError):
                self._failures += about not in self._empty
                self._empty.add(about)
            else:
                self._failures += 1
            self._until = time.monotonic() + self._retry_after_s
            self._last = error

    def _clear(self) -> None:
        with self._lock:
            self._failures, self._last = 0, None
            self._empty.clear()


def _answered(error: SourceError) -> bool:
    """Whether a failure is an answer of the upstream, and not of this side."""
    return error.outcome in (
        Outcome.UNKNOWN_SYMBOL,
        Outcome.MALFORMED,
        Outcome.TRUNCATED,
        Outcome.SCHEMA_DRIFT,
        Outcome.OTHER_SYMBOL,
        Outcome.NOT_SERVED,
        Outcome.INVALID,
    )


class FailoverSource:
    """The :class:`ingest.source.Source` that asks others for bars where the usual one is away.

    An answer is always one source's whole answer. Everything but the unadjusted bars of symbols is
    the usual source's alone. Bars of symbols are asked for again here, and need not be by callers.

    Args:
        usual: Asked first.
        others: Names of those that are asked in turn, by the period of the bars; if nobody is, the
            usual source is always asked, however often it has failed.
        make: Makes one of the others when it is first asked: most processes never need them.
        retried: How often a source is asked before it counts as away for a symbol.
        fit: What of another's answer may stand beside the bars held.
        list_patience_s: How long the end of a ban is waited for with a list.
    """

    def __init__(
        self,
        usual: Source,
        others: Mapping[Period, Sequence[str]],
        make: Callable[[str], KlineSource],
        *,
        retried: Retried,
        fit: Fit,
        list_patience_s: float,
    ) -> None:
        self.name = usual.name
        self._usual = usual
        self._others = others
        self._make = cache(make)
        self._retried = retried
        self._fit = fit
        self._list_patience_s = list_patience_s
        names = {usual.name, *(name for period in others.values() for name in period)}
        self._presence = {name: Presence() for name in names}

    def now(self) -> datetime:
        """Exchange time, by the usual source's clock."""
        return self._usual.now()

    def fetch_klines(
        self,
        symbol: Symbol,
        period: Period,
        window: Window,
        adjustment: Adjustment = Adjustment.NONE,
    ) -> Bars:
        """Bars of one symbol within a closed window of sessions, by whoever has them.

        Raises:
            AwayError: The usual source is away, and no other has them.
            SourceError: The usual source's own answer, typed by cause.
        """

        def usual() -> Bars:
            return self._usual.fetch_klines(symbol, period, window, adjustment)

        others = self._others.get(period, ()) if adjustment is Adjustment.NONE else ()
        if not others:
            return self._retried(lambda: self._watched(usual, str(symbol)))
        presence = self._presence[self.name]
        try:
            # A ban is not waited out by whoever has somebody else to ask.
            with wire.observed_within(ban_deadline=0):
                return self._retried(lambda: presence.ask(usual, str(symbol)))
        except (*AWAY, AwayError) as error:
            return self._of_others(symbol, period, window, others, error)

    def _of_others(
        self,
        symbol: Symbol,
        period: Period,
        window: Window,
        others: Sequence[str],
        away: SourceError,
    ) -> Bars:
        said = [away.message]
        for name in others:
            other, presence = self._make(name), self._presence[name]
            try:
                with wire.observed_within(ban_deadline=0):
                    bars = self._retried(
                        lambda other=other, presence=presence: presence.ask(  # type: ignore[misc]
                            lambda: other.fetch_klines(symbol, period, window), str(symbol)
                        )
                    )
                if not bars.table.num_rows:
                    # It may only be late: that is no proof, as it is where the usual one says so.
                    said.append(f"{other.name} has no {period} bars of {symbol} in {window}")
                    continue
                bars = self._fit(symbol, period, window, bars)
            except SourceError as error:
                said.append(error.message)
                continue
            log.info("%s: %s bars of %s, for %s", symbol, period, other.name, away.message)
            return replace(bars, instead_of=f"from {other.name}, for {away.message}")
        raise AwayError(
            "; ".join(said), {"symbol": str(symbol), "outcome": away.outcome.value}
        ) from away

    def fetch_ex_rights(
        self,
        symbol: Symbol,
        session: date,
        reference: float | None = None,
        held: pa.Table | None = None,
    ) -> FoundExRights:
        """All ex-rights of one symbol: the usual source's."""
        return self._watched(
            lambda: self._usual.fetch_ex_rights(symbol, session, reference, held), str(symbol)
        )

    def fetch_quotes(self) -> pa.Table:
        """Quotes of all listed A shares: the usual source's.

        A list spares a request a symbol, so the end of a ban is waited for a while; then bars that
        have a fail-over can be had with the list that is held.

        Raises:
            AwayError: The ban went on for longer.
            SourceError: The usual source's own answer, typed by cause.
        """
        if not any(self._others.values()):
            return self._watched(self._usual.fetch_quotes, _QUOTES)
        try:
            with wire.observed_within(ban_deadline=time.monotonic() + self._list_patience_s):
                return self._after_the_ban(self._usual.fetch_quotes, _QUOTES)
        except BannedError as error:
            # Final for this list: a ban that is waited for would hold up the bars of others.
            context = {**error.context, "outcome": error.outcome.value}
            raise AwayError(error.message, context) from error

    def fetch_board_list(self, kind: BoardKind) -> pa.Table:
        """All boards of a kind: the usual source's."""
        return self._watched(lambda: self._usual.fetch_board_list(kind), kind.value)

    def fetch_board_members(self, kind: BoardKind, board: str) -> pa.Table:
        """Members of a board: the usual source's."""
        return self._watched(lambda: self._usual.fetch_board_members(kind, board), board)

    def fetch_board_klines(self, kind: BoardKind, board: str, window: Window) -> Bars:
        """Daily bars of a board: the usual source's."""
        return self._watched(lambda: self._usual.fetch_board_klines(kind, board, window), board)

    def _after_the_ban(self, call: Callable[[], _T], about: str) -> _T:
        """A call that is made again where it met a ban, as long as that may be waited for."""
        while True:
            try:
                return self._watched(call, about)
            except ThrottledError as error:
                if not error.banned:
                    raise
                log.info("asked again after the ban: %s", error)

    def _watched(self, call: Callable[[], _T], about: str) -> _T:
        """A call that nobody else can answer: it is tried, or waits for the end of a ban."""
        return self._presence[self.name].watch(call, about)
