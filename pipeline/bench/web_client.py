"""Readers of the web application: many connections, each asking again and again."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle

from market.errors import QuantsyncError

_LARGEST_HEAD = 1 << 16


class UnexpectedAnswerError(QuantsyncError):
    """The web application answered what a reader did not ask for."""


@dataclass(slots=True)
class Reading:
    """What readers saw.

    Attributes:
        seconds: From asking to the last byte, of every answer.
        statuses: How often each status came.
        bytes: All bodies together.
        took_s: From the first request to the last answer.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    bytes: int = 0
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Readers:
    """Who reads.

    Attributes:
        address: ``127.0.0.1:8000``.
        key: Their key's text.
        paths: What they ask for, each reader beginning elsewhere.
        readers: How many, each with a connection that is kept.
        pause_s: How long one waits between an answer and its next request, on average.
    """

    address: str
    key: str
    paths: list[str]
    readers: int = 1
    pause_s: float = 0.0

    def read(self, *, seconds: float = 0.0, requests: int = 0, seed: int = 0) -> Reading:
        """Read for some seconds, or so many requests in all.

        Raises:
            UnexpectedAnswerError: An answer is neither 200 nor 304.
        """
        seen = Reading()
        left = [requests or 1 << 60]
        until = time.monotonic() + (seconds or 1e9)

        def goes_on() -> bool:
            left[0] -= 1
            return left[0] >= 0 and time.monotonic() < until

        began = time.perf_counter()
        asyncio.run(self._all(seen, goes_on, seed))
        seen.took_s = time.perf_counter() - began
        wrong = {status for status in seen.statuses if status not in (200, 304)}
        if wrong:
            raise UnexpectedAnswerError(f"the web application answered {wrong}: see its log")
        return seen

    async def _all(self, seen: Reading, goes_on: Callable[[], bool], seed: int) -> None:
        begins = [at * len(self.paths) // self.readers for at in range(self.readers)]
        turns = [cycle(self.paths[at:] + self.paths[:at]) for at in begins]
        draws = [random.Random(seed + at) for at in range(self.readers)]  # noqa: S311
        each = zip(turns, draws, strict=True)
        await asyncio.gather(*(self._one(seen, goes_on, *mine) for mine in each))

    async def _one(
        self, seen: Reading, goes_on: Callable[[], bool], paths: Iterator[str], draw: random.Random
    ) -> None:
        host, _, port = self.address.rpartition(":")
        stream, sink = await asyncio.open_connection(host, int(port), limit=_LARGEST_HEAD)
        try:
            await asyncio.sleep(draw.random() * self.pause_s)
            while goes_on():
                began = time.perf_counter()
                sink.write(self._request(next(paths)))
                status, body = await _answer(stream)
                seen.seconds.append(time.perf_counter() - began)
                seen.statuses[status] = seen.statuses.get(status, 0) + 1
                seen.bytes += body
                if self.pause_s:
                    await asyncio.sleep(self.pause_s * draw.uniform(0.5, 1.5))
        finally:
            sink.close()

    def _request(self, path: str) -> bytes:
        head = f"GET {path} HTTP/1.1\r\nHost: {self.address}\r\nAuthorization: Bearer {self.key}"
        return f"{head}\r\n\r\n".encode()


async def _answer(stream: asyncio.StreamReader) -> tuple[int, int]:
    """Status and length of one answer, which is read to its end."""
    head = await stream.readuntil(b"\r\n\r\n")
    status, length = int(head[9:12]), 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line[15:])
    if length:
        await stream.readexactly(length)
    return status, length
