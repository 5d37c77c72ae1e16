"""Threads for work that waits: stores are read and written there, never on the event loop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from web.problems import BusyError

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Pool:
    """A bounded number of threads, with a bounded number of callers who wait for one.

    Args:
        name: Of its threads.
        threads: How many.
        waiting: How many callers may wait.
        patience_s: How long a caller waits: a database may keep a connection and say nothing.
    """

    def __init__(self, name: str, threads: int, waiting: int, patience_s: float) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = threads + waiting
        self._name = name
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self.entered = 0

    async def run(
        self, work: Callable[Given, Result], *arguments: Given.args, **named: Given.kwargs
    ) -> Result:
        """Do work in a thread, and wait for it.

        Raises:
            BusyError: Too many wait already; or it takes too long, and goes on without its caller.
            Exception: Whatever the work raises.
        """
        if self.entered >= self._most:
            raise BusyError(
                f"{self.entered} requests wait to {self._name} already: ask again in a moment"
            )
        future = self._executor.submit(work, *arguments, **named)
        with self._lock:
            self.entered += 1
        future.add_done_callback(lambda _: self._left())
        try:
            async with asyncio.timeout(self._patience_s):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            if future.done():
                raise  # its own
            raise BusyError(
                f"to {self._name} takes longer than {self._patience_s:g} s: a store does not "
                "answer; /readyz says which, ask again when it is up"
            ) from error

    def _left(self) -> None:
        with self._lock:
            self.entered -= 1

    def close(self) -> None:
        """Take no more work; what runs goes on to its end."""
        self._executor.shutdown(wait=False, cancel_futures=True)
