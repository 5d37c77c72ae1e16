"""Lists that were set aside, as a person looks at them and decides about them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import RowMapping, select, update

from storage.database import Database
from storage.kline_quarantine import NoSuchEntryError
from storage.list_quarantine import QuarantineStatus
from storage.tables import list_quarantine


@dataclass(frozen=True, slots=True)
class ListEntry:
    """A list in quarantine.

    Attributes:
        name: ``symbols``, ``concept_boards``, ``industry_boards``, or a board for its members.
        session: The session it shows.
        names: What it names, ascending.
        whole: Its rows; None if they were not kept.
        seen_at: Epoch seconds.
        decided_at: Epoch seconds; None if no person decided.
        decided_by: ``user@host``.
    """

    id: int
    name: str
    session: date
    run_id: str
    reason: str
    rows: int
    names: tuple[str, ...]
    whole: list[dict[str, Any]] | None
    status: str
    seen_at: float
    decided_by: str | None
    decided_at: float | None
    note: str | None


class ListEntries:
    """The lists that were set aside. Every method is one transaction; nothing is ever deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def entries(
        self,
        *,
        name: str | None = None,
        status: QuarantineStatus | None = None,
        run_id: str | None = None,
        limit: int | None = None,
    ) -> list[ListEntry]:
        """Entries, oldest first; None: any."""
        query = select(list_quarantine).order_by(list_quarantine.c.id)
        wanted = (
            (list_quarantine.c.list, name),
            (list_quarantine.c.status, status),
            (list_quarantine.c.run_id, run_id),
        )
        for column, value in wanted:
            if value is not None:
                query = query.where(column == str(value))
        with self._database.reading() as connection:
            return [_entry(row) for row in connection.execute(query.limit(limit)).mappings()]

    def entry(self, number: int) -> ListEntry:
        """One entry.

        Raises:
            NoSuchEntryError: There is none of that number.
        """
        query = select(list_quarantine).where(list_quarantine.c.id == number)
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise NoSuchEntryError(
                f"the quarantine holds no list l{number}: `quantsync quarantine list --what lists` "
                "shows those it holds",
                {"id": number},
            )
        return _entry(row)

    def decide(
        self, numbers: Sequence[int], status: QuarantineStatus, by: str | None, note: str | None
    ) -> None:
        """Note what a person decided; ``by`` None takes a decision back. Idempotent."""
        with self._database.writing() as connection:
            decided_at = None if by is None else self._database.now(connection)
            connection.execute(
                update(list_quarantine)
                .where(list_quarantine.c.id.in_(numbers))
                .values(status=status.value, decided_by=by, decided_at=decided_at, note=note)
            )


def _entry(row: RowMapping) -> ListEntry:
    fields = set(ListEntry.__dataclass_fields__) - {"name", "names", "whole"}
    whole = json.loads(row["whole"]) if row["whole"] else None
    names = tuple(json.loads(row["content"]))
    values = {field: row[field] for field in fields}
    return ListEntry(**values, name=row["list"], names=names, whole=whole)
