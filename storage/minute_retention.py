"""Minute bars leave SQL after a while and stay in the lake; from which session on SQL holds them.

The session is a fact of the database and not computed from a setting: whatever the setting is
changed to, what was dropped is not taken for damage.
"""

from datetime import date, timedelta

from sqlalchemy import func, select

from storage.catalog_rows import upsert
from storage.database import Database
from storage.installation import read_fact
from storage.lake import Lake, Partition
from storage.ledger_tables import installation
from storage.tables import KLINE_TABLES
from storage.verification import check_partition
from storage.warehouse import Warehouse

_FACT = "sql_minutes_from"


def sql_minutes_from(database: Database) -> date | None:
    """The session from which on SQL is to hold all minute bars; None: it is to hold all.

    Raises:
        StorageError: The database cannot be used.
    """
    known = read_fact(database, _FACT)
    return None if known is None else date.fromisoformat(known)


def minutes_due(database: Database, days: int) -> date | None:
    """The session before which minute bars are to leave SQL; None if none are.

    Counted from the newest minute bar that is held, not from today: a clock that is wrong, or a
    home that has not been synchronised for long, costs no bar.

    Args:
        database: Where bars are held.
        days: Calendar days that stay; 0: all.

    Raises:
        StorageError: The database cannot be used.
    """
    if not days:
        return None
    newest, oldest = [], []
    with database.reading() as connection:
        for (_, period), table in KLINE_TABLES.items():
            if period.is_intraday:
                column = table.c.session
                newest.append(connection.scalar(select(func.max(column))))
                oldest.append(connection.scalar(select(func.min(column))))
    held = [day for day in newest if day is not None]
    if not held:
        return None
    before: date = max(held) - timedelta(days=days)
    return before if min(day for day in oldest if day is not None) < before else None


def drop_minutes(lake: Lake, database: Database, before: date) -> tuple[int, list[str]]:
    """Let the minute bars of sessions before one leave SQL, where the lake holds the same ones.

    Idempotent.

    Returns:
        How many bars left, and a sentence for the first session that the lake does not hold as SQL
        does: it and all after it stay.

    Raises:
        StorageError: A store cannot be used; calling again goes on.
    """
    warehouse, refused = Warehouse(database), list[str]()
    known = sql_minutes_from(database)
    for dataset, period in KLINE_TABLES:
        days = warehouse.sessions(dataset, period) if period.is_intraday else []
        for day in days:
            if day >= before:
                break
            if known is not None and day < known:
                continue  # fetched again since it left: the lake has had it before SQL
            check = check_partition(lake, warehouse, Partition(dataset, period, day.isoformat()))
            if not check.equal:
                refused.append(
                    f"{dataset.value} {period.value} bars from {day} on stay in SQL: "
                    f"{check.problem}; `quantsync verify --repair` makes the stores the same"
                )
                before = day
                break
    if known is None or before > known:
        # Before any bar goes: a crash in between must not look like damage.
        row = {"name": _FACT, "value": before.isoformat()}
        with database.writing() as connection:
            upsert(connection, installation, installation.c.name, [row])
    return warehouse.drop_minutes_before(before), refused
