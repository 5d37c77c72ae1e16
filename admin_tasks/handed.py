"""What tasks of this package work with: handed over by the pipeline, which reads the settings."""

from collections.abc import Callable
from typing import Any, TypeVar

from market.errors import ConfigurationError

T = TypeVar("T")

_makers: dict[type[Any], Callable[[], Any]] = {}


def hand_over(kind: type[T], make: Callable[[], T]) -> None:
    """Let tasks of this process have an object of a kind; made anew whenever one asks."""
    _makers[kind] = make


def handed(kind: type[T]) -> T:
    """An object of a kind.

    Raises:
        ConfigurationError: None was handed over in this process.
    """
    try:
        made: T = _makers[kind]()
    except KeyError:
        raise ConfigurationError(
            f"no {kind.__name__} was handed to this process: start workers with -A pipeline.app"
        ) from None
    return made
