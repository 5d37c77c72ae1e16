"""What a source is asked, what it answers, and the outcomes a fetch can have."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

import pyarrow as pa

from market.adjustments import Adjustment, ExRight
from market.boards import BoardKind
from market.errors import QuantsyncError
from market.periods import Period
from market.sessions import Window
from market.symbols import Symbol


class Outcome(StrEnum):
    """How one fetch of one thing ended. "No bars" is never an outcome without its reason."""

    OK = "ok"
    UNCHANGED = "unchanged"
    EMPTY_SUSPENDED = "empty_suspended"
    EMPTY_NOT_LISTED = "empty_not_listed"
    DELISTED = "delisted"
    EMPTY_BOARD = "empty_board"
    NOT_SERVED = "not_served"
    NOT_OFFERED = "not_offered"
    UNKNOWN_SYMBOL = "unknown_symbol"
    THROTTLED = "throttled"
    BANNED = "banned"
    UNREACHABLE = "unreachable"
    UPSTREAM_ERROR = "upstream_error"
    TIMEOUT = "timeout"
    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    SCHEMA_DRIFT = "schema_drift"
    INVALID = "invalid"
    OTHER_SYMBOL = "other_symbol"
    BUDGET_UNAVAILABLE = "budget_unavailable"
    NOT_STORED = "not_stored"
    WORKER_LOST = "worker_lost"
    ERROR = "error"

    @property
    def is_success(self) -> bool:
        """True when nothing is owed: the data is there, or there is proof that there is none."""
        return self in _SUCCESSES


_SUCCESSES = frozenset(
    {
        Outcome.OK,
        Outcome.UNCHANGED,
        Outcome.EMPTY_SUSPENDED,
        Outcome.EMPTY_NOT_LISTED,
        Outcome.DELISTED,
        Outcome.EMPTY_BOARD,
        Outcome.NOT_SERVED,
    }
)


class SourceError(QuantsyncError):
    """A fetch failed; ``outcome`` says how, ``transient`` whether seconds may cure it."""

    outcome = Outcome.ERROR
    transient = False


class ThrottledError(SourceError):
    """The upstream shows a throttling sign: closed connection, 403/429, captcha, empty success.

    Attributes:
        banned: Whether the address is banned now, so that what was asked for is not at fault.
    """

    outcome = Outcome.THROTTLED
    transient = True
    banned = False


class EmptySuccessError(ThrottledError):
    """Success without data: a throttling sign, or the upstream's answer to this one question.

    Only several questions that are answered so in a row show that the upstream is away.
    """


class BannedError(SourceError):
    """The upstream has banned the address: nothing is sent before the ban's next probe."""

    outcome = Outcome.BANNED


class UnreachableError(SourceError):
    """No connection to the upstream: name resolution, refusal, or a dead proxy."""

    outcome = Outcome.UNREACHABLE
    transient = True


class KnownUnreachableError(UnreachableError):
    """A moment ago the upstream could not be reached, or was silent: the request was not tried."""

    transient = False


class UpstreamFailedError(SourceError):
    """The upstream answered with a server error."""

    outcome = Outcome.UPSTREAM_ERROR
    transient = True


class UpstreamTimeoutError(SourceError):
    """The upstream did not answer in time."""

    outcome = Outcome.TIMEOUT
    transient = True


class DeadlinePassedError(SourceError):
    """The time the batch was given is over: the request was not sent."""

    outcome = Outcome.TIMEOUT


class MalformedBodyError(SourceError):
    """The body is cut or is no JSON."""

    outcome = Outcome.MALFORMED
    transient = True


class TruncatedListError(SourceError):
    """A list's rows do not add up to the upstream's own total, or repeat."""

    outcome = Outcome.TRUNCATED
    transient = True


class StaleListError(TruncatedListError):
    """A page of a list shows an earlier session than its others."""


class SchemaDriftError(SourceError):
    """Columns, types or units are not those this adapter was written for."""

    outcome = Outcome.SCHEMA_DRIFT


class OtherSymbolError(SourceError):
    """The body says that its bars are another symbol's, or another board's."""

    outcome = Outcome.OTHER_SYMBOL
    transient = True


class UnknownSymbolError(SourceError):
    """The upstream knows no such code."""

    outcome = Outcome.UNKNOWN_SYMBOL


