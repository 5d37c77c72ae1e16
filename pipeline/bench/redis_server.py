"""A real Redis server of its own for a benchmark or a test, on loopback, stopped with its block."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from market.errors import QuantsyncError
from pipeline.embedded import redis_executable


class MissingServerError(QuantsyncError):
    """A server that is needed is not installed, or does not start."""


@dataclass(frozen=True, slots=True)
class RedisServer:
    """Where the server listens, and how to stop it in a test that needs it gone."""

    process: subprocess.Popen[bytes]
    port: int
    socket_path: Path

    def url(self, db: int = 0) -> str:
        """The address over TCP."""
        return f"redis://127.0.0.1:{self.port}/{db}"

    def unix_url(self, db: int = 0) -> str:
        """The address over the unix socket, as redis-py spells it."""
        return f"unix://{self.socket_path}?db={db}"

    def client(self, db: int = 0) -> redis.Redis:
        """A new client; its caller closes it."""
        return redis.Redis(port=self.port, db=db)


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def run_redis(
    folder: Path, port: int | None = None, *, durable: bool = True
) -> Iterator[RedisServer]:
    """Run a server whose data lies in a folder; running it there again finds the data.

    One that is not durable keeps nothing.
    """
    port = port or free_port()
    # The kernel allows 107 bytes for a socket's path: keep the name short.
    socket_path = folder / "r.sock"
    log = folder / "redis.log"
    command: list[str | Path] = [redis_executable()]
    command += ["--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    command += ["--appendonly", "yes" if durable else "no"]
    command += ["--unixsocket", socket_path, "--unixsocketperm", "700"]
    command += ["--dir", folder, "--logfile", log]
    process = subprocess.Popen(command)  # noqa: S603
    server = RedisServer(process, port, socket_path)
    try:
        _wait_until_ready(server, log)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_until_ready(server: RedisServer, log: Path) -> None:
    deadline = time.monotonic() + 30
    with server.client() as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if server.process.poll() is not None or time.monotonic() > deadline:
                    said = log.read_text() if log.exists() else "no log"
                    raise MissingServerError(f"redis-server did not start:\n{said}") from None
                time.sleep(0.02)
            else:
                return
