"""Threads for work that waits: stores are read and written there, never on the event loop."""

import asyncio
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
    """

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = threads + waiting
        self._name = name
        self.entered = 0

    async def run(
        self, work: Callable[Given, Result], *arguments: Given.args, **named: Given.kwargs
    ) -> Result:
        """Do work in a thread, and wait for it.

        Raises:
            BusyError: Too many wait already.
            Exception: Whatever the work raises.
        """
        if self.entered >= self._most:
            raise BusyError(
                f"{self.entered} requests wait to {self._name} already: ask again in a moment"
            )
        self.entered += 1
        try:
            future = self._executor.submit(work, *arguments, **named)
            return await asyncio.wrap_future(future)
        finally:
            self.entered -= 1

    def close(self) -> None:
        """Take no more work; what runs goes on to its end."""
        self._executor.shutdown(wait=False, cancel_futures=True)
