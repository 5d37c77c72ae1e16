"""Who asks: a key in the header, a session's cookie that stands for a key, or nobody.

The keys, and the sessions that ended, are read from the database at most once a second. Where it is
away, those read last go on opening what can be read without it, and nothing is written.
"""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from pipeline.listening import is_loopback
from pipeline.runtime import Runtime
from storage.api_keys import ApiKey, ApiKeys, Scope, split_key
from storage.api_logouts import ApiLogouts
from storage.errors import StorageError
from web.problems import ForbiddenError, UnauthorizedError
from web.sessions import COOKIE, CSRF_HEADER, Session
from web.snapshots import Snapshot

log = logging.getLogger(__name__)

_FRESH_S = 1.0
_NOTE_EVERY_S = 60.0
_SAFE = ("GET", "HEAD", "OPTIONS")
_MAKE_ONE = "`quantsync keys create --scope {scope}` makes one"


class Via(StrEnum):
    """How it is known who asks."""

    KEY = "key"
    SESSION = "session"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        key: Whose rights they have; None: those of nobody, who may read on loopback while no key
            was ever made.
        via: How that is known.
        session: The session that the cookie stands for; None: there is none.
    """

    key: ApiKey | None
    via: Via
    session: Session | None = None

    @property
    def name(self) -> str:
        """For limits, logs and the audit."""
        return self.key.key_id if self.key else "nobody"

    @property
    def may_operate(self) -> bool:
        """Whether they may write."""
        return self.key is not None and self.key.scope is Scope.OPERATE


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read of the keys, and the nonces of the sessions that ended."""

    keys: dict[str, ApiKey]
    ended: frozenset[str]


class KeyRing:
    """The keys of the installation, and the sessions that ended, as they were read last."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._snapshot = Snapshot(self._read, _FRESH_S, "the keys")
        self._used: dict[str, float] = {}
        self._to_note: dict[str, float] = {}
        self._ended_here: dict[str, float] = {}
        self._notes = ThreadPoolExecutor(1, thread_name_prefix="notes")

    @property
    def is_fresh(self) -> bool:
        """Whether they need not be read again yet."""
        return self._snapshot.is_fresh

    def refresh(self) -> None:
        """Read the keys again, and note which were used, where that is due.

        Raises:
            StorageError: The database cannot be used, and the keys were never read.
        """
        self._snapshot.get()

    def close(self) -> None:
        """Read no more."""
        self._snapshot.close()
        self._notes.shutdown(wait=False)

    def _read(self) -> _Known:
        if self._to_note:
            noted, self._to_note = self._to_note, {}
            self._notes.submit(self._note_use, noted)
        database = self._runtime.database
        keys = {key.key_id: key for key in ApiKeys(database).all()}
        return _Known(keys, ApiLogouts(database).nonces())

    def _note_use(self, used: dict[str, float]) -> None:
        """Apart from reading them: writing may have to wait for a commit of bars."""
        try:
            ApiKeys(self._runtime.database).note_use(used)
        except StorageError as error:
            log.warning("the last use of %s is not noted: %s", ", ".join(used), error)

    @property
    def _keys(self) -> dict[str, ApiKey] | None:
        known = self._snapshot.value
        return None if known is None else known.keys

    @property
    def is_empty(self) -> bool:
        """Whether no key was ever made; one that is revoked counts."""
        return self._keys is not None and not self._keys

    def get(self, key_id: str) -> ApiKey | None:
        """A key that is not revoked."""
        key = (self._keys or {}).get(key_id)
        return None if key is None or key.revoked_at is not None else key

    def opened_by(self, text: str) -> ApiKey | None:
        """The key that a text is; None if it is none that opens anything."""
        parts = split_key(text)
        if parts is None:
            return None
        key = self.get(parts[0])
        if key is None or not key.opens(parts[1]):
            return None
        self.note(key)
        return key

    def end(self, session: Session, lasts_s: float) -> None:
        """End a session, in every process and for good; in a thread.

        Args:
            session: The session.
            lasts_s: Its cookie could open no longer than so many seconds from now.

        Raises:
            StorageError: The database cannot be used; the session goes on.
        """
        ApiLogouts(self._runtime.database).end(session.nonce, lasts_s)
        now = time.monotonic()
        for nonce, until in list(self._ended_here.items()):
            if until < now:
                self._ended_here.pop(nonce, None)
        # Here it has ended at once: what is known may have been read a moment before.
        self._ended_here[session.nonce] = now + lasts_s

    def has_ended(self, session: Session) -> bool:
        """Whether a session was ended before its time."""
        known = self._snapshot.value
        return session.nonce in self._ended_here or (
            known is not None and session.nonce in known.ended
        )

    def still_admits(self, caller: Caller) -> bool:
        """Whether who asked before may go on: the key is not revoked, the session has not ended."""
        if caller.session is not None and self.has_ended(caller.session):
            return False
        return caller.key is None or self.get(caller.key.key_id) is not None

    def note(self, key: ApiKey) -> None:
        """Remember that a key was used."""
        now = time.monotonic()
        if now - self._used.get(key.key_id, -_NOTE_EVERY_S) >= _NOTE_EVERY_S:
            self._used[key.key_id] = now
            self._to_note[key.key_id] = now


def host_of(request: Request) -> str:
    """The host that a request names, in small letters and without its port."""
    text = request.headers.get("host", "").lower()
    host, _, port = text.rpartition(":")
    return host if port.isdigit() and host and (not host.count(":") or host[-1] == "]") else text


_bearer = HTTPBearer(
    auto_error=False, scheme_name="key", description="A key of `quantsync keys create`."
)
_cookie = APIKeyCookie(
    name=COOKIE, auto_error=False, scheme_name="session", description="The login of the page."
)


async def caller_of(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
    _session: Annotated[str | None, Security(_cookie)] = None,
) -> Caller:
    """Who asks, whatever they may.

    Raises:
        UnauthorizedError: A key or cookie opens nothing; or there is neither, and that is not
            enough here.
        ForbiddenError: The cookie comes without its CSRF token where something is written.
    """
    return await identify(request, bearer.credentials if bearer else None)


async def identify(request: Request, key_text: str | None) -> Caller:
    """As :func:`caller_of`, for who has the header's key at hand."""
    services = request.app.state.services
    ring: KeyRing = services.keys
    if not ring.is_fresh:
        await services.snapshots.run(ring.refresh)
    if key_text is not None:
        key = ring.opened_by(key_text)
        if key is None:
            services.limits.refuse(request.client.host if request.client else "")
            raise UnauthorizedError(
                "the key opens nothing: it is wrong or revoked; "
                + _MAKE_ONE.format(scope="read|operate"),
                {"field": "header.Authorization"},
            )
        return Caller(key, Via.KEY)
    cookie = request.cookies.get(COOKIE)
    if cookie is not None:
        return _by_cookie(request, ring, cookie)
    if request.method in _SAFE and ring.is_empty and _is_local(request):
        return Caller(None, Via.NOBODY)
    raise UnauthorizedError(
        "no key was sent: send `Authorization: Bearer qs_…`; " + _MAKE_ONE.format(scope="read"),
        {"field": "header.Authorization"},
    )


