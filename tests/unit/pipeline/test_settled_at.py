"""SETTLED_AT: when the closing bars of a day become final is a setting."""

from datetime import time

import pytest

from market.errors import ConfigurationError
from pipeline import settings


@pytest.fixture(autouse=True)
def _nothing_read_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_current", None)


def test_the_settling_time_is_five_past_three_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shanghai time of day, as the exchange's clock shows it."""
    assert settings.Settings().settled_at == time(15, 5)
    monkeypatch.setenv("SETTLED_AT", "15:20")
    assert settings.read_settings().settled_at == time(15, 20)


@pytest.mark.parametrize("text", ["14:59", "15:05+08:00", "soon"])
def test_a_settling_time_that_cannot_be_meant_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the close no bar of the close can be final; the zone is always Shanghai's."""
    monkeypatch.setenv("SETTLED_AT", text)
    with pytest.raises(ConfigurationError, match=r"SETTLED_AT='.*': "):
        settings.read_settings()
