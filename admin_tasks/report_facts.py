"""What a report states, before anything is drawn: plain values, read from the stores.

Sessions are civil dates of the exchange, instants are aware and in Shanghai time, prices CNY
(boards: index points), changes shares of one (0.05 is 5 %), amounts CNY, volumes shares.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from ingest.budget_report import BudgetReport
from market.bars import Dataset
from market.boards import BoardKind
from market.periods import Period
from storage.doubt_counts import KeptOutBars, KeptOutList, Replaced
from storage.gaps import Reason
from storage.session_runs import Repeats


@dataclass(frozen=True, slots=True)
class Freshness:
    """One dataset and period against the calendar, up to the report's session.

    Attributes:
        series: Symbols or boards of which the session is expected.
        held: Those whose session is held and final.
        idle: Those that owe nothing for it: suspended, not listed yet, or no longer.
        late: Those whose session may still be fetched.
        gone: Those whose session can no longer be had.
        complete_to: The last session up to which no series owes anything; None: there is none.
        late_since: The first session that a series owes.
        late_series: Series that owe any session.
        owed: Sessions that may still be fetched, of all series.
        lost: Sessions that can no longer be had, of all series.
        days: The latest sessions, ascending: how many series hold it, of how many that should.
    """

    dataset: Dataset
    period: Period
    series: int
    held: int
    idle: int
    late: int
    gone: int
    complete_to: date | None
    late_since: date | None
    late_series: int
    owed: int
    lost: int
    days: tuple[tuple[date, int, int], ...]

    @property
    def share(self) -> float | None:
        """Held of those that should be; None: none should."""
        due = self.held + self.late + self.gone
        return self.held / due if due else None


@dataclass(frozen=True, slots=True)
class Missing:
    """Sessions that are missing for one reason.

    Attributes:
        says: The reason in words; where fetches failed, what the most of them said.
        series: How many symbols or boards.
        sessions: How many sessions, of all of them.
        since: The first of them.
        until: The last of them.
        names: Some of the symbols or boards, those with the most first.
    """

    dataset: Dataset
    period: Period
    reason: Reason
    says: str
    series: int
    sessions: int
    since: date
    until: date
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expiring:
    """A session that is owed and that the upstream will soon serve no more.

    Attributes:
        series: How many symbols owe it.
        closes_left: It is gone after so many more closes.
    """

    period: Period
    session: date
    series: int
    closes_left: int


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run of the session.

    Attributes:
        repairs: Whether it was begun to fetch gaps.
        done: Fetches ended, of ``items``.
        elapsed_s: Seconds until its end, or until now.
    """

    run_id: str
    kind: str
    period: str | None
    state: str
    lane: str
    slot: str | None
    upstream: str
    began_at: datetime
    elapsed_s: float
    done: int
    items: int
    bars: int
    requests: int
    reason: str | None
    repairs: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """Fetches that ended alike.

    Attributes:
        work: What was fetched.
        reason: What the most of them said.
        subjects: How many symbols, boards or lists.
        names: Some of them.
    """

    work: str
    period: str | None
    outcome: str
    reason: str
    subjects: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The runs of the session, and what went wrong and right in them.

    Attributes:
        states: How many runs ended how.
        lines: Some of them: those that are not committed first, then the newest.
        failed: Kind, reason and number of runs that failed alike, the most first.
        failures: Fetches that failed, and that no later run of the session made good.
        recovered: Fetches that failed, and that a later run made good.
        repeats: Batches and commits that were begun more than once.
        repairs: Runs that were begun to fetch gaps.
        repaired_bars: Bars that those wrote.
        notices: What runs want a person to know, with how many runs said it.
        requests: Requests sent, by upstream.
        bars: Bars written by all runs.
    """

    states: Mapping[str, int] = field(default_factory=dict)
    lines: tuple[RunLine, ...] = ()
    failed: tuple[tuple[str, str, int], ...] = ()
    failures: tuple[Failure, ...] = ()
    recovered: tuple[Failure, ...] = ()
    repeats: Repeats = field(default_factory=Repeats)
    repairs: int = 0
    repaired_bars: int = 0
    notices: tuple[tuple[str, int], ...] = ()
    requests: Mapping[str, int] = field(default_factory=dict)
    bars: int = 0

    @property
    def total(self) -> int:
        """How many runs."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class Budgets:
    """What the request budgets say.

    Attributes:
        reports: One each.
        unreachable: Why none can be asked; None: they were.
    """

    reports: tuple[BudgetReport, ...] = ()
    unreachable: str | None = None


