"""Figures know whether they reach their target; the pages say what is kept, section by section."""

import json
from pathlib import Path
from typing import Any

import pytest

from market.errors import UsageError
from pipeline.bench.figures import Figure, Section, Target
from pipeline.bench.pages import keep, number
from pipeline.bench.timing import Timed, in_turn, percentile
from tests.fixtures.cli import Installation

RUN: dict[str, Any] = {
    "at": "2026-01-05T08:00:00+00:00",
    "seed": 7,
    "quick": False,
    "machine": {
        "cpus": 2, "processor": "A processor", "memory_gib": 4.0, "system": "Linux",
        "load_before": 0.1,
    },
    "versions": {"python": "3.11.7", "quantsync": "0.1.0", "pyarrow": "26.0.1"},
}  # fmt: skip


def figure(value: float, target: Target | None) -> Figure:
    """Rows a second against twice as many."""
    return Figure("lake backfill", value, "rows/s", "one write_table", 1000.0, target)


@pytest.mark.parametrize(
    ("value", "target", "met"),
    [
        (400.0, Target(0.4, "at least"), True),
        (399.0, Target(0.4, "at least"), False),
        (1300.0, Target(1.3, "at most"), True),
        (1301.0, Target(1.3, "at most"), False),
        (160.0, Target(160, "at most", of="value"), True),
        (161.0, Target(160, "at most", of="value"), False),
        (1.0, None, None),
    ],
)
def test_a_target_binds_the_ratio_or_the_value(
    value: float, target: Target | None, *, met: bool | None
) -> None:
    """Reaching it exactly is enough."""
    assert figure(value, target).met is met
    assert figure(value, target).document()["ratio"] == value / 1000


def run(name: str, value: float, **data: Any) -> dict[str, Any]:
    """A run of one section."""
    section = Section("Storage", "Said how.", [figure(value, Target(0.4, "at least"))], data)
    section.missing.append("RabbitMQ: make services installs it")
    return {**RUN, "sections": {name: {**section.document(), "seconds": 12.0}}}


def test_a_run_replaces_its_own_sections_and_leaves_the_others(tmp_path: Path) -> None:
    """A page is written from all that is kept, in the order of the list."""
    keep(tmp_path, run("peers", 900))
    keep(tmp_path, run("storage", 300))
    keep(tmp_path, run("peers", 500))

    held = json.loads((tmp_path / "benchmarks.json").read_text())
    assert list(held) == ["storage", "peers"]
    assert [held[name]["figures"][0]["value"] for name in held] == [300, 500]
    page = (tmp_path / "benchmarks.md").read_text()
    assert "| lake backfill | 300 rows/s | one write_table | 1,000 rows/s | 0.3 |" in page
    assert "| at least 0.4 of the reference | **no** |" in page
    assert "| at least 0.4 of the reference | yes |" in page
    assert "- Not measured: RabbitMQ: make services installs it" in page
    assert "`quantsync bench storage --seed 7`" in page
    assert "2 CPUs (A processor), 4 GiB" in page
    assert "pyarrow 26.0.1" in page


def test_plots_are_drawn_of_what_a_section_has_data_for(tmp_path: Path) -> None:
    """And the page shows them."""
    growth = {
        "symbols": [10, 100], "curves": {"seconds": [1.0, 9.0], "MiB": [50.0, 60.0]},
        "exponents": {"seconds": 0.95, "MiB": 0.08},
    }  # fmt: skip
    keep(tmp_path, run("growth", 1, growth=growth))
    keep(tmp_path, run("pipeline", 1, cpu_by_stage={"fetch": 1.0, "SQL": 2.0}))

    page = (tmp_path / "benchmarks.md").read_text()
    for name in ("bench-growth-growth.png", "bench-pipeline-cpu-by-stage.png"):
        assert f"(images/{name})" in page
        assert (tmp_path / "images" / name).read_bytes().startswith(b"\x89PNG")


def test_a_file_that_no_benchmark_kept_is_left_alone(tmp_path: Path) -> None:
    """Its owner is told."""
    (tmp_path / "benchmarks.json").write_text("mine")
    with pytest.raises(UsageError, match="not what a benchmark kept"):
        keep(tmp_path, run("storage", 1))
    assert (tmp_path / "benchmarks.json").read_text() == "mine"


def test_work_is_done_in_turn_and_warmed_before() -> None:
    """So a machine that slows down slows all of it down."""
    done: list[str] = []
    timed = in_turn({"a": lambda: done.append("a"), "b": lambda: done.append("b")}, 2)
    assert done == ["a", "b"] * 3
    assert [len(each.wall) for each in timed.values()] == [2, 2]


def test_percentiles_and_medians() -> None:
    """Of what was measured, nothing interpolated."""
    samples = [float(each) for each in range(1, 101)]
    assert (percentile(samples, 0.5), percentile(samples, 0.99)) == (50, 99)
    assert percentile([3.0], 0.95) == 3
    assert Timed(wall=[3.0, 1.0, 2.0]).median_s == 2


@pytest.mark.parametrize(
    ("value", "said"), [(1234.5, "1,234"), (12.34, "12.3"), (1.234, "1.23"), (0.01234, "0.0123")]
)
def test_numbers_have_three_digits(value: float, said: str) -> None:
    """More would claim what was not measured."""
    assert number(value) == said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["bench", "nope"], "there is no benchmark 'nope': choose of queues"),
        (["bench", "--render"], "--render writes the pages of --keep FOLDER"),
        (["bench", "storage", "--keep", "nowhere"], "--keep nowhere is no folder"),
        (["bench", "--render", "--keep", "nowhere"], "--keep nowhere is no folder"),
        (["bench", "--render", "--keep", "."], ". keeps no results"),
    ],
)
def test_wrong_words_are_told_before_anything_is_measured(
    installation: Installation, words: list[str], says: str
) -> None:
    """One sentence, exit code 2."""
    said = installation.run(*words)
    assert said.code == 2
    assert says in said.stderr
