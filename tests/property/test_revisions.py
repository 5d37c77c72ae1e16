"""What was known at any instant does not depend on the order in which fetches arrived."""

import random
import tempfile
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.bars import Dataset
from market.periods import Period
from storage.as_of import AsOf, replaced_bars
from storage.database import Database
from storage.lake import Lake
from storage.warehouse import Warehouse
from tests.fixtures.bars import FIRST_FETCH, bars_of, daily_bar

SESSIONS = [date(2024, 12, 30), date(2024, 12, 31), date(2025, 1, 2)]  # two partitions
FETCHES = 6
DAILY = (Dataset.KLINE, Period.DAILY)

Fetch = list[dict[str, Any]]


@st.composite
def histories(draw: st.DrawFn) -> list[Fetch]:
    """What fetches number 0 to 5 see: values that move on, provisional first, opens left out."""
    fetches: list[Fetch] = [[] for _ in range(FETCHES)]
    for session in SESSIONS:
        value, final_from = 0, draw(st.integers(0, FETCHES))
        for number in range(FETCHES):
            value += draw(st.integers(0, 1))
            if draw(st.booleans()):
                fetches[number].append(
                    daily_bar(
                        "600519.SH", session, close=10.0 + value, fetch=number,
                        open=draw(st.sampled_from([10.0, None])),
                        state="final" if number >= final_from else "provisional",
                    )
                )  # fmt: skip
    return fetches


class Stores:
    """Both stores, empty, in a folder of their own."""

    def __init__(self, root: Path) -> None:
        self.database = Database(f"sqlite:///{root / 'test.db'}")
        self.database.migrate()
        self.lake, self.warehouse = Lake(root / "lake"), Warehouse(self.database)

    def write(self, fetches: Sequence[Fetch]) -> None:
        """Write some fetches in one go, as the commit of a wave does."""
        bars = bars_of([row for fetch in fetches for row in fetch])
        self.lake.write(*DAILY, bars)
        self.warehouse.write_bars(*DAILY, bars)

    def held(self) -> list[dict[str, Any]]:
        """What both hold, which must be the same."""
        rows: list[dict[str, Any]] = self.lake.read(*DAILY).to_pylist()
        assert self.warehouse.read_bars(*DAILY).to_pylist() == rows
        return rows

    def replaced(self) -> pa.Table:
        """All bars that stood and do not stand any more."""
        return replaced_bars(self.lake, self.database, *DAILY)


def known(row: dict[str, Any], filled: dict[str, Any]) -> dict[str, Any]:
    """A bar as it was known, an open left out that was filled in later."""
    return {**row, "open": filled["open"] if row["open"] is None else row["open"]}


@pytest.mark.lengthy
@settings(max_examples=20)
@given(fetches=histories(), shuffle=st.randoms(use_true_random=False))
def test_any_order_and_repetition_tells_the_same_of_every_instant(
    fetches: list[Fetch], shuffle: random.Random
) -> None:
    """As of each fetch: the bars that a store which stopped there would hold, state included."""
    with tempfile.TemporaryDirectory() as folder:
        (in_order := Path(folder) / "in_order").mkdir()
        (shuffled := Path(folder) / "shuffled").mkdir()
        straight, mixed = Stores(in_order), Stores(shuffled)
        arrivals = fetches * 2
        shuffle.shuffle(arrivals)
        while arrivals:
            together = shuffle.randint(1, 3)
            mixed.write(arrivals[:together])
            del arrivals[:together]

        for number, fetch in enumerate(fetches):
            straight.write([fetch])
            now = FIRST_FETCH + timedelta(hours=number)
            for stores in (straight, mixed):
                then = AsOf(stores.lake, stores.database, now).read(*DAILY).to_pylist()
                expected = straight.held()
                assert len(then) == len(expected)
                assert then == [known(r, f) for r, f in zip(expected, then, strict=True)]

        assert mixed.held() == straight.held()
        assert mixed.replaced().to_pylist() == straight.replaced().to_pylist()
        for stores in (straight, mixed):
            stores.database.dispose()
