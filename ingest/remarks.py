"""What a source wants said of a fetch that succeeded all the same, such as a fail-over.

A fetch has its tables and its errors; a remark is neither. Whoever fetches gathers the remarks of
its own thread and writes them where people read: beside the outcome.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_gathered: ContextVar[list[str] | None] = ContextVar("quantsync_remarks", default=None)


@contextmanager
def remarks_gathered() -> Iterator[list[str]]:
    """The remarks made inside, each once, in their order."""
    said: list[str] = []
    token = _gathered.set(said)
    try:
        yield said
    finally:
        _gathered.reset(token)


def remark(text: str) -> None:
    """Say something of the fetch under way; nobody may be listening."""
    said = _gathered.get()
    if said is not None and text not in said:
        said.append(text)
