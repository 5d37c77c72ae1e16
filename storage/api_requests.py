"""What the web application was asked to write: an audit of it, and requests with a name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from storage.api_tables import api_audit, api_request
from storage.database import Database

KEPT_S = 7 * 86_400.0
"""A request that names itself is remembered for so long."""

_MOST_ABOUT = 10_000


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A request that would write. ``at`` is epoch seconds.

    Attributes:
        key_id: Who asked; None: nobody who is known.
        via: ``key``, ``session`` or ``nobody``.
        status: Of the answer; None: none was given.
        about: What was asked for.
    """

    id: int
    at: float
    key_id: str | None
    via: str
    address: str
    method: str
    path: str
    status: int | None
    about: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """A request that was asked before under its name.

    Attributes:
        content: Hash of what was asked for then.
        subject: What it became.
        age_s: How long ago it was first asked.
    """

    content: str
    subject: str
    age_s: float


class ApiRequests:
    """Requests as the database keeps them. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(
        self,
        *,
        key_id: str | None,
        via: str,
        address: str,
        method: str,
        path: str,
        about: Mapping[str, object],
    ) -> int:
        """Enter a request before it is done; its number.

        Raises:
            StorageError: The database cannot be used: then nothing is to be done.
        """
        told = json.dumps(dict(about), ensure_ascii=False, default=str)
        if len(told) > _MOST_ABOUT:
            told = json.dumps({"cut": told[: _MOST_ABOUT // 2]}, ensure_ascii=False)
        with self._database.writing() as connection:
            values = {
                "at": self._database.now(connection),
                "key_id": key_id,
                "via": via,
                "address": address[:64],
                "method": method,
                "path": path[:200],
                "about": told,
            }
            entered = insert(api_audit).values(values).returning(api_audit.c.id)
            return int(connection.execute(entered).scalar_one())

    def end(self, number: int, status: int, about: Mapping[str, object] | None = None) -> None:
        """Note how a request was answered, and what came of it.

        Raises:
            StorageError: The database cannot be used.
        """
        with self._database.writing() as connection:
            values: dict[str, object] = {"status": status}
            if about:
                told = connection.scalar(select(api_audit.c.about).where(api_audit.c.id == number))
                values["about"] = json.dumps(
                    json.loads(told or "{}") | dict(about), ensure_ascii=False, default=str
                )
            connection.execute(update(api_audit).where(api_audit.c.id == number).values(values))

    def entries(self, limit: int) -> list[AuditEntry]:
        """The newest entries, newest first.

        Raises:
            StorageError: The database cannot be used.
        """
        query = select(api_audit).order_by(api_audit.c.id.desc()).limit(limit)
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [AuditEntry(**{**row, "about": json.loads(row["about"])}) for row in rows]

    def claim(self, key_id: str, name: str, content: str, subject: str) -> Known | None:
        """Take a name for a request; the one that has it, where one has.

        Args:
            key_id: Who asks: names are theirs.
            name: The request's ``Idempotency-Key``.
            content: Hash of what is asked for.
            subject: What it is to become.

        Raises:
            StorageError: The database cannot be used.
        """
        mine = (api_request.c.key_id == key_id) & (api_request.c.idempotency_key == name)
        values = {
            "key_id": key_id,
            "idempotency_key": name,
            "content": content,
            "subject": subject,
        }
        try:
            with self._database.writing() as connection:
                now = self._database.now(connection)
                connection.execute(
                    delete(api_request).where(api_request.c.created_at < now - KEPT_S)
                )
                connection.execute(insert(api_request).values(**values, created_at=now))
        except IntegrityError:
            with self._database.reading() as connection:
                now = self._database.now(connection)
                row = connection.execute(select(api_request).where(mine)).one()
            return Known(row.content, row.subject, now - row.created_at)
        return None

    def give_up(self, key_id: str, name: str, subject: str) -> None:
        """Free a name whose request came to nothing.

        Raises:
            StorageError: The database cannot be used.
        """
        with self._database.writing() as connection:
            connection.execute(
                delete(api_request)
                .where(api_request.c.key_id == key_id, api_request.c.idempotency_key == name)
                .where(api_request.c.subject == subject)
            )
