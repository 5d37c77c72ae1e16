"""Lists that are not proven whole: why one is doubted, and when it is taken after all.

A list that was cut at a full page, or shrunk by more than a tenth, is set aside until a second run
sees the same; a good list in between makes the first sighting void. An empty list, or one that
names a code twice, is never taken.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from enum import StrEnum

from sqlalchemy import Connection, case, insert, select, update

from storage.tables import list_quarantine

_PAGE = 100
_SHRINK_SHARE = 0.1
_SHRINK_ROWS = 2


class QuarantineStatus(StrEnum):
    """What became of a list that was set aside."""

    OPEN = "open"
    ACCEPTED = "accepted"
    SUPERSEDED = "superseded"


def doubt_about(
    connection: Connection, name: str, codes: Sequence[str], held: set[str], run_id: str
) -> str | None:
    """Why a list cannot be taken as whole; None if it can."""
    if not codes:
        return "it is empty"
    if len(set(codes)) != len(codes):
        return "it names a code twice, so another is missing"
    fewer = len(held) - len(codes)
    doubt = None
    if fewer > 0 and len(codes) % _PAGE == 0:
        doubt = f"it has {len(codes)} rows, a full page, where {len(held)} are held"
    elif fewer > max(_SHRINK_ROWS, _SHRINK_SHARE * len(held)):
        doubt = f"it has {len(codes)} rows where {len(held)} are held"
    if doubt and not _seen_by_another_run(connection, name, codes, run_id):
        return f"{doubt}: it is taken if another run sees the same"
    return None


def set_aside(
    connection: Connection,
    name: str,
    codes: Sequence[str],
    run_id: str,
    seen: tuple[date, float],
    reason: str,
) -> None:
    """Keep a doubted list; ``seen``: its session, and when, epoch seconds. Idempotent in a run."""
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
            )
        )


def settle(connection: Connection, name: str, codes: Sequence[str]) -> None:
    """Close what was set aside of a list, now that one was taken. Idempotent."""
    connection.execute(
        update(list_quarantine)
        .where(list_quarantine.c.list == name)
        .where(list_quarantine.c.status == QuarantineStatus.OPEN.value)
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


def _seen_by_another_run(
    connection: Connection, name: str, codes: Sequence[str], run_id: str
) -> bool:
    seen = connection.scalar(
        select(list_quarantine.c.id)
        .where(list_quarantine.c.list == name, list_quarantine.c.run_id != run_id)
        .where(list_quarantine.c.content_hash == _content_hash(codes))
        .where(list_quarantine.c.status == QuarantineStatus.OPEN.value)
        .limit(1)
    )
    return seen is not None


def _content_hash(codes: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(codes)).encode()).hexdigest()
