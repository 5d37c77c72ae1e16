"""An installation for a benchmark: a home, a broker, results in Redis, real workers on them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from pipeline.app import celery_config
from pipeline.bench.names import ENDED, FETCH
from pipeline.bench.processes import clean_environment, stop, worker
from pipeline.bench.rabbitmq_server import RabbitMQ
from pipeline.bench.redis_server import MissingServerError, RedisServer, run_redis
from pipeline.bench.sections import Bench
from pipeline.queues import ADMIN_QUEUES, broker_priority
from pipeline.settings import Settings
from storage.database import Database

BROKERS = ("Redis", "RabbitMQ")
_PATIENCE_S = 120.0
_LOOK_S = 0.002
_NUMBERS = count()


class LostTaskError(RuntimeError):
    """A task that was published did not run in time."""


@dataclass(slots=True)
class Site:
    """One installation.

    Attributes:
        broker_url: Redis or RabbitMQ.
        results: The server of the results; its database ``database`` is this installation's alone.
    """

    home: Path
    broker_url: str
    results: RedisServer
    database: int
    celery: Celery = field(init=False)
    client: redis.Redis = field(init=False)
    _workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    _publishers: list["subprocess.Popen[str]"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True)
        Database(f"sqlite:///{self.home / 'quantsync.db'}").migrate()
        backend = self.results.url(self.database)
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]  # pydantic's, unknown to types
            quantsync_home=self.home,
            celery_broker_url=self.broker_url,
            celery_result_backend=backend,
            queue_type="classic",
        )
        self.celery = Celery("bench", set_as_current=False)
        self.celery.conf.update(celery_config(settings))
        self.client = self.results.client(self.database)

    @property
    def environment(self) -> dict[str, str]:
        """What a process of this installation sees."""
        return clean_environment() | {
            "QUANTSYNC_HOME": str(self.home),
            "CELERY_BROKER_URL": self.broker_url,
            "CELERY_RESULT_BACKEND": self.results.url(self.database),
        }

    def start_quant(self, *, pool: str = "threads", size: int = 8) -> None:
        """As ``make worker`` does, its tasks without their work."""
        log, without_work = self.home / f"quant-{pool}.log", ("-I", "pipeline.bench.no_ops")
        process = worker(
            self.environment, log, threads=size, pool=pool, more=without_work, folder=self.home
        )
        self._workers.append(process)

    def start_admin(self) -> None:
        """As ``make worker-admin`` does."""
        process = worker(
            self.environment,
            self.home / "admin.log",
            name="admin",
            pool="prefork",
            threads=os.cpu_count() or 1,
            queues=",".join(ADMIN_QUEUES),
            more=("--prefetch-multiplier", "4", "-I", "pipeline.bench.no_ops"),
            folder=self.home,
        )
        self._workers.append(process)

    @contextlib.contextmanager
    def workers_standing_still(self) -> Iterator[None]:
        """Nobody takes a task while the block runs: what is published waits."""
        for process in self._workers:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in self._workers:
                process.send_signal(signal.SIGCONT)

    def start_publisher(self) -> "Publisher":
        """A process that publishes as every run is published."""
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.bench.publisher"],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._publishers.append(process)
        return Publisher(process)

    def publish(self, queue: str, many: int, priority: int) -> list[str]:
        """Hand so many tasks to the broker, one after the other; their ids."""
        options = {"queue": queue, "priority": broker_priority(priority, self.broker_url)}
        with self.celery.producer_pool.acquire(block=True) as producer:
            return [
                str(
                    self.celery.send_task(
                        FETCH, args=("bench", next(_NUMBERS)), producer=producer, **options
                    )
                )
                for _ in range(many)
            ]

    def starts(self, ids: Sequence[str]) -> list[float]:
        """When tasks started, as epoch seconds, once all of them have run.

        Raises:
            LostTaskError: One did not run within two minutes.
        """
        keys = [self.celery.backend.get_key_for_task(each) for each in ids]
        # To look for all of them disturbs those who work: only once the last one has run.
        self._results(keys[-1:])
        return [json.loads(each)["result"]["at"] for each in self._results(keys)]

    def _results(self, keys: Sequence[bytes]) -> list[bytes]:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            found: Any = self.client.mget(keys)
            if all(each is not None and b'"STARTED"' not in each for each in found):
                return list(found)
            if time.monotonic() > deadline:
                raise LostTaskError(f"not all of {len(keys)} tasks ran within {_PATIENCE_S:.0f} s")
            time.sleep(_LOOK_S)

    def latencies(self, queue: str, many: int, priority: int) -> list[float]:
        """Milliseconds from publishing a task to its start, one by one."""
        found = []
        for _ in range(many):
            began = time.time()
            (at,) = self.starts(self.publish(queue, 1, priority))
            found.append(1000 * (at - began))
        return found

    def body_ran_at(self, run_id: str) -> float:
        """When the body of a run's chord started, once it has.

        Raises:
            LostTaskError: It did not run within two minutes.
        """
        answer: Any = self.client.blpop([ENDED], timeout=_PATIENCE_S)
        if answer is None:
            raise LostTaskError(f"the body of run {run_id} did not run within {_PATIENCE_S:.0f} s")
        ended, at = answer[1].decode().split()
        if ended != run_id:
            raise LostTaskError(f"the body of run {ended} ran where that of {run_id} was due")
        return float(at)

    def depth(self, queue: str) -> int:
        """Messages that no worker has taken."""
        with self.celery.connection_for_write() as connection:
            bound = self.celery.amqp.queues[queue](connection.default_channel)
            bound.declare()
            return int(bound.queue_declare().message_count)

    def forget(self, queue: str) -> None:
        """Drop the messages of a queue that no worker has taken."""
        with self.celery.connection_for_write() as connection:
            self.celery.amqp.queues[queue](connection.default_channel).purge()

    def close(self) -> None:
        """End its processes, and let go of the servers."""
        stop(*self._workers, *self._publishers)
        self.celery.close()
        self.client.close()


@dataclass(frozen=True, slots=True)
class Publisher:
    """A process that publishes runs."""

    process: "subprocess.Popen[str]"

    def wave(self, lane: str, size: int) -> tuple[str, float, float]:
        """Publish a run; its id, and the epoch seconds before and after it was published."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{lane} {size}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise LostTaskError("the publisher has ended: its reason stands above")
        said = json.loads(answer)
        return said["run_id"], said["began"], said["ended"]


@contextlib.contextmanager
def sites(bench: Bench, only: Collection[str], missing: list[str]) -> Iterator[dict[str, Site]]:
    """An installation on each broker that can be had here, by the broker's name.

    Args:
        bench: Its folder takes the homes and the servers' data.
        only: Of ``BROKERS``.
        missing: Takes why a broker cannot be had.
    """
    with contextlib.ExitStack() as running:
        results = running.enter_context(run_redis(bench.folder))
        urls = {"Redis": results.url(1)}
        if "RabbitMQ" in only:
            bench.say("RabbitMQ starts")
            try:
                node = RabbitMQ(bench.folder / "rabbitmq")
                urls["RabbitMQ"] = running.enter_context(node.running()).url
            except MissingServerError as error:
                missing.append(f"RabbitMQ: {error.message}")
        found = {}
        for number, (name, url) in enumerate(urls.items()):
            if name in only:
                site = found[name] = Site(bench.folder / name, url, results, 2 + number)
                running.callback(site.close)
        yield found
