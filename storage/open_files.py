"""Which processes of this machine have files open (Linux)."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True, slots=True)
class Opener:
    """A process that has a file open.

    Attributes:
        writes: Whether it may write it.
    """

    path: Path
    pid: int
    command: str
    writes: bool


def openers(paths: Collection[Path]) -> list[Opener]:
    """Processes, this one left out, that have any of the files open.

    Only processes whose open files this user may see are known: those of the same user, and all to
    the superuser.
    """
    wanted = {_identity(path): path for path in paths if path.exists()}
    found = set()
    for entry in _PROC.glob("[0-9]*"):
        if entry.name == str(os.getpid()):
            continue
        try:
            handles = list((entry / "fd").iterdir())
        except OSError:
            continue  # it has ended, or belongs to another user
        for handle in handles:
            try:
                path = wanted.get(_identity(handle))
                if path is not None:
                    found.add(Opener(path, int(entry.name), _command(entry), _writes(handle)))
            except OSError:
                continue  # closed meanwhile
    return sorted(found, key=lambda each: (each.path, each.pid))


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _command(entry: Path) -> str:
    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return words[:80]


def _writes(handle: Path) -> bool:
    about = (handle.parent.parent / "fdinfo" / handle.name).read_text(encoding="ascii")
    flags = next(line.split()[1] for line in about.splitlines() if line.startswith("flags:"))
    return int(flags, 8) & _ACCESS != os.O_RDONLY
