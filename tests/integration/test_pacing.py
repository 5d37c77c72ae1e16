"""The budget on a real Redis: exact under threads and processes, two lanes, honest when down."""

import multiprocessing
import threading
import time
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ingest.pacing import Lane, RedisBudget
from ingest.rates import RateWindow, parse_windows, sustained_rate
from ingest.source import BudgetUnavailableError
from market.errors import ConfigurationError
from pipeline.bench.redis_server import RedisServer, run_redis

pytestmark = pytest.mark.timed

WINDOWS = (RateWindow(20, 1.0), RateWindow(50, 4.0))


def _spend(
    url: str, lane: Lane, seconds: float, threads: int, sink: "multiprocessing.Queue[list[float]]"
) -> None:
    budget = RedisBudget(redis.Redis.from_url(url), domain="t", egress="e", windows=WINDOWS)
    end, granted = time.monotonic() + seconds, []

    def spend() -> None:
        while time.monotonic() < end:
            try:
                budget.acquire(lane, end)
            except BudgetUnavailableError:
                return
            granted.append(time.time())

    workers = [threading.Thread(target=spend) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sink.put(granted)


def _busiest(instants: list[float], seconds: float) -> int:
    """The most instants that any window of this length holds."""
    first, most = 0, 0
    for last, instant in enumerate(instants):
        while instants[first] <= instant - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_processes_and_threads_together_never_exceed_any_window_and_waste_almost_nothing(
    redis_server: RedisServer,
) -> None:
    """Four processes of eight threads: every window holds, and the tightest is used up."""
    sink: multiprocessing.Queue[list[float]] = multiprocessing.Queue()
    seconds = 8.0
    workers = [
        multiprocessing.Process(
            target=_spend, args=(redis_server.url(), Lane.BULK, seconds, 8, sink)
        )
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    instants = sorted(instant for _ in workers for instant in sink.get(timeout=60))
    for worker in workers:
        worker.join()

    for window in WINDOWS:
        assert _busiest(instants, window.seconds) <= window.count
    assert len(instants) >= 0.9 * seconds * sustained_rate(WINDOWS)


def test_the_live_lane_goes_first_and_the_bulk_lane_keeps_its_share(
    redis_server: RedisServer,
) -> None:
    """With both lanes waiting, the live lane gets most permits and the bulk lane some."""
    sinks: dict[Lane, multiprocessing.Queue[list[float]]] = {
        lane: multiprocessing.Queue() for lane in (Lane.LIVE, Lane.BULK)
    }
    workers = [
        multiprocessing.Process(target=_spend, args=(redis_server.url(), lane, 6.0, 8, sinks[lane]))
        for lane in sinks
    ]
    for worker in workers:
        worker.start()
    granted = {lane: len(sink.get(timeout=60)) for lane, sink in sinks.items()}
    for worker in workers:
        worker.join()

    assert granted[Lane.LIVE] > 1.5 * granted[Lane.BULK]
    assert granted[Lane.BULK] >= 0.1 * granted[Lane.LIVE]


def test_a_sweep_goes_before_all_that_waits_in_the_live_lane(redis_server: RedisServer) -> None:
    """However late it comes."""
    with redis_server.client() as client:
        budget = RedisBudget(client, domain="t", egress="e", windows=(RateWindow(1, 0.4),))
        end, served = time.monotonic() + 30, []
        budget.acquire(Lane.LIVE, end)

        def wait(lane: Lane) -> None:
            budget.acquire(lane, end)
            served.append(lane)

        waiting = [threading.Thread(target=wait, args=(lane,)) for lane in (Lane.LIVE, Lane.SWEEP)]
        for count, thread in enumerate(waiting, 1):
            thread.start()
            while sum(budget.report().waiting.values()) < count:
                time.sleep(0.01)
        for thread in waiting:
            thread.join()
        left = budget.report().waiting

    assert served == [Lane.SWEEP, Lane.LIVE]
    assert not any(left.values())


def test_a_wait_that_passes_the_deadline_is_refused_at_once(redis_server: RedisServer) -> None:
    """Nobody sleeps for a permit that comes too late."""
    with redis_server.client() as client:
        budget = RedisBudget(client, domain="t", egress="e", windows=(RateWindow(1, 60),))
        budget.acquire(Lane.LIVE, time.monotonic() + 1)
        began = time.monotonic()

        with pytest.raises(BudgetUnavailableError, match="no permit before the deadline"):
            budget.acquire(Lane.LIVE, time.monotonic() + 1)

    assert time.monotonic() - began < 1


def test_a_refused_caller_leaves_the_queue(redis_server: RedisServer) -> None:
    """One that gave up does not stand in the way of the next."""
    with redis_server.client() as client:
        budget = RedisBudget(client, domain="t", egress="e", windows=(RateWindow(1, 1.0),))
        budget.acquire(Lane.LIVE, time.monotonic() + 1)
        with pytest.raises(BudgetUnavailableError):
            budget.acquire(Lane.LIVE, time.monotonic() + 0.1)

        assert budget.acquire(Lane.LIVE, time.monotonic() + 3).waited_s < 2


def test_a_request_that_leaves_late_counts_from_when_it_left(redis_server: RedisServer) -> None:
    """A thread that wakes late does not bring its request closer to the next one."""
    with redis_server.client() as client:
        budget = RedisBudget(client, domain="t", egress="e", windows=(RateWindow(1, 1.0),))
        permit = budget.acquire(Lane.LIVE, time.monotonic() + 5)
        time.sleep(0.6)
        permit.left()
        left = time.monotonic()
        budget.acquire(Lane.LIVE, time.monotonic() + 5)

    assert time.monotonic() - left >= 1.0


def test_two_egress_addresses_have_budgets_of_their_own(redis_server: RedisServer) -> None:
    """A ban is per address, so is the budget."""
    with redis_server.client() as client:
        for egress in ("a", "b"):
            budget = RedisBudget(client, domain="t", egress=egress, windows=(RateWindow(1, 60),))
            assert budget.acquire(Lane.BULK, time.monotonic() + 0.5).waited_s < 0.5
            assert budget.used() == {"1/60s": 1}


def test_without_redis_nothing_is_sent(tmp_path: Path) -> None:
    """A budget that cannot be kept is an error that says so, never a free pass."""
    with (
        run_redis(tmp_path) as server,
        redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as client,
    ):
        budget = RedisBudget(client, domain="t", egress="e", windows=(RateWindow(1, 60),))
        server.process.terminate()
        server.process.wait(timeout=10)

        with pytest.raises(BudgetUnavailableError, match="Redis is away"):
            budget.acquire(Lane.BULK, time.monotonic() + 1)


@pytest.mark.parametrize("text", ["", "1", "1/0s", "0/1s", "fast", "1/1s;2/2s"])
def test_an_unreadable_budget_is_refused_with_an_example(text: str) -> None:
    """The message shows how to write one."""
    with pytest.raises(ConfigurationError, match="1/1s,180/300s"):
        parse_windows(text)


def test_several_windows_hold_at_once() -> None:
    """The long-run rate is the tightest window's."""
    assert sustained_rate(parse_windows("1/1s,180/300s")) == pytest.approx(0.6)
