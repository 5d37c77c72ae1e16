"""Our own stack for a benchmark: a Redis, quant workers and commands, at an upstream's address."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import Celery

from market.errors import QuantsyncError
from pipeline.bench import stages
from pipeline.bench.processes import stop, worker
from pipeline.bench.redis_server import run_redis
from pipeline.bench.usage import Usage, usage_of
from pipeline.queues import STOCK_QUEUE, declared_queues
from pipeline.settings import Settings
from storage.database import Database
from storage.ledger import Ledger
from storage.run_records import RunStatus

UNLIMITED = "1000000/1s"
"""A budget in Redis that is asked for every request, and grants each at once."""
_PATIENCE_S = 600.0


class StackFailedError(QuantsyncError):
    """A process of the benchmark's stack did not do what it was asked for."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of the stack.

    Attributes:
        status: As the ledger has it at the end.
        seconds: From the run's record in the ledger to its end, by the database's clock.
        cpu: CPU seconds of all workers by stage, with the rest.
        worker: CPU seconds of this run, of all workers, and the most memory of one until now.
        redis: Likewise.
        command: Likewise, of the command that began the run; None: a message did.
        idle_mib: Memory of a worker before the run.
    """

    status: RunStatus
    seconds: float
    cpu: dict[str, float]
    worker: Usage
    redis: Usage
    command: Usage | None
    idle_mib: float


@dataclass(slots=True)
class MarketStack:
    """A home with Redis and quant workers that are up."""

    home: Path
    environment: dict[str, str]
    database: Database
    _workers: "list[subprocess.Popen[bytes]]"
    _redis: int
    _log: Path

    @property
    def ledger(self) -> Ledger:
        """Its ledger."""
        return Ledger(self.database)

    def command(self, *words: str) -> Ran:
        """Run a ``quantsync`` command that begins one run, to its end."""
        call = [sys.executable, "-m", "pipeline.cli", *words, "--json"]
        return self._measured(lambda: self._call(call))

    def tick(self, name: str, slot: str) -> Ran:
        """Let a worker serve the slot that is due, as a tick of beat has it do."""
        return self._measured(lambda: self._send("pipeline.tick", name), slot)

    def _send(self, task: str, argument: str) -> None:
        """Hand a message to the quant worker: an admin worker for one would only take CPU."""
        url = self.environment["CELERY_BROKER_URL"]
        with Celery("bench", broker=url, set_as_current=False) as celery:
            celery.conf.task_queues = declared_queues(url, "classic")
            celery.send_task(task, args=[argument], queue=STOCK_QUEUE, ignore_result=True)

    def _measured(self, begin: Callable[[], Usage | None], slot: str | None = None) -> Ran:
        before, redis_before, tally = self._of_workers(), self._usage(self._redis), self._tally()
        known = {run.run_id for run in self.ledger.runs(100)}
        command = begin()
        status = self._ended(known, slot)
        spent = self._tally()
        cpu = {name: seconds - tally["stages"][name] for name, seconds in spent["stages"].items()}
        cpu[stages.REST] = spent["process"] - tally["process"] - sum(cpu.values())
        after, redis_after = self._of_workers(), self._usage(self._redis)
        return Ran(
            status=status,
            seconds=status.elapsed_s,
            cpu=cpu,
            worker=_since(before, after),
            redis=_since(redis_before, redis_after),
            command=command,
            idle_mib=before.resident_mib,
        )

    def _call(self, words: list[str]) -> Usage:
        """Run a process to its end; what it used up to a moment before."""
        said, errors = self.home.parent / "said.log", self.home.parent / "errors.log"
        with said.open("wb") as output, errors.open("wb") as sink:
            process = subprocess.Popen(  # noqa: S603
                words, env=self.environment, cwd=self.home.parent, stdout=output, stderr=sink
            )
        used = Usage(0, 0, 0)
        deadline = time.monotonic() + _PATIENCE_S
        while process.poll() is None:
            used = usage_of(process.pid) or used
            if time.monotonic() > deadline:
                stop(process)
            time.sleep(0.05)
        if process.returncode:
            raise StackFailedError(
                f"{' '.join(words[1:6])} ended with {process.returncode}: "
                f"{errors.read_text(errors='replace')[-2000:]}"
                f"{said.read_text(errors='replace')[-2000:]}"
            )
        return used

    def _ended(self, known: set[str], slot: str | None) -> RunStatus:
        found: list[RunStatus] = []

        def look() -> bool:
            runs = self.ledger.runs(20)
            new = [r for r in runs if r.run_id not in known and r.state.is_end]
            found[:] = [r for r in new if slot is None or str(r.slot).startswith(slot)]
            return bool(found)

        self._wait("the end of a run", look)
        return found[0]

    def _tally(self) -> dict[str, Any]:
        """What the stages of all workers have taken; once no task runs."""
        files = [stages.file_of(self.home, each.pid) for each in self._workers]
        read: list[dict[str, Any]] = []

        def look() -> bool:
            read[:] = [json.loads(file.read_text()) for file in files if file.exists()]
            return len(read) == len(files) and not any(each["running"] for each in read)

        self._wait("the end of the workers' tasks", look)
        named = {name: sum(each["stages"][name] for each in read) for name in stages.STAGES}
        return {"process": sum(each["process"] for each in read), "stages": named}

    def _of_workers(self) -> Usage:
        """CPU of all of them; memory of the largest."""
        used = [self._usage(each.pid) for each in self._workers]
        return Usage(
            sum(each.cpu_s for each in used),
            max(each.resident_mib for each in used),
            max(each.peak_mib for each in used),
        )

    def _usage(self, pid: int) -> Usage:
        found = usage_of(pid)
        if found is None:
            raise StackFailedError(f"a process of the stack is gone: {self._log_end()}")
        return found

    def _wait(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not holds():
            gone = any(each.poll() is not None for each in self._workers)
            if gone or time.monotonic() > deadline:
                raise StackFailedError(f"waited in vain for {what}: {self._log_end()}")
            time.sleep(0.05)

    def _log_end(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


@contextmanager
def market_stack(
    folder: Path, upstream: str, *, workers: int = 1, database_url: str | None = None
) -> Iterator[MarketStack]:
    """A fresh home with a Redis that keeps its data, and quant workers, while the block runs.

    Args:
        folder: Where everything lies; a short path, for the socket of Redis.
        upstream: Address of the upstream.
        workers: How many processes of 8 threads each.
        database_url: Of an empty database; None: SQLite in the home.

    Raises:
        QuantsyncError: Something did not start.
    """
    home = folder / "home"
    home.mkdir(parents=True)
    with ExitStack() as running:
        server = running.enter_context(run_redis(folder))
        environment = {
            **_without_settings(),
            "QUANTSYNC_HOME": str(home),
            "QUANTSYNC_UPSTREAM": upstream,
            "DATABASE_URL": database_url or f"sqlite:///{home / 'quantsync.db'}",
            "CELERY_BROKER_URL": server.url(1),
            "CELERY_RESULT_BACKEND": server.url(2),
            "BUDGET_SIMULATOR": UNLIMITED,
            "SYNC_EVENTS": "false",
        }
        log = folder / "worker.log"
        more = ("-I", "pipeline.bench.worker_stages")
        processes = [
            worker(environment, log, name=f"quant{number}", more=more, folder=folder)
            for number in range(workers)
        ]
        running.callback(stop, *processes)
        database = Database(environment["DATABASE_URL"])
        running.callback(database.dispose)
        database.migrate()
        stack = MarketStack(home, environment, database, processes, server.process.pid, log)

        def ready() -> bool:
            return log.read_text(errors="replace").count(" ready.") == workers

        stack._wait("the workers", ready)  # noqa: SLF001  (one module)
        yield stack


def _without_settings() -> dict[str, str]:
    """This process's variables but for those that configure an installation: it is not touched."""
    ours = {name.upper() for name in Settings.model_fields}
    return {name: value for name, value in os.environ.items() if name not in ours}


def _since(before: Usage, after: Usage) -> Usage:
    return Usage(after.cpu_s - before.cpu_s, after.resident_mib, after.peak_mib)
