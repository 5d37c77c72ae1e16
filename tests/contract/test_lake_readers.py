"""Readers of a lake while commits replace its files: they see one version or the other, whole."""

import threading
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa

from market.bars import Dataset
from market.periods import Period
from market.sessions import Window, exchange_calendar
from storage.lake import Lake
from tests.fixtures.bars import bars_of, daily_bar

NAMES = [f"60{number:04}.SH" for number in range(60)]
YEAR = exchange_calendar().sessions_in(Window(date(2024, 1, 2), date(2024, 12, 31)))
_WRITES = 80


def test_a_file_that_is_replaced_while_it_is_read_never_looks_corrupt(tmp_path: Path) -> None:
    """A file opened by its name for each part of it would be two files in one."""
    lake = Lake(tmp_path)
    versions = [_version(10.0, 1), _version(20.0, 37)]  # that compress differently
    lake.write(Dataset.KLINE, Period.DAILY, versions[0])
    done, failures, closes = threading.Event(), [], set()

    def read() -> None:
        while not done.is_set():
            try:
                bars = lake.read(Dataset.KLINE, Period.DAILY, names=[NAMES[1]], columns=("close",))
            except Exception as error:  # noqa: BLE001  (whatever it is, it is a failure)
                failures.append(error)
                return
            closes.add(tuple(bars["close"].to_pylist()))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1, _WRITES + 1):
        bars = versions[number % 2]
        now = pa.array([datetime.now(UTC)] * bars.num_rows, pa.timestamp("us", tz="UTC"))
        place = bars.schema.get_field_index("fetched_at")
        lake.write(
            Dataset.KLINE, Period.DAILY, bars.set_column(place, bars.schema.field(place), now)
        )
    done.set()
    for reader in readers:
        reader.join()

    assert failures == []
    wanted = {
        tuple(row["close"] for row in each.to_pylist() if row["symbol"] == NAMES[1])
        for each in versions
    }
    assert closes == wanted


def _version(base: float, step: int) -> pa.Table:
    return bars_of(
        [
            daily_bar(name, day, close=base + (at * number * step % 97) / 100)
            for number, name in enumerate(NAMES)
            for at, day in enumerate(YEAR)
        ]
    )
