"""The settings of the fail-over: who is asked, in which order, within which budget."""

import pytest

from ingest.rates import RateWindow
from market.errors import ConfigurationError
from market.periods import Period
from pipeline.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAILOVER_DAILY", "FAILOVER_MINUTE"):
        monkeypatch.delenv(name)


def test_daily_bars_come_from_sina_then_tencent_and_minutes_from_sina_by_default() -> None:
    settings = Settings()
    assert settings.failover(Period.DAILY) == ("sina", "tencent")
    assert settings.failover(Period.M5) == settings.failover(Period.M1) == ("sina",)


def test_the_order_is_as_written_and_none_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILOVER_DAILY", "Tencent, sina")
    monkeypatch.setenv("FAILOVER_MINUTE", "none")
    settings = Settings()
    assert settings.failover(Period.DAILY) == ("tencent", "sina")
    assert settings.failover(Period.M1) == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FAILOVER_MINUTE", "tencent"),
        ("FAILOVER_DAILY", "sina,sina"),
        ("FAILOVER_DAILY", "yahoo"),
        ("BUDGET_SINA", "fast"),
    ],
)
def test_a_source_that_has_no_such_bars_is_refused_with_the_name_of_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setattr("pipeline.settings._current", None)
    with pytest.raises(ConfigurationError, match=name):
        read_settings()


def test_each_upstream_has_a_budget_of_its_own_and_a_simulator_one_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BUDGET_TENCENT", "3/2s")
    settings = Settings()
    assert settings.windows_of("tencent", "live") == (RateWindow(3, 2.0),)
    assert settings.windows_of("sina", "live") != settings.windows_of("eastmoney", "live")
    assert settings.windows_of("sina", "simulator") == settings.windows_for("simulator")
