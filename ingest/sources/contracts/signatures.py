"""A function's signature as plain data: names in order, kinds and defaults."""

import inspect
from collections.abc import Callable
from typing import Any


def signature_facts(function: Callable[..., Any]) -> dict[str, str]:
    """Each parameter with its default, in order.

    Returns:
        ``{"symbol": "'000001'", "timeout": "None", "*more": "required"}``; a kind other than the
        usual, by position or keyword, stands before the default.
    """
    return {name: _text(p) for name, p in inspect.signature(function).parameters.items()}


def _text(parameter: inspect.Parameter) -> str:
    missing = parameter.default is inspect.Parameter.empty
    default = "required" if missing else repr(parameter.default)
    if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
        return default
    return f"{parameter.kind.description}, {default}"
