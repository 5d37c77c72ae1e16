"""A PostgreSQL server of its own for a benchmark, from the binaries of the pgserver wheel."""

import contextlib
import tempfile
from collections.abc import Iterator
from importlib import import_module

from pipeline.bench.redis_server import MissingServerError


@contextlib.contextmanager
def run_postgresql() -> Iterator[str]:
    """Run an empty server while the block does; the address of its database ``postgres``.

    Raises:
        MissingServerError: The wheel is not installed.
    """
    try:
        pgserver = import_module("pgserver")
    except ImportError as error:
        raise MissingServerError(
            "pgserver is not installed, which brings a PostgreSQL of its own: pip install pgserver "
            "(Python up to 3.12), or work in the project's own environment (make setup)"
        ) from error
    # Not below a private folder: the server runs as another user where this one is root.
    with tempfile.TemporaryDirectory(
        prefix="quantsync-postgresql-", ignore_cleanup_errors=True
    ) as folder:
        server = pgserver.get_server(folder, cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
