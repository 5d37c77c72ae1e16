"""Whether the parts that an installation stands on answer, asked briefly."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import redis

from ingest.causes import plain_cause
from market.errors import QuantsyncError
from pipeline.broker import BrokerUnreachableError, check_broker
from pipeline.budgets import plain_redis_url
from pipeline.runtime import Runtime
from pipeline.settings import Settings

PartName = Literal["database", "broker", "results", "lake"]
_ANSWER_S = 2.0


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


def read_parts(runtime: Runtime) -> list[Part]:
    """Ask every part. Takes seconds where one stands still."""
    return [
        _asked("database", lambda: _database(runtime), "runs, catalog, coverage and all writing"),
        _asked("broker", check_broker, "starting runs, reports and emails"),
        _asked("results", lambda: check_results(runtime.settings), "starting runs; task states"),
        _asked("lake", lambda: _lake(runtime), "bars"),
    ]


def check_results(settings: Settings) -> None:
    """Ask the Redis that keeps results, and do not wait for it.

    Raises:
        ResultsUnreachableError: It does not answer.
    """
    url = plain_redis_url(settings.result_backend)
    try:
        with redis.Redis.from_url(
            url, socket_timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S
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


def _database(runtime: Runtime) -> None:
    with runtime.database.reading() as connection:
        runtime.database.now(connection)


def _lake(runtime: Runtime) -> None:
    root = runtime.settings.lake_path
    if not root.exists():
        return  # nothing was ever written
    try:
        next(root.iterdir(), None)
    except OSError as error:
        raise LakeUnreadableError(
            f"the lake {root} cannot be read ({error.strerror}): give permission, or mount it"
        ) from error


class LakeUnreadableError(QuantsyncError):
    """The lake's folder cannot be read."""
