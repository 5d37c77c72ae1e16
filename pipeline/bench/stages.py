"""CPU by stage of a quant worker that is started with ``celery -I pipeline.bench.worker_stages``.

Product code knows nothing of it, and pays nothing where it is off. Where it is on, the functions at
which a stage begins are wrapped: each takes the CPU time of its own thread, less that of the stages
that begin inside. What the process spends beyond them is the rest: messages, and what is nobody's.
"""

import functools
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

FETCH, PACING, PARSE, VALIDATE, STAGE, LAKE, SQL, LEDGER = STAGES = (
    "fetch", "pacing", "parse", "validate", "stage", "lake", "SQL", "ledger",
)  # fmt: skip
REST = "messages and rest"


def file_of(home: Path, pid: int) -> Path:
    """Where a worker says the CPU seconds of its whole process and of each stage, cumulative."""
    return home / f"stages-{pid}.json"


class Tally:
    """CPU seconds by stage, of all threads of this process."""

    def __init__(self) -> None:
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._threads: list[dict[str, float]] = []

    def seconds(self) -> dict[str, float]:
        """Until now; stages under way are left out."""
        with self._lock:
            threads = list(self._threads)
        total: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        for spent in threads:
            for name, seconds in list(spent.items()):
                total[name] += seconds
        return total

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counted to a stage."""

        @functools.wraps(function)
        def counted(*arguments: Any, **named: Any) -> Any:
            stack, spent = self._of_thread()
            now = time.thread_time()
            if stack:
                spent[stack[-1][0]] += now - stack[-1][1]
            stack.append([name, now])
            try:
                return function(*arguments, **named)
            finally:
                now = time.thread_time()
                spent[name] += now - stack.pop()[1]
                if stack:
                    stack[-1][1] = now

        return counted

    def _of_thread(self) -> tuple[list[list[Any]], dict[str, float]]:
        mine = self._mine
        if not hasattr(mine, "stack"):
            mine.stack, mine.spent = [], defaultdict(float)
            with self._lock:
                self._threads.append(mine.spent)
        return mine.stack, mine.spent


def begin(tally: Tally) -> None:
    """Wrap what the stages begin at. Every name must exist, or the breakdown would lie."""
    from ingest import pacing, wire  # noqa: PLC0415  (only who measures needs them)
    from ingest.sources import eastmoney_direct  # noqa: PLC0415
    from pipeline import committing, fetching, runtime  # noqa: PLC0415
    from storage import lake  # noqa: PLC0415
    from storage.catalog import Catalog  # noqa: PLC0415
    from storage.ledger import Ledger  # noqa: PLC0415
    from storage.recovery import Recovery  # noqa: PLC0415
    from storage.side_by_side import side_by_side  # noqa: PLC0415
    from storage.staging import Staging  # noqa: PLC0415
    from storage.warehouse import Warehouse  # noqa: PLC0415

    direct = eastmoney_direct.DirectEastmoney
    places: list[tuple[str, Any, tuple[str, ...]]] = [
        (FETCH, wire.UpstreamAdapter, ("send", "ask")),
        (PACING, pacing.RedisBudget, ("acquire", "_report")),
        (VALIDATE, fetching, ("settle",)),
        (STAGE, Staging, ("write", "read", "discard")),
        (FETCH, runtime.SimulatorClock, ("now",)),
        (LAKE, lake.Lake, ("write", "read")),
        (SQL, Warehouse, ("write_bars",)),
        (LEDGER, committing, ("record_absences", "extend_after_list")),
        *((LEDGER, kind, _methods(kind)) for kind in (Ledger, Recovery, Catalog)),
    ]
    for name, owner, functions in places:
        for function in functions:
            setattr(owner, function, tally.wrap(name, getattr(owner, function)))

    def counted(works: Any, alive: Any) -> Any:  # on threads of their own
        return side_by_side([tally.wrap(LAKE, work) for work in works], alive)

    lake.side_by_side = counted  # type: ignore[attr-defined]
    get = direct._get  # noqa: SLF001  (the one place where an answer is read)

    def parsed(source: Any, url: str, parameters: dict[str, str], read: Any) -> Any:
        return get(source, url, parameters, tally.wrap(PARSE, read))

    direct._get = tally.wrap(FETCH, parsed)  # type: ignore[method-assign]  # noqa: SLF001


def _methods(kind: type) -> tuple[str, ...]:
    return tuple(name for name, each in vars(kind).items() if name[0] != "_" and callable(each))


def follow() -> None:
    """Keep the tally of this worker in its home: at its start, and after each task."""
    from celery.signals import task_postrun, task_prerun, worker_ready  # noqa: PLC0415

    from pipeline.settings import read_settings  # noqa: PLC0415

    tally, running, lock = Tally(), [0], threading.Lock()
    begin(tally)
    file = file_of(read_settings().home, os.getpid())

    def write(**_signal: object) -> None:
        words = json.dumps(
            {"process": time.process_time(), "running": running[0], "stages": tally.seconds()}
        )
        beside = file.with_name(f".{file.name}.{os.getpid()}")
        Path(beside).write_text(words)
        beside.replace(file)

    def started(**_signal: object) -> None:
        with lock:
            running[0] += 1

    def ended(**_signal: object) -> None:
        with lock:
            running[0] -= 1
            write()

    task_prerun.connect(started, weak=False)
    task_postrun.connect(ended, weak=False)
    worker_ready.connect(write, weak=False)
