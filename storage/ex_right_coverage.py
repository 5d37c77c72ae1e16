"""Up to which session ex-rights are known, where a symbol list shows that there was none."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import update

from storage.database import Database
from storage.ledger_tables import coverage
from storage.run_records import Work

_PORTION = 500  # names in one statement


def vouch(database: Database, symbols: Sequence[str], session: date) -> None:
    """Let the ex-rights of symbols be known up to a session. Idempotent.

    They are known in one range, from the first bar on. Symbols that were never asked for stay
    unknown.

    Raises:
        StorageError: The database cannot be used.
    """
    mine = (coverage.c.dataset == Work.EX_RIGHT.value) & (coverage.c.covered_to < session)
    with database.writing() as connection:
        for at in range(0, len(symbols), _PORTION):
            named = mine & coverage.c.subject.in_(symbols[at : at + _PORTION])
            connection.execute(update(coverage).where(named).values(covered_to=session))