class EmptyBoardError(UnknownSymbolError):
    """The upstream's word for a board that has no members, or that it does not know."""


class NotServedError(SourceError):
    """The upstream has the symbol's bars, and none of what was asked for: asking again is idle."""

    outcome = Outcome.NOT_SERVED


class NotOfferedError(SourceError):
    """The upstream has no such data by its nature, or none that can be read: it was not asked."""

    outcome = Outcome.NOT_OFFERED


class InconsistentError(SourceError):
    """Answers that contradict each other, so that none of them is taken."""

    outcome = Outcome.INVALID


class BudgetUnavailableError(SourceError):
    """No permit to send: the budget's Redis is away, or the wait would pass the deadline."""

    outcome = Outcome.BUDGET_UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Bars:
    """A whole answer for one window.

    Attributes:
        table: Bars in the dataset's schema, sorted. Minute bars outside the window asked for are
            left out, since the upstream takes none; daily ones are a fault, and are seen here.
        history: Bars the upstream says it holds of this series over all time, if it says.
        changes: Close minus the raw close before, CNY, row by row; None if the upstream gives none.
        since: The answer says nothing of sessions before; None: it speaks for the whole window.
        instead_of: Why another upstream than the usual one answered; None: it was the usual one.
    """

    table: pa.Table
    history: int | None
    changes: pa.ChunkedArray | None = None
    since: date | None = None
    instead_of: str | None = None


@dataclass(frozen=True, slots=True)
class FoundExRights:
    """Ex-rights of one symbol.

    Attributes:
        events: Ascending.
        since: First session from which there are no others.
        until: Last session up to which there are no others; None: it has no final bar yet.
        whole: Whether these are all there ever were, not those since ``since`` only.
    """

    events: tuple[ExRight, ...]
    since: date | None
    until: date | None
    whole: bool = True


class KlineSource(Protocol):
    """An upstream's unadjusted bars of symbols, and nothing else.

    It raises a :class:`SourceError` that names the symbol; it never returns an empty table for a
    failure.
    """

    name: str

    def fetch_klines(self, symbol: Symbol, period: Period, window: Window) -> Bars:
        """Bars of one symbol within a closed window of sessions."""
        ...


class Source(Protocol):
    """An upstream's market data as clean Arrow tables.

    Every method sends requests through the wire, so it may wait for the budget. Every method
    raises a :class:`SourceError` that names the symbol or board; none returns an empty table for
    a failure.
    """

    name: str

    def now(self) -> datetime:
        """Exchange time, by this upstream's clock."""
        ...

    def fetch_klines(
        self, symbol: Symbol, period: Period, window: Window, adjustment: Adjustment
    ) -> Bars:
        """Bars of one symbol within a closed window of sessions."""
        ...

    def fetch_ex_rights(
        self,
        symbol: Symbol,
        session: date,
        reference: float | None = None,
        held: pa.Table | None = None,
    ) -> FoundExRights:
        """All ex-rights of one symbol up to the latest session that has begun.

        Given the final raw daily bars held up to the session before, and the session's previous
        close, only that session's, where the upstream can tell it by itself.
        """
        ...

    def fetch_quotes(self) -> pa.Table:
        """Quotes of all listed A shares (``QUOTES_SCHEMA``), proven whole."""
        ...

    def fetch_board_list(self, kind: BoardKind) -> pa.Table:
        """All boards of a kind (``BOARD_LIST_SCHEMA``), proven whole."""
        ...

    def fetch_board_members(self, kind: BoardKind, board: str) -> pa.Table:
        """Members of a board (``BOARD_MEMBERS_SCHEMA``), proven whole."""
        ...

    def fetch_board_klines(self, kind: BoardKind, board: str, window: Window) -> Bars:
        """Daily bars of a board within a closed window of sessions."""
        ...


def failure_of(error: BaseException) -> tuple[Outcome, str]:
    """The outcome and the reason that an exception stands for in the ledger."""
    if isinstance(error, SourceError):
        return error.outcome, error.message
    return Outcome.ERROR, f"{type(error).__name__}: {error}"


def count_outcomes(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How often each outcome stands in a sequence, by name."""
    return {o.value: n for o in Outcome if (n := sum(1 for each in outcomes if each is o))}
