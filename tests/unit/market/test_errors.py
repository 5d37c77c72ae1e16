"""Errors survive the two ways they travel: pickled between processes, as JSON through Celery."""

import pickle
from collections.abc import Callable
from datetime import date

import pytest
from celery import Celery

from market.boards import InvalidBoardError
from market.errors import ConfigurationError, InvalidSymbolError, QuantsyncError, UsageError
from market.symbols import parse_symbol


def pickled(error: QuantsyncError) -> object:
    return pickle.loads(pickle.dumps(error))


def through_celery(error: QuantsyncError) -> object:
    backend = Celery(backend="cache+memory://", set_as_current=False).backend
    stored = backend.encode(backend.prepare_exception(error))
    return backend.exception_to_python(backend.decode(stored))


@pytest.mark.parametrize("travel", [pickled, through_celery])
@pytest.mark.parametrize(
    "kind", [QuantsyncError, UsageError, ConfigurationError, InvalidSymbolError, InvalidBoardError]
)
@pytest.mark.parametrize(
    "context",
    [
        None,
        {"symbol": "600519.SH", "attempt": 3, "delay": 0.5, "live": True, "board": None},
        {"symbols": ["600519.SH"], "outcomes": {"ok": 1}, "window": ("2026-01-05", "2026-01-06")},
        {"symbol": parse_symbol("600519"), "session": date(2026, 1, 5), "seen": {1}},
    ],
)
def test_class_message_and_context_survive_the_journey(
    travel: Callable[[QuantsyncError], object],
    kind: type[QuantsyncError],
    context: dict[str, object] | None,
) -> None:
    error = kind("股票 600519 is wrong", context)
    arrived = travel(error)
    assert type(arrived) is kind
    assert isinstance(arrived, QuantsyncError)
    assert arrived.message == str(arrived) == "股票 600519 is wrong"
    assert arrived.context == error.context


def test_a_value_that_json_does_not_know_is_kept_as_its_text() -> None:
    error = QuantsyncError("wrong", {"symbol": parse_symbol("600519"), "on": date(2026, 1, 5)})
    assert error.context == {"symbol": "600519.SH", "on": "2026-01-05"}


def test_the_context_is_nobody_elses_to_change() -> None:
    given: dict[str, object] = {"symbol": "600519.SH"}
    error = QuantsyncError("wrong", given)
    given["symbol"] = "changed"
    error.context["symbol"] = "changed"
    assert error.context == {"symbol": "600519.SH"}
