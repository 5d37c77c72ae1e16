"""The SQL database: SQLite by default, PostgreSQL for production."""

import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
)

from market.errors import ConfigurationError
from storage.errors import (
    CorruptFileError,
    DatabaseUnreachableError,
    DiskFullError,
    StorageError,
    UnwritableError,
)
from storage.locking import LockHeldError, locked

_BUSY_TIMEOUT_S = 30
_CONNECT_TIMEOUT_S = 5
_MIGRATION_LOCK = 7_215_001
_IDLE = 2  # connections that are kept to be used again
_DEFAULT_KIB, _ROOMY_KIB = 2_000, 64 * 1024
MIGRATIONS = Path(__file__).parent / "migrations"
_CORRUPT = ("malformed", "not a database")
_FULL = ("is full", "No space left", "could not extend file", "disk I/O error")
_UNWRITABLE = ("readonly", "read-only", "unable to open database")
_EPOCH_NOW = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())::float8",
}


class Database:
    """One SQL database, reached with SQLAlchemy and, for Arrow tables on PostgreSQL, with ADBC.

    Connections open when first used; safe to share between threads.

    Args:
        url: ``sqlite:////absolute/path.db`` or ``postgresql://user:password@host/name``.
        migration_wait_s: How long another process that brings a SQLite file up to date is waited
            for.

    Raises:
        ConfigurationError: Not such a URL.
    """

    def __init__(self, url: str, *, migration_wait_s: float = 30.0) -> None:
        self._url = _parsed(url)
        self._migration_wait_s = migration_wait_s
        self._migrating = threading.Lock()
        self._engines: dict[int, Engine] = {}
        self._idle: dict[int, list[Any]] = {}

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite; PostgreSQL otherwise."""
        return self._url.get_backend_name() == "sqlite"

    @property
    def address(self) -> str:
        """The URL without its password."""
        return _shown(self._url.set(drivername=self._url.get_backend_name()))

    @property
    def url(self) -> URL:
        """The URL, password included: for other programs' environments, never for messages."""
        return self._url.set(drivername=self._url.get_backend_name())

    @property
    def path(self) -> Path:
        """The SQLite file, absolute."""
        assert self.is_sqlite
        return Path(str(self._url.database)).absolute()

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine; use :meth:`reading` and :meth:`writing` to reach it."""
        # One per process: a connection that a fork shares with its parent would mix their answers.
        # The parent's stays referenced, so that the child does not close it.
        mine = self._engines.get(os.getpid())
        return mine or self._engines.setdefault(os.getpid(), self._new_engine())

    def _new_engine(self) -> Engine:
        if not self.is_sqlite:
            connecting = {
                "connect_timeout": _CONNECT_TIMEOUT_S,
                # A host that stands still in the middle of a transaction must not stop all others.
                "options": f"-c idle_in_transaction_session_timeout={_BUSY_TIMEOUT_S}s "
                f"-c lock_timeout={_BUSY_TIMEOUT_S}s",
            }
            return create_engine(self._url, pool_pre_ping=True, connect_args=connecting)
        if self._is_read_only():
            engine = create_engine(self._url, creator=self._connect_read_only)
        else:
            engine = create_engine(self._url, connect_args={"timeout": _BUSY_TIMEOUT_S})
            event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _is_read_only(self) -> bool:
        """Whether the SQLite file is there and cannot be written; its folder takes the journal."""
        path = Path(str(self._url.database))
        writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
        return self.is_sqlite and path.exists() and not writable

    def _connect_read_only(self) -> sqlite3.Connection:
        path = Path(str(self._url.database)).absolute()
        journal = path.with_name(path.name + "-wal")
        # Without a journal SQLite would have to make one, unless told that nobody writes. With one
        # it must be read: a killed process may have left its last transactions there.
        mode = "ro" if journal.exists() and journal.stat().st_size else "ro&immutable=1"
        return sqlite3.connect(
            f"{path.as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads, and waits for no writer.

        Raises:
            StorageError: The database cannot be used.
        """
        with self.translating(), self.engine.connect() as connection:
            yield connection.execution_options(quantsync_reads_only=True)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may write; committed at the end, rolled back on any error.

        Raises:
            StorageError: The database cannot be used; nothing was written.
        """
        with self.translating(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def adbc(self) -> Iterator[Any]:
        """An ADBC connection to PostgreSQL, for Arrow tables; the caller commits.

        It is kept for the next caller, unless an error ended its use.

        Never to SQLite: the driver brings a SQLite of its own, and two copies of it in one process
        undo each other's file locks and corrupt the file (docs/decisions/0001).

        Raises:
            StorageError: The database cannot be used.
        """
        assert not self.is_sqlite
        with self.translating():
            idle = self._idle.setdefault(os.getpid(), [])
            connection = _answering(idle) or self._connect_adbc()
            try:
                yield connection
                connection.rollback()
                # The driver begins the next transaction at once; who waits is to be in none.
                connection.adbc_connection.set_autocommit(True)
            except BaseException:
                connection.close()
                raise
            if len(idle) < _IDLE:
                idle.append(connection)
            else:
                connection.close()

    def _connect_adbc(self) -> Any:
        from adbc_driver_postgresql import dbapi  # noqa: PLC0415

        url = self._url.set(drivername="postgresql")
        if "connect_timeout" not in url.query:
            url = url.update_query_dict({"connect_timeout": str(_CONNECT_TIMEOUT_S)})
        return dbapi.connect(url.render_as_string(hide_password=False))

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Turn "the database cannot be used" into our error; mistakes of ours stay as they are."""
        try:
            yield
        except (OperationalError, InterfaceError, InternalError, sqlite3.OperationalError) as error:
            raise self.translated(error) from error
        except Exception as error:
            # The class itself is "malformed" or "not a database"; those below it are our mistakes.
            if type(error) in (DatabaseError, sqlite3.DatabaseError):
                raise self.translated(error) from error
            if type(error).__module__.split(".")[0] != "adbc_driver_manager":
                raise
            raise self.translated(error) from error

    def now(self, connection: Connection) -> float:
        """The database's own clock, epoch seconds."""
        statement = text(_EPOCH_NOW[self._url.get_backend_name()])
        return float(connection.execute(statement).scalar_one())

    def serialise(self, connection: Connection, number: int) -> None:
        """Wait until no other transaction is past this point with the same number.

        SQLite lets one transaction write at a time anyway.
        """
        if not self.is_sqlite:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({number})"))

    def check(self) -> None:
        """Reach the database and make sure that it can be written.

        Raises:
            DatabaseUnreachableError: It does not answer, or refuses the login.
            UnwritableError: It can be read only.
        """
        with self.writing() as connection:
            if self.is_sqlite:
                return  # BEGIN IMMEDIATE has taken the write lock
            if connection.scalar(text("SHOW transaction_read_only")) == "on":
                raise UnwritableError(
                    f"the database {self.address} can be read only: point DATABASE_URL at the "
                    "primary",
                    {"database": self.address},
                )

    def migrate(self) -> None:
        """Bring the tables up to date. Idempotent, and safe when several processes start at once.

        A SQLite file that can be read only must be up to date already.

        Raises:
            DatabaseUnreachableError: The database does not answer, or refuses the login; or
                another process brings the SQLite file up to date and does not end.
            UnwritableError: The SQLite file or its folder cannot be written.
            CorruptFileError: The SQLite file is none.
            ConfigurationError: A newer version of this program has used the database.
        """
        with self._migrating:
            if self._is_current():
                return
            try:
                if self._is_read_only():
                    self._refuse_old_revision()
                elif self.is_sqlite:
                    path = Path(str(self._url.database))
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with locked(
                        path.with_name(path.name + ".migrate.lock"), self._migration_wait_s
                    ):
                        self._upgrade()
                else:
                    self._upgrade()
            except LockHeldError as error:
                raise DatabaseUnreachableError(
                    f"the database {self._url.database} cannot be used: {error} has held "
                    f"{self._url.database}.migrate.lock for {self._migration_wait_s:g} s; wait for "
                    "it, or end it, then run again",
                    {"database": self.address},
                ) from error
            except OSError as error:
                raise UnwritableError(
                    f"the database {self._url.database} cannot be written ({error.strerror}): set "
                    "QUANTSYNC_HOME or DATABASE_URL to a place that can",
                    {"database": self.address},
                ) from error
            except DBAPIError as error:
                raise self.translated(error) from error

    def _is_current(self) -> bool:
        """Whether the tables are this version's: Alembic takes a third of a second to say so."""
        if self.is_sqlite and not Path(str(self._url.database)).is_file():
            return False
        try:
            with self.reading() as connection:
                held = connection.exec_driver_sql(
                    "SELECT version_num FROM alembic_version"
                ).scalar()
        except (DBAPIError, StorageError):
            return False  # whatever is wrong is said where it is tried to be put right
        return bool(held == newest_revision())

    def _refuse_old_revision(self) -> None:
        raise UnwritableError(
            f"the database {self._url.database} can be read only, and must first be brought up to "
            "date by this version: run `quantsync status` once where it can be written",
            {"database": self.address},
        )

    def _upgrade(self) -> None:
        from storage.upgrading import CannotUpgradeError, upgrade  # noqa: PLC0415  (slow to import)

        with self.engine.begin() as connection:
            # Held by this transaction: a session's lock would go back to the pool with its
            # connection, and keep every other process out for as long as this one lives.
            self.serialise(connection, _MIGRATION_LOCK)
            try:
                upgrade(connection)
            except CannotUpgradeError as error:
                raise ConfigurationError(
                    f"the database {self.address} cannot be brought up to date ({error}): a newer "
                    "quantsync has used it; upgrade, or set DATABASE_URL to another database",
                    {"database": self.address},
                ) from error

    def translated(self, error: Exception) -> StorageError:
        """A driver's error as ours: one sentence, without the password."""
        cause = self._cause(error)
        if self.is_sqlite and any(sign in cause for sign in _CORRUPT):
            return CorruptFileError(
                f"{self._url.database} is no readable SQLite database ({cause}): it was left as it "
                "is; restore a backup, or move it away with the -wal and -shm files beside it, and "
                "`quantsync verify --repair` fills a new one from the lake",
                {"path": str(self._url.database)},
            )
        if any(sign in cause for sign in _FULL):
            return DiskFullError(
                f"the database {self._url.database} cannot be written ({cause}): nothing that it "
                "holds is lost; make room, and it goes on by itself",
                {"database": self.address},
            )
        if any(sign in cause for sign in _UNWRITABLE):
            return UnwritableError(
                f"the database {self._url.database} cannot be written ({cause}): make room or give "
                "permission, or set DATABASE_URL to a place that can",
                {"database": self.address},
            )
        if self.is_sqlite:
            return DatabaseUnreachableError(
                f"the database {self._url.database} cannot be used ({cause})",
                {"database": self.address},
            )
        return DatabaseUnreachableError(
            f"the database {self.address} cannot be used ({cause}): check DATABASE_URL, and that "
            "the server is up",
            {"database": self.address},
        )

    def _cause(self, error: Exception) -> str:
        """The line in which a driver says what is wrong."""
        origin = getattr(error, "orig", None) or error
        # ADBC quotes the whole statement before the server's own words.
        words = str(origin).strip().rpartition("ERROR:")[2].strip()
        cause = words.splitlines()[0] if words else type(origin).__name__
        return cause.replace(str(self._url.password), "***") if self._url.password else cause

    def dispose(self) -> None:
        """Close this process's pooled connections; they open again when next used."""
        engine = self._engines.pop(os.getpid(), None)
        if engine is not None:
            engine.dispose()
        for connection in self._idle.pop(os.getpid(), []):
            connection.close()


