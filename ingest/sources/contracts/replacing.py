"""Putting something else in an attribute's place for a while."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def replaced(owner: object, name: str, value: object) -> Iterator[None]:
    """An attribute is something else inside; one that is missing stays missing."""
    missing = object()
    before = getattr(owner, name, missing)
    if before is missing:
        yield
        return
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
