"""The SQL database: SQLite by default, PostgreSQL for production."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from filelock import FileLock
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
)

from market.errors import ConfigurationError
from storage.errors import DatabaseUnreachableError, StorageError, UnwritableError

_BUSY_TIMEOUT_S = 30
_MIGRATION_LOCK = 7_215_001
_MIGRATIONS = Path(__file__).parent / "migrations"
_EPOCH_NOW = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())::float8",
}


class Database:
    """One SQL database, reached with SQLAlchemy and, for Arrow tables on PostgreSQL, with ADBC.

    Connections open when first used; safe to share between threads.

    Args:
        url: ``sqlite:////absolute/path.db`` or ``postgresql://user:password@host/name``.

    Raises:
        ConfigurationError: Not such a URL.
    """

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        self._migrating = threading.Lock()

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite; PostgreSQL otherwise."""
        return self._url.get_backend_name() == "sqlite"

    @property
    def address(self) -> str:
        """The URL without its password."""
        return self._url.set(drivername=self._url.get_backend_name()).render_as_string()

    @cached_property
    def engine(self) -> Engine:
        """The SQLAlchemy engine; use :meth:`reading` and :meth:`writing` to reach it."""
        if not self.is_sqlite:
            return create_engine(self._url, pool_pre_ping=True, connect_args={"connect_timeout": 5})
        engine = create_engine(self._url, connect_args={"timeout": _BUSY_TIMEOUT_S})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads, and waits for no writer.

        Raises:
            StorageError: The database cannot be used.
        """
        with self._translating(), self.engine.connect() as connection:
            yield connection.execution_options(quantsync_reads_only=True)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may write; committed at the end, rolled back on any error.

        Raises:
            StorageError: The database cannot be used; nothing was written.
        """
        with self._translating(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def adbc(self) -> Iterator[Any]:
        """An ADBC connection to PostgreSQL, for Arrow tables; the caller commits.

        Never to SQLite: the driver brings a SQLite of its own, and two copies of it in one process
        undo each other's file locks and corrupt the file (docs/decisions/0001).

        Raises:
            StorageError: The database cannot be used.
        """
        assert not self.is_sqlite
        from adbc_driver_postgresql import dbapi  # noqa: PLC0415

        plain = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        with self._translating():
            connection = dbapi.connect(plain)
            try:
                yield connection
            finally:
                connection.close()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """Turn "the database cannot be used" into our error; mistakes of ours stay as they are."""
        try:
            yield
        except (OperationalError, InterfaceError, InternalError) as error:
            raise self.translated(error) from error
        except Exception as error:
            if type(error).__module__.split(".")[0] != "adbc_driver_manager":
                raise
            raise self.translated(error) from error

    def now(self, connection: Connection) -> float:
        """The database's own clock, epoch seconds."""
        statement = text(_EPOCH_NOW[self._url.get_backend_name()])
        return float(connection.execute(statement).scalar_one())

    def migrate(self) -> None:
        """Bring the tables up to date. Idempotent, and safe when several processes start at once.

        Raises:
            DatabaseUnreachableError: The database does not answer, or refuses the login.
            UnwritableError: The SQLite file or its folder cannot be written.
        """
        with self._migrating:
            try:
                if self.is_sqlite:
                    path = Path(str(self._url.database))
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with FileLock(path.with_name(path.name + ".migrate.lock")):
                        self._upgrade()
                else:
                    with self.engine.connect() as connection:
                        connection.execute(text(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})"))
                        self._upgrade()
            except OSError as error:
                raise UnwritableError(
                    f"the database {self._url.database} cannot be written ({error.strerror}): set "
                    "QUANTSYNC_HOME or DATABASE_URL to a place that can",
                    {"database": self.address},
                ) from error
            except DBAPIError as error:
                raise self.translated(error) from error

    def _upgrade(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        with self.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def translated(self, error: Exception) -> StorageError:
        """A driver's error as ours: one sentence, without the password."""
        origin = getattr(error, "orig", None) or error
        cause = (str(origin).strip().splitlines() or [type(origin).__name__])[0]
        if self.is_sqlite and "readonly" in cause:
            return UnwritableError(f"the database {self._url.database} cannot be written ({cause})")
        return DatabaseUnreachableError(
            f"the database {self.address} cannot be used ({cause}): check DATABASE_URL, and that "
            "the server is up",
            {"database": self.address},
        )

    def dispose(self) -> None:
        """Close all pooled connections."""
        if "engine" in self.__dict__:
            self.engine.dispose()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(_wrong_url(url, "it is no database URL")) from error
    backend = parsed.drivername.split("+")[0].replace("postgres", "postgresql", 1)
    backend = "postgresql" if backend.startswith("postgresql") else backend
    shown = parsed.render_as_string()
    if backend not in _EPOCH_NOW:
        raise ConfigurationError(_wrong_url(shown, f"{backend} is not a database we keep bars in"))
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigurationError(_wrong_url(shown, "it names no database"))
    return parsed.set(drivername="sqlite" if backend == "sqlite" else "postgresql+psycopg")


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
