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
