"""What the workers say of themselves, and what waits in the queues."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.app import app
from pipeline.broker import check_broker
from pipeline.publishing import queue_depths
from pipeline.queues import ALL_QUEUES

_ANSWER_S, _ANSWER_AT_LAST_S = 1.0, 3.0


@dataclass(frozen=True, slots=True)
class Task:
    """A task that a worker has.

    Attributes:
        task_id: Its id.
        name: Its name.
        arguments: Its arguments, as text.
        since: Epoch seconds at which it was begun; None: not yet.
        due: ISO 8601 instant before which it is not begun; None: at once.
    """

    task_id: str
    name: str
    arguments: str
    since: float | None = None
    due: str | None = None


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that answers.

    Attributes:
        name: ``quant@host``.
        queues: What it consumes.
        pool: Its threads or processes.
        active: In work.
        reserved: Taken from the queue, not begun.
        scheduled: Waiting for their instant.
        registered: Names of the tasks that it knows.
        done: Tasks done since it was started, by name.
    """

    name: str
    queues: tuple[str, ...] = ()
    pool: int = 0
    active: tuple[Task, ...] = ()
    reserved: tuple[Task, ...] = ()
    scheduled: tuple[Task, ...] = ()
    registered: tuple[str, ...] = ()
    done: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inspection:
    """All workers that answer, and all queues.

    Attributes:
        workers: By name.
        depths: Messages that no worker has taken, by queue.
    """

    workers: tuple[Worker, ...]
    depths: Mapping[str, int]

    def consumers(self, queue: str) -> list[str]:
        """The workers that consume a queue."""
        return [worker.name for worker in self.workers if queue in worker.queues]

    @property
    def deserted(self) -> list[str]:
        """Queues that nobody consumes who answers."""
        return [queue for queue in ALL_QUEUES if not self.consumers(queue)]


def consumers_by_queue() -> Inspection:
    """Who consumes what, asked of all workers at once.

    Where a queue seems to have nobody, all are asked once more and given longer: a worker on a busy
    machine may be slow to answer.

    Raises:
        BrokerUnreachableError: The broker does not answer.
    """
    check_broker()
    answered: dict[str, Any] = {}
    for patience_s in (_ANSWER_S, _ANSWER_AT_LAST_S):
        answered |= app.control.inspect(timeout=patience_s).active_queues() or {}
        workers = [
            Worker(name, queues=tuple(queue["name"] for queue in queues))
            for name, queues in sorted(answered.items())
        ]
        found = Inspection(tuple(workers), queue_depths())
        if not found.deserted:
            break
    return found


def inspect_workers() -> Inspection:
    """Everything that the workers say of themselves.

    Raises:
        BrokerUnreachableError: The broker does not answer.
    """
    found = consumers_by_queue()
    names = [worker.name for worker in found.workers]
    if not names:
        return found
    # As many answers as workers are waited for, so that none of these takes its whole time.
    asked = app.control.inspect(destination=names, limit=len(names), timeout=_ANSWER_AT_LAST_S)
    active, reserved = asked.active() or {}, asked.reserved() or {}
    scheduled, registered = asked.scheduled() or {}, asked.registered() or {}
    stats = asked.stats() or {}
    workers = [
        Worker(
            worker.name,
            worker.queues,
            pool=_size(stats.get(worker.name, {})),
            active=_tasks(active.get(worker.name, ())),
            reserved=_tasks(reserved.get(worker.name, ())),
            scheduled=tuple(
                _task(each["request"], due=str(each["eta"]))
                for each in scheduled.get(worker.name, ())
            ),
            registered=tuple(sorted(registered.get(worker.name, ()))),
            done=dict(sorted(stats.get(worker.name, {}).get("total", {}).items())),
        )
        for worker in found.workers
    ]
    return Inspection(tuple(workers), found.depths)


def _size(stats: Mapping[str, Any]) -> int:
    return int(stats.get("pool", {}).get("max-concurrency") or 0)


def _tasks(told: Sequence[Mapping[str, Any]]) -> tuple[Task, ...]:
    return tuple(_task(each) for each in told)


def _task(told: Mapping[str, Any], due: str | None = None) -> Task:
    arguments = ", ".join(str(each) for each in told.get("args") or ())
    return Task(str(told["id"]), str(told["name"]), arguments, told.get("time_start"), due)
