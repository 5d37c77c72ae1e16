"""PostgreSQL's own programs, ``pg_dump`` and ``pg_restore``, found, checked and run."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import text
from sqlalchemy.engine import URL

from market.errors import QuantsyncError
from storage.database import Database

_PORTION = 1 << 20
_MAJOR = 10_000


class PostgresqlToolError(QuantsyncError):
    """A program of PostgreSQL is missing, is too old for the server, or failed."""


class PostgresqlTools:
    """The programs in one folder.

    Args:
        folder: Where they lie; None: on the PATH.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def find(self, name: str, database: Database) -> str:
        """The path of a program that can serve the database's server.

        Raises:
            PostgresqlToolError: There is none, or it is older than the server.
            StorageError: The server does not answer.
        """
        found = shutil.which(name, path=None if self._folder is None else str(self._folder))
        if found is None:
            where = "on the PATH" if self._folder is None else f"in {self._folder}"
            raise PostgresqlToolError(
                f"{name} is not {where}: install PostgreSQL's client programs (Debian: "
                "postgresql-client), or set PG_BIN_DIR to the folder that has them",
                {"program": name},
            )
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
        version = re.search(r"\b(\d+)(?:\.\d+)?", said.stdout)
        server = server_version(database)
        if version is None or int(version[1]) < server:
            raise PostgresqlToolError(
                f"{found} is of version {version[1] if version else 'unknown'} and the server of "
                f"{server}, which it cannot serve: set PG_BIN_DIR to the programs of PostgreSQL "
                f"{server} or later",
                {"program": found},
            )
        return found

    def run(
        self, program: str, words: Sequence[str], url: URL, output: BinaryIO | None = None
    ) -> None:
        """Run a program to its end.

        Args:
            program: Its path.
            words: Its options.
            url: The database; the password goes by the environment, where other users do not see
                it.
            output: Where its standard output goes; None: nowhere.

        Raises:
            PostgresqlToolError: It failed; the message ends with its own words.
            OSError: The output cannot be written; the program was ended.
        """
        secret = url.password or url.query.get("password") or ""
        address = URL.create(
            "postgresql",
            username=url.username,
            host=url.host,
            port=url.port,
            database=url.database,
            query={name: value for name, value in url.query.items() if name != "password"},
        ).render_as_string()
        environment = {**os.environ, **({"PGPASSWORD": str(secret)} if secret else {})}
        process = subprocess.Popen(  # noqa: S603
            [program, *words, f"--dbname={address}"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if output is None else subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            if output is not None:
                assert process.stdout is not None
                while portion := process.stdout.read(_PORTION):
                    output.write(portion)
            _, errors = process.communicate()
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        if process.returncode:
            lines = errors.decode(errors="replace").strip().splitlines() or ["it said nothing"]
            cause = next((line for line in lines if "error" in line.lower()), lines[-1])
            raise PostgresqlToolError(
                f"{Path(program).name} failed with code {process.returncode} ({cause})",
                {"program": program},
            )


def server_version(database: Database) -> int:
    """The major version of a PostgreSQL server.

    Raises:
        StorageError: It does not answer.
    """
    with database.reading() as connection:
        return int(connection.scalar(text("SHOW server_version_num")) or 0) // _MAJOR
