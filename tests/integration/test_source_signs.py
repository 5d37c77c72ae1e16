"""What a source finds in a whole answer reaches the budget, and what the budget says the source."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ingest import wire
from ingest.pacing import Lane, Permit, RedisBudget, UnlimitedBudget
from ingest.rates import RateWindow
from ingest.simulator.server import SimulatorServer
from ingest.source import Source, ThrottledError
from ingest.sources.eastmoney import EastmoneySource
from ingest.sources.eastmoney_direct import DirectEastmoney
from ingest.sources.failover import AwayError, FailoverSource
from ingest.sources.preferred import Preferred
from ingest.throttling import Answer, BanPolicy
from market.boards import BoardKind
from market.clock import FixedClock, parse_instant
from market.periods import Period
from market.sessions import Window
from market.symbols import parse_stock
from pipeline.bench.redis_server import RedisServer
from pipeline.retrying import retried

MOUTAI = parse_stock("600519")
CLOCK = FixedClock(parse_instant("2025-12-31T16:00:00+08:00"))
WEEK = Window(CLOCK.now().date(), CLOCK.now().date())


class ListeningBudget(UnlimitedBudget):
    """Grants everything, and notes what it is told."""

    def __init__(self) -> None:
        self.heard: list[Answer] = []

    def acquire(
        self,
        lane: Lane,
        deadline: float,
        alive: Callable[[], None] = lambda: None,
        *,
        ban_deadline: float = math.inf,
    ) -> Permit:
        """Grant."""
        del lane, deadline, alive, ban_deadline

        def answered(answer: Answer, cause: str, question: str) -> bool:
            del cause, question
            self.heard.append(answer)
            return False

        return Permit(0.0, None, answered)


@contextmanager
def on_the_wire(url: str, budget: UnlimitedBudget | RedisBudget) -> Iterator[None]:
    """A wire to a server."""
    wire.install(wire.UpstreamAdapter(connect_timeout_s=2, read_timeout_s=2))
    upstreams = {"eastmoney": wire.Upstream(budget, url)}
    try:
        with wire.observed(upstreams, lane=Lane.LIVE, deadline=time.monotonic() + 60):
            yield
    finally:
        wire.uninstall()


@pytest.mark.parametrize(
    ("make", "call"),
    [
        (DirectEastmoney, lambda source: source.fetch_klines(MOUTAI, Period.DAILY, WEEK)),
        (DirectEastmoney, lambda source: source.fetch_klines(MOUTAI, Period.M1, WEEK)),
        (DirectEastmoney, lambda source: source.fetch_quotes()),
        (DirectEastmoney, lambda source: source.fetch_board_list(BoardKind.CONCEPT)),
        (EastmoneySource, lambda source: source.fetch_klines(MOUTAI, Period.DAILY, WEEK)),
    ],
    ids=["daily", "1m", "quotes", "boards", "daily by AKShare"],
)
def test_success_that_carries_nothing_is_a_throttling_sign(
    make: Callable[[FixedClock], Source],
    call: Callable[[Source], object],
    simulator: SimulatorServer,
) -> None:
    """Whoever reads the answer: the budget is told, once."""
    budget = ListeningBudget()
    simulator.faults.add({"name": "data_null"})
    with on_the_wire(simulator.url, budget):
        with pytest.raises(ThrottledError):
            call(make(CLOCK))
        simulator.faults.clear()
        call(make(CLOCK))

    assert budget.heard[0] is Answer.SIGN
    assert set(budget.heard[1:]) == {Answer.OK}


def listed_in_a_ban(
    redis_server: RedisServer, simulator: SimulatorServer, ban: dict[str, object], patience_s: float
) -> int:
    """How many symbols a list has that is asked for in a ban."""
    policy = BanPolicy(probe_s=0.3, probe_longest_s=0.3)
    with redis_server.client() as client:
        budget = RedisBudget(
            client, domain="d", egress="e", windows=(RateWindow(1000, 1.0),), policy=policy
        )
        source = FailoverSource(
            Preferred(DirectEastmoney(CLOCK), lambda: EastmoneySource(CLOCK)),
            {Period.DAILY: ("sina",)},
            lambda name: pytest.fail(f"{name} was asked"),
            retried=retried,
            fit=lambda *asked: asked[-1],
            list_patience_s=patience_s,
        )
        simulator.faults.add(ban)
        with on_the_wire(simulator.url, budget):
            return int(retried(source.fetch_quotes).num_rows)


def test_a_list_waits_for_the_end_of_a_ban_for_a_list_spares_a_request_a_symbol(
    redis_server: RedisServer, simulator: SimulatorServer
) -> None:
    """Bars of others would cost thousands of requests; a short ban costs none."""
    assert listed_in_a_ban(redis_server, simulator, {"name": "drop", "count": 5}, 30) > 0


def test_a_list_does_not_wait_for_ever(
    redis_server: RedisServer, simulator: SimulatorServer
) -> None:
    """A ban of a day must not keep the bars that others have."""
    with pytest.raises(AwayError):
        listed_in_a_ban(redis_server, simulator, {"name": "drop"}, 1)