@dataclass(frozen=True, slots=True)
class Doubts:
    """What was not taken, and what gave way."""

    bars: tuple[KeptOutBars, ...] = ()
    lists: tuple[KeptOutList, ...] = ()
    replaced: tuple[Replaced, ...] = ()

    @property
    def open_bars(self) -> int:
        """Bars that wait for a decision; one that breaks two rules counts for both."""
        return sum(each.statuses.get("open", 0) for each in self.bars)


@dataclass(frozen=True, slots=True)
class Mover:
    """A symbol's session.

    Attributes:
        change: Close by previous close, less one; the previous close less what an ex-right took.
        beyond_limit: Whether it moved further than the exchange lets it from one close to the next.
    """

    symbol: str
    name: str | None
    close: float
    change: float
    amount: float
    beyond_limit: bool = False


@dataclass(frozen=True, slots=True)
class BoardHeat:
    """A board's session."""

    board: str
    name: str | None
    kind: BoardKind
    change: float
    amount: float


@dataclass(frozen=True, slots=True)
class Candle:
    """One daily bar of a chart."""

    session: date
    open: float
    high: float
    low: float
    close: float
    volume: int


@dataclass(frozen=True, slots=True)
class Chart:
    """The daily bars of one symbol, forward-adjusted by the ex-rights that are known, ascending."""

    symbol: str
    name: str | None
    candles: tuple[Candle, ...]


@dataclass(frozen=True, slots=True)
class MarketFacts:
    """The market on the session, as far as daily bars are held.

    Attributes:
        traded: Symbols with a bar of it.
        compared: Those of them with an earlier bar to compare with.
        gainers: The largest gains, first the largest.
        losers: The largest losses, first the largest.
        boards: Boards with the largest amounts and changes, by kind and amount.
        chart: The symbol of the largest amount; None: no bar is held.
    """

    traded: int = 0
    compared: int = 0
    up: int = 0
    down: int = 0
    amount: float = 0.0
    amount_before: float = 0.0
    gainers: tuple[Mover, ...] = ()
    losers: tuple[Mover, ...] = ()
    boards: tuple[BoardHeat, ...] = ()
    chart: Chart | None = None

    @property
    def any_beyond_limit(self) -> bool:
        """Whether a move that is shown has a cause that is not."""
        return any(mover.beyond_limit for mover in (*self.gainers, *self.losers))

    def boards_of(self, kind: BoardKind) -> list[BoardHeat]:
        """The boards of one kind, the largest amount first."""
        return [each for each in self.boards if each.kind is kind]


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """Everything that one report states.

    Attributes:
        session: What it is about.
        made_at: When the stores were read.
        simulated: Whether the prices are those of a simulated market.
        home: Where the installation keeps its data.
        names: Names of the symbols and boards that are mentioned.
        holds_later: Whether bars of later sessions are held.
    """

    session: date
    made_at: datetime
    simulated: bool
    home: str
    freshness: tuple[Freshness, ...] = ()
    late: tuple[Missing, ...] = ()
    gone: tuple[Missing, ...] = ()
    expiring: tuple[Expiring, ...] = ()
    runs: RunFacts = field(default_factory=RunFacts)
    budgets: Budgets = field(default_factory=Budgets)
    doubts: Doubts = field(default_factory=Doubts)
    market: MarketFacts = field(default_factory=MarketFacts)
    names: Mapping[str, str] = field(default_factory=dict)
    holds_later: bool = False