def _by_cookie(request: Request, ring: KeyRing, cookie: str) -> Caller:
    sessions = request.app.state.services.sessions
    session = sessions.read(cookie)
    key = None if session is None else ring.get(session.key_id)
    if session is None or key is None or ring.has_ended(session):
        raise UnauthorizedError(
            "the login has ended, or its key was revoked: log in again",
            {"field": f"cookie.{COOKIE}"},
        )
    if request.method not in _SAFE:
        token = request.headers.get(CSRF_HEADER) or getattr(request.state, "csrf_token", None)
        if not sessions.is_token(session, token):
            raise ForbiddenError(
                f"the CSRF token is missing or wrong: send the page's in {CSRF_HEADER}; reload the "
                "page for a new one",
                {"field": f"header.{CSRF_HEADER}"},
            )
    ring.note(key)
    return Caller(key, Via.SESSION, session)


def _is_local(request: Request) -> bool:
    """Whether a request comes from this machine, to it, and through no proxy that says so.

    The name counts, too: a page elsewhere may let its own name point here.
    """
    client = request.client.host if request.client else ""
    told = any(name in request.headers for name in ("forwarded", "x-forwarded-for", "x-real-ip"))
    return is_loopback(client) and is_loopback(host_of(request)) and not told


async def reader(request: Request, caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
    """Who may read, within the limits of their key."""
    request.state.caller = caller
    request.app.state.services.limits.take_read(caller.name)
    return caller


async def operator(request: Request, caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
    """Who may write, within the limits of their key.

    Raises:
        ForbiddenError: The key may only read.
    """
    request.state.caller = caller
    if not caller.may_operate:
        raise ForbiddenError(
            f"key {caller.name} may only read: " + _MAKE_ONE.format(scope="operate"),
            {"key": caller.name, "scope": caller.key.scope if caller.key else None},
        )
    request.app.state.services.limits.take_write(caller.name)
    return caller


Reader = Annotated[Caller, Depends(reader)]
Operator = Annotated[Caller, Depends(operator)]
