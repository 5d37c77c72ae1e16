"""Lists that are not proven whole: why one is doubted, and when it is taken after all.

A list that ends at a full page, be it longer or shorter than the one held or the first of all, and
one that shrunk by more than a tenth, is set aside until a later session sees the same; one that
lost half of what is held or more, until a third session does. Runs within one session prove
nothing, however many: a fault of the upstream lasts that long. A good list in between makes earlier
sightings void. An empty list, or one that names a code twice, is never taken.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from enum import StrEnum

import pyarrow as pa
from sqlalchemy import Connection, case, func, insert, select, update

from storage.tables import list_quarantine

_PAGE = 100
_SHRINK_SHARE = 0.1
_SHRINK_ROWS = 1
_SESSIONS, _SESSIONS_IF_HALVED = 2, 3
_TIMES = {_SESSIONS: "a later session", _SESSIONS_IF_HALVED: "two later sessions"}


class QuarantineStatus(StrEnum):
    """What became of a list that was set aside. ``VOUCHED``: by a person, and not taken yet."""

    OPEN = "open"
    VOUCHED = "vouched"
    ACCEPTED = "accepted"
    SUPERSEDED = "superseded"
    DROPPED = "dropped"


def doubt_about(
    connection: Connection, name: str, codes: Sequence[str], held: set[str], session: date
) -> str | None:
    """Why a list of a session cannot be taken as whole; None if it can."""
    if not codes:
        return "it is empty"
    if len(set(codes)) != len(codes):
        return "it names a code twice, so another is missing"
    fewer = len(held) - len(codes)
    rows = "1 row" if len(codes) == 1 else f"{len(codes)} rows"
    halved = fewer > 0 and fewer * 2 >= len(held)
    doubt = None
    if fewer and len(codes) % _PAGE == 0:
        # Grown or shrunk: a list that is cut ends at a page, and its total may well agree.
        doubt = f"it has {rows}, a full page, where {len(held) or 'none'} are held"
    elif halved or fewer > max(_SHRINK_ROWS, _SHRINK_SHARE * len(held)):
        doubt = f"it has {rows} where {len(held)} are held"
    needed = _SESSIONS_IF_HALVED if halved else _SESSIONS
    if doubt and _is_vouched_for(connection, name, codes):
        return None
    if doubt and _sessions_before(connection, name, codes, session) < needed - 1:
        return f"{doubt}: it is taken once {_TIMES[needed]} of the exchange showed the same"
    return None


def set_aside(
    connection: Connection,
    name: str,
    codes: Sequence[str],
    run_id: str,
    seen: tuple[date, float],
    reason: str,
    whole: pa.Table | None = None,
) -> None:
    """Keep a doubted list. Idempotent in a run.

    Args:
        connection: A transaction.
        name: Which list.
        codes: What it names.
        run_id: Who fetched it.
        seen: The session it shows, and when, epoch seconds.
        reason: Why it is doubted.
        whole: Its rows, so that a person can have it taken.
    """
    session, seen_at = seen
    content = _content_hash(codes)
    same = select(list_quarantine.c.id).filter_by(list=name, run_id=run_id, content_hash=content)
    if connection.scalar(same) is None:
        connection.execute(
            insert(list_quarantine).values(
                list=name,
                session=session,
                run_id=run_id,
                reason=reason,
                rows=len(codes),
                content_hash=content,
                content=json.dumps(sorted(codes)),
                status=QuarantineStatus.OPEN.value,
                seen_at=seen_at,
                whole=None if whole is None else json.dumps(whole.to_pylist()),
            )
        )


def settle(connection: Connection, name: str, codes: Sequence[str]) -> None:
    """Close what was set aside of a list, now that one was taken. Idempotent."""
    waiting = (QuarantineStatus.OPEN.value, QuarantineStatus.VOUCHED.value)
    connection.execute(
        update(list_quarantine)
        .where(list_quarantine.c.list == name)
        .where(list_quarantine.c.status.in_(waiting))
        .values(
            status=case(
                (
                    list_quarantine.c.content_hash == _content_hash(codes),
                    QuarantineStatus.ACCEPTED.value,
                ),
                else_=QuarantineStatus.SUPERSEDED.value,
            )
        )
    )


def _is_vouched_for(connection: Connection, name: str, codes: Sequence[str]) -> bool:
    found = connection.scalar(
        select(func.count())
        .select_from(list_quarantine)
        .where(list_quarantine.c.list == name)
        .where(list_quarantine.c.content_hash == _content_hash(codes))
        .where(list_quarantine.c.status == QuarantineStatus.VOUCHED.value)
    )
    return bool(found)


def _sessions_before(connection: Connection, name: str, codes: Sequence[str], session: date) -> int:
    """In how many earlier sessions the same list was set aside and not made void since."""
    seen = connection.scalar(
        select(func.count(list_quarantine.c.session.distinct()))
        .where(list_quarantine.c.list == name, list_quarantine.c.session < session)
        .where(list_quarantine.c.content_hash == _content_hash(codes))
        .where(list_quarantine.c.status == QuarantineStatus.OPEN.value)
    )
    return int(seen or 0)


def _content_hash(codes: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(codes)).encode()).hexdigest()
