"""Watching runs for event streams: each run is read once, however many listen to it."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from market.errors import QuantsyncError
from pipeline.runtime import Runtime
from storage.run_records import RunStatus
from web.pools import Pool
from web.problems import BusyError

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.5
_TELL_EVERY_S = 5.0
_KEEP_ALIVE_S = 15.0
_LONGEST_S = 3600.0
_SHARE_OF_ONE = 2
_RETRY_MS = 3000


@dataclass(slots=True)
class _Watched:
    """A run that somebody listens to.

    Attributes:
        version: Grows with every look that told something new.
        away: Why it could not be read at the last look.
    """

    status: RunStatus
    version: int = 0
    away: str | None = None
    listeners: int = 0
    told_at: float = field(default_factory=time.monotonic)


class RunWatcher:
    """Reads the runs that are listened to, and lets a bounded number of streams have them.

    Args:
        runtime: Where the ledger is.
        queries: Where it is read.
        most: Streams that may be open at once; one key may hold half of them.
        stopping: Ends all streams.
    """

    def __init__(self, runtime: Runtime, queries: Pool, most: int, stopping: asyncio.Event) -> None:
        self._runtime, self._queries, self._most = runtime, queries, most
        self._stopping = stopping
        self._watched: dict[str, _Watched] = {}
        self._by_name: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self._looking: asyncio.Task[None] | None = None

    @property
    def streams(self) -> int:
        """How many are open."""
        return sum(self._by_name.values())

    def enter(self, name: str) -> None:
        """Count a stream of a caller; :meth:`leave` must follow.

        Raises:
            BusyError: Too many are open.
        """
        mine, most_of_one = self._by_name.get(name, 0), max(1, self._most // _SHARE_OF_ONE)
        if self.streams >= self._most or mine >= most_of_one:
            whose = f"{self.streams} event streams" if mine < most_of_one else f"{mine} of {name}"
            raise BusyError(
                f"{whose} are open, and no more are taken (WEB_STREAMS={self._most}): close some, "
                "or ask for the run itself every few seconds",
                {"retry_after_s": 10},
            )
        self._by_name[name] = mine + 1

    def leave(self, name: str) -> None:
        """The end of a stream."""
        self._by_name[name] -= 1
        if not self._by_name[name]:
            del self._by_name[name]

    async def events(
        self,
        status: RunStatus,
        document: Callable[[RunStatus], str],
        still_open: Callable[[], bool],
    ) -> AsyncIterator[bytes]:
        """The server-sent events of a run until it ends.

        ``progress`` and at last ``end`` carry the run as JSON; ``waiting`` says why it cannot be
        read just now.

        Args:
            status: The run as it was read first.
            document: A run as JSON.
            still_open: Whether the listener may still listen.
        """
        run = self._watched.setdefault(status.run_id, _Watched(status))
        run.listeners += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        until = time.monotonic() + _LONGEST_S
        try:
            yield f"retry: {_RETRY_MS}\n\n".encode()
            told = -1
            while still_open() and not self._stopping.is_set() and time.monotonic() < until:
                if run.version == told:
                    if not await self._news(run, told):
                        yield b": still here\n\n"
                    continue
                told = run.version
                if run.away is not None:
                    yield _event("waiting", told, json.dumps({"detail": run.away}))
                    continue
                kind = "end" if run.status.state.is_end else "progress"
                yield _event(kind, told, document(run.status))
                if kind == "end":
                    return
        finally:
            run.listeners -= 1
            if not run.listeners:
                self._watched.pop(status.run_id, None)

    async def _news(self, run: _Watched, told: int) -> bool:
        """Wait until there is something new; False: it was quiet for long, or all is to stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_KEEP_ALIVE_S), self._changed:
                await self._changed.wait_for(lambda: run.version != told or self._stopping.is_set())
                return True
        return False

    async def _look(self) -> None:
        while self._watched:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _LOOK_EVERY_S)
            if not self._stopping.is_set():
                await self._read()
            async with self._changed:
                self._changed.notify_all()
            if self._stopping.is_set():
                return

    async def _read(self) -> None:
        for run_id, run in list(self._watched.items()):
            away, status = None, run.status
            try:
                status = await self._queries.run(self._runtime.ledger.status, run_id)
            except QuantsyncError as error:
                away = error.message
            except Exception:
                # Its watchers are told; those of other runs go on being served.
                log.exception("run %s cannot be watched", run_id)
                away = "the run cannot be read: the server's log has the traceback"
            if _is_news(run, status, away):
                run.version += 1
                run.told_at = time.monotonic()
            run.status, run.away = status, away


def _is_news(run: _Watched, status: RunStatus, away: str | None) -> bool:
    if away != run.away:
        return True
    if away is None and _gist(status) != _gist(run.status):
        return True
    return time.monotonic() - run.told_at > _TELL_EVERY_S


def _gist(status: RunStatus) -> tuple[object, ...]:
    return (
        *(status.state, status.done, status.items, status.requests, status.bars_written),
        *(status.waves_committed, status.batches_leased, status.trouble, status.reason),
    )


def _event(kind: str, number: int, data: str) -> bytes:
    return f"event: {kind}\nid: {number}\ndata: {data}\n\n".encode()
