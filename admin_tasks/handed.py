"""What tasks of this package work with: handed over by the pipeline, which reads the settings."""

from collections.abc import Callable
from typing import Any, TypeVar

from market.errors import ConfigurationError

T = TypeVar("T")

_makers: dict[str, Callable[[], Any]] = {}


def hand_over(kind: str, make: Callable[[], object]) -> None:
    """Let tasks of this process have an object of a kind; made anew whenever one asks.

    Args:
        kind: The class by its whole name, ``admin_tasks.backup.Backups``: naming it imports
            nothing, so that a process which never needs it starts no later.
        make: Makes the object.
    """
    _makers[kind] = make


def handed(kind: type[T]) -> T:
    """An object of a kind.

    Raises:
        ConfigurationError: None was handed over in this process.
    """
    make = _makers.get(f"{kind.__module__}.{kind.__qualname__}")
    if make is None:
        raise ConfigurationError(
            f"no {kind.__name__} was handed to this process: start workers with -A pipeline.app"
        )
    made: T = make()
    return made
