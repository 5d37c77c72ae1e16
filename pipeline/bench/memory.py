"""How much memory a piece of work takes at most, over what the process had before."""

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

MIB = 2**20
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"  # proc(5): resets the peak resident set size


@dataclass(slots=True)
class Peak:
    """The most that was taken.

    Attributes:
        mib: MiB over what was resident before; None: this system does not say.
    """

    mib: float | None = None


@contextlib.contextmanager
def peak() -> Iterator[Peak]:
    """Watch the resident set while the block runs; Linux only."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    found, before = Peak(), _resident("VmRSS")
    try:
        _CLEAR.write_text(_FORGET_PEAK)
    except OSError:
        before = None
    yield found
    most = _resident("VmHWM")
    if before is not None and most is not None:
        found.mib = max(most - before, 0) / MIB


def _resident(field: str) -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    sizes = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(sizes[0]) * 1024 if sizes else None
