"""Work on files side by side: Parquet, hashes and the disk leave Python's lock to others."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event
from typing import TypeVar

_THREADS = 2  # a commit shares its machine with those who fetch

T = TypeVar("T")
U = TypeVar("U")

Alive = Callable[[], None]
"""Called to show that work goes on; what it raises ends the work."""


def side_by_side(works: Sequence[Callable[[Alive], T]], alive: Alive) -> list[T]:
    """Do pieces of work on a few threads, and wait for all.

    Args:
        works: Each is given what it is to call while it waits for somebody.
        alive: Called in this thread, after each piece and whenever one calls what it was given. So
            it stays silent where all of them hang.

    Returns:
        What each gave, in their order.

    Raises:
        Exception: What the first that failed raised, or ``alive``; pieces that had begun are ended
            first, the others not begun.
    """
    if len(works) == 1:
        done = [works[0](alive)]
        alive()
        return done
    signs: SimpleQueue[Future[T] | None] = SimpleQueue()
    stopped = Event()

    def sign() -> None:
        if stopped.is_set():
            raise _StoppedError
        signs.put(None)

    with ThreadPoolExecutor(_THREADS, "side-by-side") as pool:
        futures = [pool.submit(work, sign) for work in works]
        for future in futures:
            future.add_done_callback(signs.put)
        try:
            left = len(futures)
            while left:
                ended = signs.get()
                if ended is not None:
                    ended.result()
                    left -= 1
                alive()
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]


def each(work: Callable[[T], U], of: Iterable[T]) -> list[U]:
    """What a piece of work gives for each of some things, in their order.

    Raises:
        Exception: What the first that failed raised.
    """
    things = list(of)
    if len(things) <= 1:
        return [work(thing) for thing in things]
    with ThreadPoolExecutor(_THREADS, "side-by-side") as pool:
        return list(pool.map(work, things))


class _StoppedError(Exception):
    """Another piece of work has failed."""
