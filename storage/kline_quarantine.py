"""Bars that were kept out: entering them, finding them, and what a person decided about them."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, select, update

from market.bars import VALUE_COLUMNS, BarState
from market.errors import QuantsyncError
from market.sessions import bar_end
from storage.database import Database
from storage.ledger_tables import kline_quarantine
from storage.run_records import QuarantinedBar
from storage.upserts import insert_into


class BarDecision(StrEnum):
    """What became of a bar that was kept out."""

    OPEN = "open"
    ACCEPTED = "accepted"
    DROPPED = "dropped"


class NoSuchEntryError(QuantsyncError):
    """The quarantine holds no entry of that number."""


@dataclass(frozen=True, slots=True)
class BarEntry:
    """A bar in quarantine.

    Attributes:
        row: The bar by the columns of the kline schema, dates as ISO text.
        reasons: Names of the rules it breaks.
        quarantined_at: Epoch seconds.
        decided_at: Epoch seconds; None while it is open.
        decided_by: ``user@host``.
    """

    id: int
    run_id: str
    dataset: str
    period: str
    subject: str
    end_at: int
    row: dict[str, Any]
    reasons: tuple[str, ...]
    quarantined_at: float
    status: str
    decided_by: str | None
    decided_at: float | None
    note: str | None


@dataclass(frozen=True, slots=True)
class BarFilter:
    """Which entries are wanted; None: any."""

    subject: str | None = None
    period: str | None = None
    status: BarDecision | None = None
    rule: str | None = None
    run_id: str | None = None
    start: date | None = None
    end: date | None = None


def content_hash(row: Mapping[str, object]) -> str:
    """What two fetches of the same bad bar have in common.

    A provisional bar changes with every fetch, and is bad in the same way: it is kept once.
    """
    if row.get("state") == BarState.PROVISIONAL.value:
        return BarState.PROVISIONAL.value
    values = [row.get(name) for name in VALUE_COLUMNS]
    plain = [float(v) if isinstance(v, int | float) else v for v in values]
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()


def enter_bars(
    connection: Connection, run_id: str, bars: Iterable[QuarantinedBar], now: float
) -> None:
    """Keep rejected bars; one with the same values and reasons is not kept twice."""
    rows = [
        {
            "run_id": run_id,
            "dataset": bar.dataset.value,
            "period": bar.period.value,
            "subject": bar.subject,
            "end_at": bar.end_at,
            "reasons": bar.reasons,
            "content_hash": content_hash(bar.row),
            "row": json.dumps(dict(bar.row)),
            "quarantined_at": now,
            "status": BarDecision.OPEN.value,
        }
        for bar in bars
    ]
    if rows:
        statement = insert_into(connection, kline_quarantine).on_conflict_do_nothing()
        connection.execute(statement, rows)


class BarQuarantine:
    """The bars that were kept out. Every method is one transaction; nothing is ever deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def entries(self, wanted: BarFilter, limit: int | None = None) -> list[BarEntry]:
        """Entries, by subject, period and time."""
        columns = kline_quarantine.c
        query = select(kline_quarantine).order_by(
            columns.subject, columns.period, columns.end_at, columns.id
        )
        query = _filtered(query, wanted)
        if limit is not None:
            query = query.limit(limit)
        with self._database.reading() as connection:
            return [_entry(row) for row in connection.execute(query).mappings()]

    def entry(self, number: int) -> BarEntry:
        """One entry.

        Raises:
            NoSuchEntryError: There is none of that number.
        """
        query = select(kline_quarantine).where(kline_quarantine.c.id == number)
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise NoSuchEntryError(
                f"the quarantine holds no bar b{number}: `quantsync quarantine list` shows those "
                "it holds",
                {"id": number},
            )
        return _entry(row)

    def decided(self, dataset: str, period: str, subject: str) -> list[BarEntry]:
        """Entries of a series about which a person decided."""
        columns = kline_quarantine.c
        query = (
            select(kline_quarantine)
            .where(columns.dataset == dataset, columns.period == period)
            .where(columns.subject == subject, columns.status != BarDecision.OPEN.value)
        )
        with self._database.reading() as connection:
            return [_entry(row) for row in connection.execute(query).mappings()]

    def decide(
        self, numbers: Sequence[int], decision: BarDecision, by: str, note: str | None
    ) -> None:
        """Note what a person decided about entries, over what was decided before. Idempotent."""
        with self._database.writing() as connection:
            connection.execute(
                update(kline_quarantine)
                .where(kline_quarantine.c.id.in_(numbers))
                .values(
                    status=decision.value,
                    decided_by=by,
                    decided_at=self._database.now(connection),
                    note=note,
                )
            )


def _filtered(query: Select[Any], wanted: BarFilter) -> Select[Any]:
    columns = kline_quarantine.c
    for column, value in (
        (columns.subject, wanted.subject),
        (columns.period, wanted.period),
        (columns.status, wanted.status),
        (columns.run_id, wanted.run_id),
    ):
        if value is not None:
            query = query.where(column == str(value))
    if wanted.rule is not None:
        # No rule's name is part of another's.
        query = query.where(columns.reasons.contains(wanted.rule, autoescape=True))
    if wanted.start is not None:
        query = query.where(columns.end_at >= int(bar_end(wanted.start).timestamp()) - _SESSION_S)
    if wanted.end is not None:
        query = query.where(columns.end_at <= int(bar_end(wanted.end).timestamp()))
    return query


_SESSION_S = 15 * 3600
"""From midnight to the close: intraday bars of the first day count."""


def _entry(row: RowMapping) -> BarEntry:
    values = {name: row[name] for name in BarEntry.__dataclass_fields__}
    reasons = tuple(str(row["reasons"]).split(","))
    return BarEntry(**{**values, "row": json.loads(row["row"]), "reasons": reasons})


def typed_row(entry: BarEntry) -> dict[str, Any]:
    """The bar of an entry with dates and instants as such, as the kline schema wants it."""
    return {
        **entry.row,
        "session": date.fromisoformat(entry.row["session"]),
        "end_at": datetime.fromisoformat(entry.row["end_at"]),
        "fetched_at": datetime.fromisoformat(entry.row["fetched_at"]),
    }
