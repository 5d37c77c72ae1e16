"""Where the embedded stack's Redis listens: known to those, too, that do not run the stack."""

import hashlib
import os
import socket
import tempfile
from pathlib import Path

_MAX_SOCKET_PATH = 100  # the kernel's limit is 108 bytes


def redis_socket(home: Path) -> Path:
    """The unix socket: in the home, or in a private folder where that path is too long."""
    path = home / "redis" / "redis.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
        return path
    mark = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"quantsync-{os.getuid()}-{mark}" / "redis.sock"


def redis_url(home: Path, database: int) -> str:
    """The same as Celery spells it."""
    return f"redis+socket://{redis_socket(home)}?virtual_host={database}"


def ping_redis(path: Path) -> None:
    """Ask a Redis once whether it serves; to import its client takes longer than to start it.

    Raises:
        OSError: Nobody answers there within two seconds, or it is loading its data.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        client.connect(str(path))
        client.sendall(b"PING\r\n")
        answer = client.recv(100)
    if not answer.startswith(b"+PONG"):
        raise ConnectionError(answer.decode(errors="replace").strip() or "it hung up")