def _answering(idle: list[Any]) -> Any | None:
    """A connection that was kept and still answers: the server may have restarted since."""
    while idle:
        connection = idle.pop()
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                cursor.fetchone()
            connection.adbc_connection.set_autocommit(False)
        except Exception:  # noqa: BLE001 - whatever is wrong with it, a new one says it better
            connection.close()
        else:
            return connection
    return None


@contextmanager
def roomy(connection: Connection) -> Iterator[None]:
    """Let an SQLite connection keep the pages that many rows touch, for as long as the block runs.

    An index on sessions is touched at thousands of places in turn; with SQLite's default of 2 MB
    each page would be written and read again and again.
    """
    connection.exec_driver_sql(f"PRAGMA cache_size = -{_ROOMY_KIB}")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA cache_size = -{_DEFAULT_KIB}")
        connection.exec_driver_sql("PRAGMA shrink_memory")


def newest_revision() -> str:
    """The revision that this version's tables have: the files of migrations begin with theirs."""
    return max(each.name for each in MIGRATIONS.glob("versions/[0-9]*.py")).partition("_")[0]


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(_wrong_url(_masked(url), "it is no database URL")) from error
    backend = parsed.drivername.split("+")[0].replace("postgres", "postgresql", 1)
    backend = "postgresql" if backend.startswith("postgresql") else backend
    shown = _shown(parsed)
    if backend not in _EPOCH_NOW:
        raise ConfigurationError(_wrong_url(shown, f"{backend} is not a database we keep bars in"))
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigurationError(_wrong_url(shown, "it names no database"))
    return parsed.set(drivername="sqlite" if backend == "sqlite" else "postgresql+psycopg")


def _shown(url: URL) -> str:
    return _masked(url.render_as_string())


def _masked(text: str) -> str:
    """A URL, or what was meant as one, without passwords."""
    text = re.sub(r"(//[^:/@]*:|^[^:/@]+:)(?!//).*(?=@)", r"\1***", text)
    return re.sub(r"(?i)(password=)[^&\s]*", r"\1***", text)


def _wrong_url(url: str, why: str) -> str:
    return (
        f"DATABASE_URL={url}: {why}; use sqlite:////absolute/path.db or "
        "postgresql://user:password@host/name"
    )


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions (below), not the driver
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once if another wrote in between, so
    # one that may write takes the write lock at its start.
    reads_only = connection.get_execution_options().get("quantsync_reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
