"""How many bars and lists are in quarantine, and how many bars of a session gave way to others."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time

from sqlalchemy import func, select

from market.bars import BarState, Dataset
from market.clock import EXCHANGE_TZ
from market.periods import Period
from storage.database import Database
from storage.ledger_tables import kline_quarantine
from storage.list_quarantine import QuarantineStatus
from storage.tables import KLINE_TABLES, board, kline_revision, list_quarantine, symbol

_NAMES = 6


@dataclass(frozen=True, slots=True)
class KeptOutBars:
    """Bars that break one rule.

    Attributes:
        rule: The rule's name.
        statuses: How many stand at each status.
        new: How many of them were kept out by the runs asked about.
    """

    rule: str
    statuses: Mapping[str, int]
    new: int


@dataclass(frozen=True, slots=True)
class KeptOutList:
    """A list that was set aside and waits for a decision."""

    name: str
    session: date
    rows: int
    reason: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """Bars of one session that others took the place of.

    Attributes:
        state: What they were: provisional, as is planned, or final.
        series: Of how many symbols or boards.
        names: Some of them, those with the most first; none of provisional bars.
    """

    dataset: Dataset
    period: Period
    state: str
    bars: int
    series: int
    names: tuple[str, ...]


def kept_out_bars(database: Database, run_ids: Collection[str]) -> list[KeptOutBars]:
    """All bars in quarantine, by rule; one that breaks two rules counts for both.

    Args:
        database: Where they are.
        run_ids: The runs whose share is counted apart.

    Raises:
        StorageError: The database cannot be read.
    """
    columns = kline_quarantine.c
    query = select(columns.reasons, columns.status, columns.run_id, func.count()).group_by(
        columns.reasons, columns.status, columns.run_id
    )
    statuses: dict[str, Counter[str]] = {}
    new: Counter[str] = Counter()
    with database.reading() as connection:
        for reasons, status, run_id, count in connection.execute(query):
            for rule in reasons.split(","):
                statuses.setdefault(rule, Counter())[status] += count
                new[rule] += count if run_id in run_ids else 0
    return [KeptOutBars(rule, dict(statuses[rule]), new[rule]) for rule in sorted(statuses)]


def waiting_lists(database: Database) -> list[KeptOutList]:
    """The lists that were set aside and about which nothing is decided, oldest first.

    Raises:
        StorageError: The database cannot be read.
    """
    columns = list_quarantine.c
    query = (
        select(columns.list, columns.session, columns.rows, columns.reason)
        .where(columns.status == QuarantineStatus.OPEN.value)
        .order_by(columns.id)
    )
    with database.reading() as connection:
        return [KeptOutList(*row) for row in connection.execute(query)]


def replaced_bars(database: Database, session: date) -> list[Replaced]:
    """How many bars of a session gave way to others, by dataset, period and state.

    Raises:
        StorageError: The database cannot be read.
    """
    first = int(datetime.combine(session, time.min, EXCHANGE_TZ).timestamp())
    last = int(datetime.combine(session, time.max, EXCHANGE_TZ).timestamp())
    kept = kline_revision.c
    found = []
    with database.reading() as connection:
        for dataset, period in KLINE_TABLES:
            owner, code = (
                (symbol, symbol.c.symbol) if dataset is Dataset.KLINE else (board, board.c.code)
            )
            # By way of the owner: the index begins with the series, and the table has many bars.
            query = (
                select(kept.state, code, func.count())
                .select_from(owner)
                .join(kline_revision, kept.subject_id == owner.c.id)
                .where(kept.dataset == dataset.value, kept.period == period.value)
                .where(kept.end_at.between(first, last))
                .group_by(kept.state, code)
                .order_by(kept.state, code)
            )
            by_state: dict[str, Counter[str]] = {}
            for state, name, count in connection.execute(query):
                by_state.setdefault(state, Counter())[name] += count
            found += [
                Replaced(dataset, period, state, names.total(), len(names), _some(state, names))
                for state, names in by_state.items()
            ]
    return found


def _some(state: str, names: Counter[str]) -> tuple[str, ...]:
    if state == BarState.PROVISIONAL.value:
        return ()
    return tuple(name for name, _ in names.most_common(_NAMES))
