"""The benchmarks by name: each module is imported when it is run, not to list it."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from pipeline.bench.figures import Section


@dataclass(frozen=True, slots=True)
class Bench:
    """How a benchmark is to be run.

    Attributes:
        folder: Its own, empty; removed afterwards.
        seed: Of everything that is drawn at random.
        quick: Tiny sizes and one round: the figures mean nothing, but every step is walked.
        say: Takes a sentence on what is being done now.
    """

    folder: Path
    seed: int
    quick: bool
    say: Callable[[str], None]

    def size(self, full: int, quick: int) -> int:
        """The size of this run."""
        return quick if self.quick else full


SECTIONS = {
    "queues": "Enqueue rate, rate end to end and latency of each queue, idle and beside others.",
    "chords": "What a chord costs a task, against a bare group of no-ops.",
    "live": "How soon a live task starts behind a backfill of 10,000.",
    "pipeline": "A whole market through real workers, against the floor; CPU by stage.",
    "storage": "Backfill, increment, re-run and reads of the lake, SQLite and PostgreSQL.",
    "peers": "The same bars by pandas to_sql, iterrows with ORM upsert, a file per symbol.",
    "startup": "Command to first task, an idle worker's memory, imports of each command.",
    "web": "What the API adds to a query; 50 readers while a sync writes; memory.",
    "growth": "Time, memory and requests against the number of symbols.",
}
"""In the order of the pages; ``pipeline.bench.<name>`` has ``measure(bench) -> Section``."""


def measure(name: str, bench: Bench) -> Section:
    """Run a benchmark.

    Raises:
        QuantsyncError: Something it needs did not start.
    """
    section: Section = import_module(f"pipeline.bench.{name}").measure(bench)
    return section
