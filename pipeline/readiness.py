"""Whether the parts that an installation stands on answer, asked briefly."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ingest.causes import plain_cause
from market.bars import Dataset
from market.errors import QuantsyncError
from pipeline.broker import BrokerUnreachableError, check_broker
from pipeline.budgets import plain_redis_url
from pipeline.runtime import Runtime
from pipeline.settings import Settings
from storage.errors import LakeUnreadableError

PartName = Literal["database", "broker", "results", "lake"]
_ANSWER_S, _PATIENCE_S = 2.0, 4.0


@dataclass(frozen=True, slots=True)
class Part:
    """One part.

    Attributes:
        says: Why it is not to be had; None: it is.
        needed_for: What cannot be done without it.
    """

    part: PartName
    ok: bool
    says: str | None
    needed_for: str


class ResultsUnreachableError(BrokerUnreachableError):
    """The Redis that keeps results does not answer."""


class Parts:
    """Asks all parts at once, each in a thread of its own: one that stands still delays no other.

    Args:
        runtime: The stores.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._asks: dict[PartName, tuple[Callable[[], None], str]] = {
            "database": (lambda: _database(runtime), "runs, catalog, coverage and all writing"),
            "broker": (check_broker, "starting runs, reports and emails"),
            "results": (lambda: check_results(runtime.settings), "starting runs; task states"),
            "lake": (lambda: check_lake(runtime), "bars"),
        }
        self._threads = ThreadPoolExecutor(len(self._asks), thread_name_prefix="part")
        self._asked: dict[PartName, Future[Part]] = {}

    def read(self) -> list[Part]:
        """How they are. Takes seconds where one stands still. Not to be called by two at once."""
        for name, (ask, needed_for) in self._asks.items():
            before = self._asked.get(name)
            if before is None or before.done():  # else it still waits, and is not asked again
                self._asked[name] = self._threads.submit(_asked, name, ask, needed_for)
        wait(self._asked.values(), timeout=_PATIENCE_S)
        return [
            asked.result() if asked.done() else _silent(name, self._asks[name][1])
            for name, asked in self._asked.items()
        ]

    def close(self) -> None:
        """Ask no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def check_results(settings: Settings) -> None:
    """Ask the Redis that keeps results, and do not wait for it.

    Raises:
        ResultsUnreachableError: It does not answer.
    """
    url = plain_redis_url(settings.result_backend)
    try:
        with redis.Redis.from_url(
            url,
            socket_timeout=_ANSWER_S,
            socket_connect_timeout=_ANSWER_S,
            retry=Retry(NoBackoff(), 0),
        ) as client:
            client.ping()
    except redis.RedisError as error:
        raise ResultsUnreachableError(
            f"the Redis that keeps results does not answer ({plain_cause(error)}): start it, or "
            "correct CELERY_RESULT_BACKEND"
        ) from error


def _asked(name: PartName, ask: Callable[[], None], needed_for: str) -> Part:
    try:
        ask()
    except QuantsyncError as error:
        return Part(name, ok=False, says=error.message, needed_for=needed_for)
    return Part(name, ok=True, says=None, needed_for=needed_for)


def _silent(name: PartName, needed_for: str) -> Part:
    says = f"the {name} did not answer within {_PATIENCE_S:g} s: look whether it stands still"
    return Part(name, ok=False, says=says, needed_for=needed_for)


def _database(runtime: Runtime) -> None:
    with runtime.database.reading() as connection:
        runtime.database.now(connection)


def check_lake(runtime: Runtime, was_written: Callable[[], bool] | None = None) -> None:
    """Make sure that the lake is where bars were written to: its mount may be missing.

    Args:
        runtime: The stores.
        was_written: Whether bars ever were, asked only if there are none; None: by the manifest.

    Raises:
        LakeUnreadableError: It cannot be read, or is not there; nothing is to be fetched again.
        StorageError: There are no bars, and the database cannot say whether there were.
    """
    root = runtime.settings.lake_path
    if _has_bars(root) or not (was_written or runtime.lake_manifest.has_bars)():
        return
    raise LakeUnreadableError(
        f"the lake {root} has no bars though they were written to it, they need not be fetched "
        "again: mount it, move it back, or correct LAKE_DIR"
    )


def _has_bars(root: Path) -> bool:
    try:
        names = {each.name for each in root.iterdir()}
    except FileNotFoundError:
        return False
    except OSError as error:
        raise LakeUnreadableError(
            f"the lake {root} cannot be read ({error.strerror}): give permission, or mount it"
        ) from error
    return any(each.value in names for each in Dataset)
