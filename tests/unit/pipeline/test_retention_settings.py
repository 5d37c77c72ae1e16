"""Settings of backups and of the clean-up."""

import pytest

from market.errors import ConfigurationError
from pipeline.settings import _from_environment


def test_minute_bars_stay_in_sql_as_long_as_what_is_fetched_is_compared_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for days in ("0", "90", "400"):
        monkeypatch.setenv("SQL_MINUTE_RETENTION", days)
        assert _from_environment().sql_minute_retention == int(days)
    monkeypatch.setenv("SQL_MINUTE_RETENTION", "60")
    with pytest.raises(ConfigurationError, match="SQL_MINUTE_RETENTION='60': give 0 or 90"):
        _from_environment()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REVISION_RETENTION_DAYS", "inf"),
        ("REVISION_RETENTION_DAYS", "9999999999"),
        ("LEDGER_RETENTION_DAYS", "inf"),
        ("LEDGER_RETENTION_DAYS", "nan"),
        ("LOG_RETENTION_DAYS", "36501"),
        ("SQL_MINUTE_RETENTION", "36501"),
        ("EMAIL_RETRY_S", "inf"),
        ("RECONCILE_EVERY_S", "inf"),
        ("RECONCILE_EVERY_S", "1e18"),
        ("RUN_DEADLINE_S", "inf"),
        *((f"BACKUP_KEEP_{span}", "9" * 20) for span in ("DAILY", "WEEKLY", "MONTHLY")),
    ],
)
def test_no_number_is_taken_that_no_calendar_or_clock_can_hold(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=f"{name}='{value}': Input should be"):
        _from_environment()
