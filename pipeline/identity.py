"""Which process holds a lease, told so that others on the same machine can see whether it lives."""

import os
import socket
from functools import lru_cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def process_identity() -> str:
    """This process: ``host/namespace/pid/start``.

    Host and namespace say which process table the number belongs to; the start tells the process
    from a later one of the same number.
    """
    return _identity_of(os.getpid())


@lru_cache(maxsize=8)
def _identity_of(pid: int) -> str:
    return f"{_process_table()}/{pid}/{_started(pid)}"


def identity_of_child(pid: int) -> str | None:
    """The identity of a process that this one has started; None if it is gone."""
    started = _started(pid)
    return None if started is None else f"{_process_table()}/{pid}/{started}"


def is_known_dead(owner: str) -> bool:
    """Whether a process is surely gone: it is of this machine's process table, and not in it.

    Of a process elsewhere nothing is known, and the answer is False.
    """
    table, _, process = owner.rpartition("/")
    table, _, pid = table.rpartition("/")
    if table != _process_table() or not pid.isdigit():
        return False
    return str(_started(int(pid))) != process


def _process_table() -> str:
    return f"{socket.gethostname()[:40]}/{_namespace()}"


@lru_cache(maxsize=1)
def _namespace() -> str:
    """The boot and the process namespace: containers and reboots count processes anew."""
    return f"{_BOOT_ID.read_text()[:8]}.{Path('/proc/self/ns/pid').readlink().name[5:-1]}"


def _started(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None if there is none, or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
