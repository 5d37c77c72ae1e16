"""WATCH_LIST: read once for all, and refused at start where a symbol in it cannot be meant."""

import re

import pytest

from market.errors import ConfigurationError
from pipeline import settings


@pytest.fixture(autouse=True)
def _nothing_read_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_current", None)


@pytest.mark.parametrize(
    ("text", "watched"),
    [
        ("", ()),
        ("sh600519, 000001", ("600519.SH", "000001.SZ")),
        ("600519 000001.SZ,1.600519", ("600519.SH", "000001.SZ")),
    ],
)
def test_symbols_are_watched_in_any_spelling_each_once_and_nobody_if_unset(
    text: str, watched: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCH_LIST", text)
    assert settings.read_settings().watched == watched


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("banana", "'banana' is not a symbol"),
        ("600519,60051", "'60051' is not a symbol"),
        ("600519,510300", "510300.SH is a fund, not an A share"),
        ("600519,,000001", "an entry is empty"),
        ("600519,", "an entry is empty"),
        (" ", "an entry is empty"),
    ],
)
def test_what_is_no_a_share_is_refused_by_name_with_an_example(
    text: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCH_LIST", text)
    said = rf"WATCH_LIST={re.escape(repr(text))}: {re.escape(fault)}.*600519,000001"
    with pytest.raises(ConfigurationError, match=said):
        settings.read_settings()
