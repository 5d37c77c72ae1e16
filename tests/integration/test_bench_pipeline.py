"""The benchmark of the whole pipeline walks every step: counts are right, stores are full."""

import json
import math
from collections import Counter
from pathlib import Path

import pytest

from market.bars import Dataset
from market.periods import Period
from pipeline.bench import growth, pipeline
from pipeline.bench.figures import Section
from pipeline.bench.market_days import TICK_DAY
from pipeline.bench.plots import draw
from pipeline.bench.sections import Bench
from pipeline.bench.stages import REST, STAGES
from storage.database import Database
from storage.lake import Lake
from storage.warehouse import Warehouse
from tests.fixtures.undisturbed import comparable

SYMBOLS = 31


def bench_in(folder: Path) -> Bench:
    return Bench(folder, seed=20260105, quick=True, say=lambda _says: None)


def values(section: Section) -> dict[str, float]:
    return {figure.name: figure.value for figure in section.figures}


def test_a_market_and_a_tick_pass_through_the_real_stack_into_both_stores(tmp_path: Path) -> None:
    """Every symbol is asked for once, and what was served is held twice over."""
    section = pipeline.measure(bench_in(tmp_path))

    said = values(section)
    assert said["daily bars: requests"] == SYMBOLS + 1
    assert said["5-minute tick: requests"] == 1
    assert all(figure.reference > 0 for figure in section.figures)
    stages = section.data["cpu_by_stage"]
    assert set(stages) == {*STAGES, REST}
    assert all(stages[name] > 0 for name in STAGES)
    assert sum(stages.values()) == pytest.approx(said["workers: CPU"], abs=0.2)
    assert said["a worker: peak memory"] > 50

    home = tmp_path / "s" / "home"
    database = Database(f"sqlite:///{home / 'quantsync.db'}")
    lake, warehouse = Lake(home / "lake"), Warehouse(database)
    for period in (Period.DAILY, Period.M5):
        in_lake = comparable(lake.read(Dataset.KLINE, period))
        assert in_lake.equals(comparable(warehouse.read_bars(Dataset.KLINE, period)))
    daily, minutes = (lake.read(Dataset.KLINE, each) for each in (Period.DAILY, Period.M5))
    assert daily.num_rows == section.data["bars_written"]
    # The bodies name each bar once: the floor, which only counts lines, found as many.
    assert f"({daily.num_rows:,} bars" in section.says
    ends = Counter(f"{end:%H:%M}" for end in minutes["end_at"].to_pylist())
    assert set(minutes["session"].to_pylist()) == {TICK_DAY}
    assert set(ends) == {"09:35", "09:40"}
    assert ends["09:40"] == section.data["tick_bars_written"] > SYMBOLS * 3 / 4
    database.dispose()

    (image,) = draw("pipeline", section.data, tmp_path / "images").values()
    assert (tmp_path / "images" / image).stat().st_size > 5_000
    assert json.loads(json.dumps(section.document()))["data"] == section.data


def test_an_exponent_is_the_power_of_the_size() -> None:
    """Exactly where it is one; between the two where the samples are not on a line."""
    sizes = (500, 1_000, 2_000, 5_500)
    for power in (0.5, 1.0, 1.3):
        measured = [3 * size**power for size in sizes]
        assert growth.exponent(sizes, measured) == pytest.approx(power)
    bent = [size + 100 for size in sizes]
    assert 0.8 < growth.exponent(sizes, bent) < 1.0


@pytest.mark.lengthy
def test_growth_is_fitted_to_runs_of_several_sizes(tmp_path: Path) -> None:
    """Each size is a run of its own, with as many requests as symbols and pages."""
    section = growth.measure(bench_in(tmp_path))

    data = section.data["growth"]
    assert data["curves"]["requests"] == [size + 2 for size in growth.QUICK_SIZES]
    assert all(value > 0 for curve in data["curves"].values() for value in curve)
    small, large = (math.log(size) for size in growth.QUICK_SIZES)
    rise = math.log(data["curves"]["MiB"][1] / data["curves"]["MiB"][0])
    assert data["exponents"]["MiB"] == pytest.approx(rise / (large - small), abs=0.01)
    (image,) = draw("growth", section.data, tmp_path / "images").values()
    assert (tmp_path / "images" / image).stat().st_size > 5_000
