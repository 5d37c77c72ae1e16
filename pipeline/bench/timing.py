"""Measuring pieces of work in turn, so that a noisy machine disturbs all of them alike."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Work = Callable[[], object]


@dataclass(slots=True)
class Timed:
    """The rounds of one piece of work, in seconds.

    Attributes:
        wall: By the clock.
        cpu: Of this process, all its threads together.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        """The median by the clock."""
        return statistics.median(self.wall)

    @property
    def median_cpu_s(self) -> float:
        """The median of the CPU's time."""
        return statistics.median(self.cpu)

    def add(self, work: Work) -> None:
        """Do it once."""
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)


def in_turn(works: Mapping[str, Work], rounds: int, *, warm: bool = True) -> dict[str, Timed]:
    """Do every piece of work once per round, in the same order.

    Args:
        works: By name.
        rounds: How often each is measured.
        warm: Do each once before, unmeasured: imports and caches are not what is asked for.
    """
    timed = {name: Timed() for name in works}
    if warm:
        for work in works.values():
            work()
    for _ in range(rounds):
        for name, work in works.items():
            timed[name].add(work)
    return timed


def percentile(samples: list[float], share: float) -> float:
    """The smallest sample that so large a share of them does not exceed.

    Args:
        samples: At least one.
        share: From 0 to 1.
    """
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
