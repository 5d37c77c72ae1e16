"""Backups of this installation, put together from its settings, and what a restore waits for."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from admin_tasks.backup import Backups
from admin_tasks.postgresql_tools import PostgresqlTools
from admin_tasks.restore import DatabaseInUseError
from admin_tasks.rotation import Keep
from pipeline.runtime import Runtime
from pipeline.settings import Settings

_SILENT_S = 10.0
"""A worker that lives touches its file every second."""


def backups_of(runtime: Runtime) -> Backups:
    """The installation's backups."""
    settings = runtime.settings
    keep = Keep(
        settings.backup_keep_daily, settings.backup_keep_weekly, settings.backup_keep_monthly
    )
    return Backups(runtime.database, settings.backup_path, keep, tools_of(settings))


def tools_of(settings: Settings) -> PostgresqlTools:
    """PostgreSQL's programs, where the settings say."""
    folder = settings.pg_bin_dir
    return PostgresqlTools(None if folder is None else folder.expanduser().absolute())


@contextmanager
def stack_at_rest(settings: Settings) -> Iterator[None]:
    """Make sure that no stack and no worker of a home is alive, and keep a stack from starting.

    Raises:
        DatabaseInUseError: One is.
    """
    now = time.time()
    alive = [
        file.stem
        for file in sorted((settings.home / "workers").glob("*.alive"))
        if now - file.stat().st_mtime < _SILENT_S
    ]
    if alive:
        raise DatabaseInUseError(
            f"workers of {settings.home} are alive ({', '.join(alive)}), or ended less than "
            f"{_SILENT_S:g} s ago: stop workers, beat and commands, and try again then",
            {"workers": alive},
        )
    settings.home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(settings.home / "stack.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise DatabaseInUseError(
            f"the stack of {settings.home} is up: stop `quantsync up`, or wait for the command "
            "that has started it",
            {"home": str(settings.home)},
        ) from error
    try:
        yield
    finally:
        lock.release()
