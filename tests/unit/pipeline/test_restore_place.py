"""Where a backup may be restored to."""

from pathlib import Path

import pytest

from market.errors import UsageError
from pipeline.cli_backup import _check_place
from pipeline.settings import Settings


def test_no_database_is_put_into_the_lake_staging_or_backups(tmp_path: Path) -> None:
    """Nor by another way to the same folder."""
    settings = Settings(quantsync_home=tmp_path / "home", backup_dir=tmp_path / "elsewhere")
    (tmp_path / "home" / "lake").mkdir(parents=True)
    (tmp_path / "way").symlink_to(tmp_path / "home" / "lake")
    for folder in ("home/lake/kline/period=daily", "home/staging", "elsewhere", "way"):
        with pytest.raises(UsageError, match="is no place for a database"):
            _check_place(settings, tmp_path / folder / "x.db")

    for folder in ("home", "home/backups", "home/lake.old"):
        _check_place(settings, tmp_path / folder / "x.db")
