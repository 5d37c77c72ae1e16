"""How long a run still takes is told by how fast it went lately."""

from dataclasses import replace

import pytest

from pipeline.progress import Meter
from storage.run_records import RunState, RunStatus

RUN = RunStatus(
    run_id="r", kind="stocks", period="daily", slot=None, upstream="live", lane="bulk", params={},
    notices=[], state=RunState.RUNNING, reason=None, created_at=0.0, finished_at=None,
    elapsed_s=0.0, waves=1, waves_committed=0, batches=1, batches_leased=1, items=1000, done=0,
    requests=0, bars_written=0, outcomes={}, deadline_at=86_400.0,
)  # fmt: skip


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.at


def test_a_run_that_stood_still_for_hours_is_measured_by_what_it_does_now() -> None:
    """Its average since it began would say days."""
    clock = Clock()
    meter = Meter(clock)
    left: float | None = None
    for second in range(60):
        clock.at = float(second)
        run = replace(RUN, done=100 + 2 * second, elapsed_s=36_000.0 + second)
        left = meter.left_s(run)
    assert left == pytest.approx((1000 - 218) / 2, rel=0.01)


def test_at_first_the_whole_run_counts_and_with_nothing_fetched_nothing_is_said() -> None:
    meter = Meter(Clock())
    assert meter.left_s(RUN) is None
    assert meter.left_s(replace(RUN, run_id="s", done=250, elapsed_s=50.0)) == pytest.approx(150.0)


def test_a_run_of_which_nothing_was_fetched_lately_says_nothing() -> None:
    """The two minutes that count are over, and whatever it did before says nothing of the rest."""
    clock = Clock()
    meter = Meter(clock)
    told = []
    for second in range(0, 400, 10):
        clock.at = float(second)
        told.append(meter.left_s(replace(RUN, done=min(500, second * 10), elapsed_s=float(second))))
    assert told[4] == pytest.approx(60.0)
    assert told[-1] is None


def test_a_batch_that_is_handed_out_again_begins_the_measure_anew_and_an_end_forgets_it() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.left_s(replace(RUN, done=500, elapsed_s=10.0))
    clock.at = 20.0
    assert meter.left_s(replace(RUN, done=300, elapsed_s=30.0)) == pytest.approx(70.0)
    assert meter.left_s(replace(RUN, done=1000, state=RunState.COMMITTED)) is None
