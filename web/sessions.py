"""Logins of the page: a signed cookie that stands for a key, and the CSRF token with it."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.responses import Response

from market.errors import ConfigurationError
from storage.api_keys import ApiKey

COOKIE = "quantsync_session"
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf_token"
SECRET_FILE = "web.secret"  # noqa: S105  (its name, not a secret)
_SHORTEST = 32


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie says.

    Attributes:
        key_id: The key it stands for.
        nonce: Random; the CSRF token is made of it, and logging out ends it.
    """

    key_id: str
    nonce: str


class Sessions:
    """Makes and reads cookies with the secret of this installation.

    Attributes:
        seconds: A login lasts so long.

    Args:
        secret: At least 32 random bytes as text.
        hours: A login lasts so long.
    """

    def __init__(self, secret: str, hours: float) -> None:
        self.seconds = round(hours * 3600)
        self._cookies = URLSafeTimedSerializer(secret, salt="quantsync session")
        self._tokens = URLSafeTimedSerializer(secret, salt="quantsync csrf")

    def begin(self, key: ApiKey) -> Session:
        """A new login with a key."""
        return Session(key.key_id, secrets.token_urlsafe(16))

    def set_cookie(self, response: Response, session: Session, *, secure: bool) -> None:
        """Let an answer set the cookie of a login.

        Args:
            response: The answer.
            session: The login.
            secure: Whether it came over HTTPS: then the cookie goes nowhere else.
        """
        value = str(self._cookies.dumps([session.key_id, session.nonce]))
        response.set_cookie(
            COOKIE, value, max_age=self.seconds, httponly=True, secure=secure, samesite="strict"
        )

    def remove_cookie(self, response: Response) -> None:
        """Let an answer remove the cookie; what it opens is ended by the key ring."""
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")

    def read(self, cookie: str) -> Session | None:
        """The login of a cookie; None if it is forged, or has ended."""
        try:
            key_id, nonce = self._cookies.loads(cookie, max_age=self.seconds)
        except (BadData, ValueError, TypeError):
            return None
        return Session(str(key_id), str(nonce))

    def token(self, session: Session) -> str:
        """The CSRF token of a login, for the forms and requests of its pages."""
        return str(self._tokens.dumps(session.nonce))

    def is_token(self, session: Session, token: str | None) -> bool:
        """Whether a CSRF token belongs to a login."""
        if not token:
            return False
        try:
            nonce = self._tokens.loads(token, max_age=self.seconds)
        except BadData:
            return False
        return secrets.compare_digest(str(nonce).encode(), session.nonce.encode())


def read_secret(home: Path) -> str:
    """The secret that cookies are signed with: kept in the home, made at the first start.

    Raises:
        ConfigurationError: It cannot be read or made, or others may read it.
    """
    path = home / SECRET_FILE
    try:
        home.mkdir(parents=True, exist_ok=True)
        try:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(number, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(48))
                file.flush()
                os.fsync(file.fileno())
        mode, text = path.stat().st_mode, path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read or made ({error}): logins are signed with it; give permission, "
            "or set QUANTSYNC_HOME to a folder that can be written"
        ) from error
    if mode & 0o077 or len(text) < _SHORTEST:
        raise ConfigurationError(
            f"{path} may be read by others, or is too short: remove it, and the next start makes a "
            "new one (all logins end)"
        )
    return text
