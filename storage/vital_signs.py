"""When each part of an installation last showed that it lives, and which tasks failed since.

Facts of the ledger, one row each, on the database's clock: they outlive a broker that forgets.
"""

import json
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from storage.catalog_rows import upsert
from storage.database import Database
from storage.ledger_tables import installation

BEAT = "beat"
"""Beat has handed a message to the broker."""
TICK = "tick"
"""A worker has done what a tick of beat asked."""
RECONCILER = "reconciler"
"""A reconciler has looked at everything."""

_SIGN, _FAILED, _CLOCK, _TURN = "sign:", "failed:", "clock:", "turn:"
_RECONCILED = "reconciled_at"
_NAME_LENGTH, _REASON_LENGTH = 40, 500
_TURNS = 7_215_009


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign of life.

    Attributes:
        at: Epoch seconds.
        ago_s: Seconds since then.
    """

    at: float
    ago_s: float


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """The last failure of a task that has not succeeded since.

    Attributes:
        ago_s: Seconds since then.
        reason: What it raised.
    """

    task: str
    task_id: str
    ago_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """How far an upstream's clock was off this machine's at its last answer that told.

    Attributes:
        off_s: Positive: it is ahead.
        ago_s: Seconds since that answer.
    """

    domain: str
    off_s: float
    ago_s: float


def note_sign(database: Database, name: str) -> None:
    """Note that a part lives, now.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.writing() as connection:
        _put(connection, _SIGN + name, str(database.now(connection)))


def read_signs(database: Database) -> dict[str, Sign]:
    """The last sign of life of each part that ever showed one.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.reading() as connection:
        now = database.now(connection)
        rows = _rows(connection, _SIGN)
        reconciled = connection.scalar(
            select(installation.c.value).where(installation.c.name == _RECONCILED)
        )
    if reconciled is not None:
        rows[RECONCILER] = reconciled
    return {name: Sign(float(value), now - float(value)) for name, value in rows.items()}


def note_failure(database: Database, task: str, task_id: str, reason: str) -> None:
    """Note that a task failed, now.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.writing() as connection:
        at = database.now(connection)
        value = json.dumps({"at": at, "task_id": task_id, "reason": reason[:_REASON_LENGTH]})
        _put(connection, (_FAILED + task)[:_NAME_LENGTH], value)


def forget_failure(database: Database, task: str) -> None:
    """The task succeeded: its failure is history. Writes nothing if there is none.

    Raises:
        StorageError: The database cannot be used.
    """
    mine = installation.c.name == (_FAILED + task)[:_NAME_LENGTH]
    with database.reading() as connection:
        known = connection.scalar(select(installation.c.name).where(mine))
    if known is not None:
        with database.writing() as connection:
            connection.execute(delete(installation).where(mine))


def read_failures(database: Database) -> list[TaskFailure]:
    """Tasks that failed and have not succeeded since, by name.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.reading() as connection:
        now = database.now(connection)
        rows = _rows(connection, _FAILED)
    told = {name: json.loads(value) for name, value in sorted(rows.items())}
    return [
        TaskFailure(name, said["task_id"], now - said["at"], said["reason"])
        for name, said in told.items()
    ]


def note_clock(database: Database, domain: str, off_s: float) -> None:
    """Note how far an upstream's clock is off this machine's.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.writing() as connection:
        value = json.dumps({"at": database.now(connection), "off_s": off_s})
        _put(connection, (_CLOCK + domain)[:_NAME_LENGTH], value)


def read_clocks(database: Database) -> list[ClockOffset]:
    """The offset of each upstream's clock that was ever told, by domain.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.reading() as connection:
        now = database.now(connection)
        rows = _rows(connection, _CLOCK)
    told = {name: json.loads(value) for name, value in sorted(rows.items())}
    return [ClockOffset(name, said["off_s"], now - said["at"]) for name, said in told.items()]


def take_turn(database: Database, name: str, turn: str) -> bool:
    """Whether a turn of something that happens once was still to be had, and is the caller's now.

    Args:
        database: Where turns are kept.
        name: What happens.
        turn: Which time: text that grows, such as a date.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.writing() as connection:
        database.serialise(connection, _TURNS)
        last = connection.scalar(
            select(installation.c.value).where(installation.c.name == _TURN + name)
        )
        if last is not None and last >= turn:
            return False
        _put(connection, _TURN + name, turn)
    return True


def last_turn(database: Database, name: str) -> str | None:
    """The turn that was taken last; None if none ever was.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.reading() as connection:
        last: str | None = connection.scalar(
            select(installation.c.value).where(installation.c.name == _TURN + name)
        )
    return last


def _put(connection: Connection, name: str, value: str) -> None:
    upsert(connection, installation, installation.c.name, [{"name": name, "value": value}])


def _rows(connection: Connection, prefix: str) -> dict[str, str]:
    rows = connection.execute(
        select(installation.c.name, installation.c.value).where(
            installation.c.name.startswith(prefix, autoescape=True)
        )
    ).all()
    return {name.removeprefix(prefix): value for name, value in rows}
