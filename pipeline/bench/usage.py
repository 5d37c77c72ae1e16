"""What a process has used, as Linux tells it."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Until a moment.

    Attributes:
        cpu_s: User and system time of all its threads.
        resident_mib: Memory now.
        peak_mib: The most memory there was; of the resident set, shared pages included.
    """

    cpu_s: float
    resident_mib: float
    peak_mib: float


def usage_of(pid: int) -> Usage | None:
    """Of a process; None if it is gone."""
    folder = Path(f"/proc/{pid}")
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        lines = (folder / "status").read_text().splitlines()
    except OSError:
        return None
    sizes = {line.partition(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    if "VmHWM" not in sizes:
        return None  # it has ended, and is not yet waited for
    cpu_s = (int(fields[11]) + int(fields[12])) * _TICK_S
    return Usage(cpu_s, int(sizes["VmRSS"]) / 1024, int(sizes["VmHWM"]) / 1024)
