"""Keys of the web application: made, told apart, revoked. A secret is shown once.

A key is ``qs_<id>_<secret>``. The secret is 256 random bits and kept hashed: one round of SHA-256
guards what cannot be guessed.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import insert, or_, select, update

from market.errors import UsageError
from storage.api_tables import api_key
from storage.database import Database

_KEY = re.compile(r"qs_([0-9a-f]{12})_([0-9A-Za-z_-]{43})")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,80}")


class Scope(StrEnum):
    """What a key may do; ``OPERATE`` may read, too."""

    READ = "read"
    OPERATE = "operate"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. Instants are epoch seconds.

    Attributes:
        key_id: Names it; no secret.
        name: What it is for.
        revoked_at: Since when it opens nothing; None: it does.
        last_used_at: To about a minute; None: never.
    """

    key_id: str
    name: str
    scope: Scope
    secret_hash: str
    created_at: float
    created_by: str
    revoked_at: float | None
    last_used_at: float | None

    def opens(self, secret: str) -> bool:
        """Whether a secret is this key's, and the key not revoked."""
        same = hmac.compare_digest(self.secret_hash, _hash(secret))
        return same and self.revoked_at is None


class ApiKeys:
    """The keys of an installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, scope: Scope, by: str) -> tuple[ApiKey, str]:
        """Make a key.

        Args:
            name: What it is for: one line of up to 80 signs.
            scope: What it may do.
            by: Who makes it, ``user@host``.

        Returns:
            The key, and its text, which nobody can tell again.

        Raises:
            UsageError: Not such a name.
            StorageError: The database cannot be used; there is no new key.
        """
        if not _NAME.fullmatch(name) or not name.strip():
            raise UsageError(f"the name {name!r} cannot be a key's: give one line of 1 to 80 signs")
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        with self._database.writing() as connection:
            now = self._database.now(connection)
            made = ApiKey(key_id, name.strip(), scope, _hash(secret), now, by, None, None)
            connection.execute(
                insert(api_key).values(
                    key_id=key_id,
                    name=made.name,
                    scope=scope.value,
                    secret_hash=made.secret_hash,
                    created_at=now,
                    created_by=by,
                )
            )
        return made, f"qs_{key_id}_{secret}"

    def all(self) -> list[ApiKey]:
        """Every key, revoked ones too, the oldest first.

        Raises:
            StorageError: The database cannot be used.
        """
        with self._database.reading() as connection:
            rows = connection.execute(select(api_key).order_by(api_key.c.created_at)).mappings()
            return [ApiKey(**{**row, "scope": Scope(row["scope"])}) for row in rows.all()]

    def revoke(self, key_id: str) -> bool:
        """Let a key open nothing any more; False if it was revoked before.

        Raises:
            UsageError: There is no such key.
            StorageError: The database cannot be used.
        """
        with self._database.writing() as connection:
            known = connection.execute(
                select(api_key.c.revoked_at).where(api_key.c.key_id == key_id)
            ).first()
            if known is None:
                raise UsageError(
                    f"{key_id!r} is no key: `quantsync keys list` shows their ids", {"key": key_id}
                )
            if known.revoked_at is not None:
                return False
            now = self._database.now(connection)
            connection.execute(
                update(api_key).where(api_key.c.key_id == key_id).values(revoked_at=now)
            )
        return True

    def note_use(self, used: Mapping[str, float]) -> None:
        """Note when keys were used; what another process noted later stays.

        Args:
            used: When each was, by its id, on this process's ``time.monotonic``: between that and
                now it may have been revoked.

        Raises:
            StorageError: The database cannot be used.
        """
        noted = api_key.c.last_used_at
        with self._database.writing() as connection:
            now, here = self._database.now(connection), time.monotonic()
            for key_id, instant in sorted(used.items()):
                at = now - max(0.0, here - instant)
                connection.execute(
                    update(api_key)
                    .where(api_key.c.key_id == key_id, or_(noted.is_(None), noted < at))
                    .values(last_used_at=at)
                )


def split_key(text: str) -> tuple[str, str] | None:
    """Id and secret of a key's text; None if it cannot be one."""
    found = _KEY.fullmatch(text)
    return None if found is None else (found[1], found[2])


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
