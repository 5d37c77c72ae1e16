"""The benchmarks of queues, chords, live tasks and start-up walk every step; no time is held."""

import re
import sys
from pathlib import Path

import pytest

from pipeline.bench import chords, live, queues, startup
from pipeline.bench.figures import Section
from pipeline.bench.sections import Bench
from pipeline.queues import ALL_QUEUES

SHARES = ("p50", "p95", "p99")
RABBITMQ = pytest.param("RabbitMQ", marks=[pytest.mark.services, pytest.mark.lengthy])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, 1, quick=True, say=lambda _: None)


def by_name(section: Section) -> dict[str, float]:
    """The figures' values, after what holds of each."""
    names = [each.name for each in section.figures]
    assert len(set(names)) == len(names)
    assert all(each.value > 0 and each.reference > 0 for each in section.figures)
    assert section.missing == []
    return {each.name: each.value for each in section.figures}


@pytest.mark.parametrize("broker", ["Redis", RABBITMQ])
def test_each_queue_is_timed_idle_and_beside_the_others(broker: str, bench: Bench) -> None:
    found = by_name(queues.measure(bench, only=(broker,)))

    assert set(found) == {
        f"{broker}, {queue}: {what}"
        for queue in ALL_QUEUES
        for what in (
            "enqueue",
            "end to end",
            *(f"start, {how}, {share}" for how in ("idle", "others full") for share in SHARES),
        )
    }


@pytest.mark.parametrize("broker", ["Redis", RABBITMQ])
def test_live_tasks_overtake_the_backfill_that_waits(broker: str, bench: Bench) -> None:
    """All of the backfill runs, its body too, but not before the live tasks."""
    section = live.measure(bench, only=(broker,))

    found = by_name(section)
    assert set(found) == {
        *(f"{broker}: live task, {share}" for share in SHARES),
        f"{broker}: the backfill's chord, from its first task to its body",
    }
    before, after = map(int, re.findall(r"\d+", section.figures[0].note))
    assert 200 < before <= 300
    assert 0 < after < before


def test_chords_are_held_against_bare_groups_on_both_pools(bench: Bench) -> None:
    found = by_name(chords.measure(bench))

    assert set(found) == {
        f"{pool}, chord of {size}, per task" for pool in ("threads", "prefork") for size in (5, 20)
    }


def test_a_start_is_timed_and_its_worker_weighed(bench: Bench) -> None:
    """The embedded stack really starts, and so does the bare one."""
    section = startup.measure(bench)

    found = by_name(section)
    assert {"command to first task", "import for `quantsync`"} <= set(found)
    assert len(found) == 6
    weighed = {each.name: each for each in section.figures}["memory of an idle quant worker, RSS"]
    assert weighed.value > weighed.reference, "ours imports more than a bare worker"


def test_the_tasks_of_this_process_keep_their_work() -> None:
    """Only the workers of a benchmark are without: here the real ones may still be called."""
    assert "pipeline.bench.no_ops" not in sys.modules
