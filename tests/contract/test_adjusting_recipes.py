"""The recipes of docs/adjustments.md give what the product gives."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from market.adjustments import ExRight
from market.bars import Dataset
from market.periods import Period
from market.sessions import Window, exchange_calendar
from storage.database import Database
from storage.ex_right import ExRights
from storage.lake import Lake
from storage.queries import klines
from tests.fixtures.bars import bars_of, daily_bar

PAGE = Path(__file__).parents[2] / "docs" / "adjustments.md"
SESSIONS = exchange_calendar().sessions_in(Window(date(2023, 12, 25), date(2024, 1, 10)))
NAME = "600519.SH"


def recipe(first_line: str) -> dict[str, Any]:
    """The names that a recipe leaves behind."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"(?sm)^```python\n(.*?)^```", text)
    (block,) = [each for each in blocks if each.startswith(first_line)]
    names: dict[str, Any] = {}
    exec(block, names)
    return names


@pytest.mark.parametrize("with_events", [True, False])
def test_the_pages_python_and_pandas_recipes_equal_adjustment_on_read(
    tmp_path: Path, *, with_events: bool
) -> None:
    """Over two partitions, with another symbol beside it, with and without ex-rights."""
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    database.migrate()
    lake = Lake(tmp_path / "lake")
    rows = [
        daily_bar(name, day, close=20.0 + i)
        for name in (NAME, "601012.SH")
        for i, day in enumerate(SESSIONS)
    ]
    lake.write(Dataset.KLINE, Period.DAILY, bars_of(rows))
    events = [
        ExRight(NAME, SESSIONS[3], 22.0, cash=1.0),
        ExRight(NAME, SESSIONS[7], 26.0, bonus=1.0),
    ]
    other = ExRight("601012.SH", SESSIONS[7], 26.0, cash=6.0)
    found = [*events, other] if with_events else [other]
    ExRights(database, lake.root).record(found, source="test", run_id="run")
    database.dispose()

    ours = recipe("from pathlib")["frame"]
    plain = recipe("import pandas")["bars"]

    raw = klines(lake, NAME, Period.DAILY)["close"].to_pylist()
    assert (ours["close"].to_list() == raw) is not with_events
    for column in ("open", "high", "low", "close", "volume"):
        assert plain[column].to_list() == pytest.approx(ours[column].to_list(), rel=1e-12)
