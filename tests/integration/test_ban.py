"""The pace and the ban that all processes share, on a real Redis: slower, banned, probed, back."""

import multiprocessing
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
import redis

from ingest.budget_report import BudgetReport
from ingest.pacing import Lane, Permit, RedisBudget
from ingest.rates import RateWindow
from ingest.source import BannedError, BudgetUnavailableError
from ingest.throttling import Answer, BanPolicy, PaceState
from pipeline.bench.redis_server import RedisServer
from tests.fixtures.redis_server import Restartable

pytestmark = pytest.mark.timed

WINDOWS = (RateWindow(100, 1.0),)
POLICY = BanPolicy(probe_s=0.6, probe_longest_s=1.5, recovery_s=10, right_s=0.5, recovered_by=3)


def budget_on(client: redis.Redis, policy: BanPolicy = POLICY) -> RedisBudget:
    """A budget as each process opens its own."""
    return RedisBudget(client, domain="t", egress="e", windows=WINDOWS, policy=policy)


def ask(budget: RedisBudget, seconds: float = 5) -> Permit:
    """A permit in the bulk lane."""
    return budget.acquire(Lane.BULK, time.monotonic() + seconds)


def sign(budget: RedisBudget, cause: str = "closed the connection") -> bool:
    """One request that meets a throttling sign."""
    return ask(budget).answered(Answer.SIGN, cause)


def ban(budget: RedisBudget) -> BudgetReport:
    """As many signs as it takes."""
    assert [sign(budget) for _ in range(3)] == [False, False, True]
    return budget.report()


def test_a_sign_halves_the_pace_and_time_with_answers_brings_it_back(
    redis_server: RedisServer,
) -> None:
    """Multiplicative decrease, additive increase; the pace is what is granted."""
    with redis_server.client() as client:
        budget = budget_on(client, BanPolicy(recovery_s=2.0))
        sign(budget)
        slow = budget.report()
        began = time.monotonic()
        for _ in range(20):
            ask(budget).answered(Answer.OK)
        took = time.monotonic() - began
        faster = budget.report()
        time.sleep(0.5)
        idle = budget.report()
        while (now := budget.report().facts.pace) < 1:
            assert time.monotonic() - began < 10
            ask(budget).answered(Answer.OK)

    assert slow.facts.pace == 0.5
    assert slow.effective_rate == 0.5 * slow.permitted_rate
    assert took >= 19 / 100
    assert 0.5 < faster.facts.pace < 0.9
    assert idle.facts.pace == faster.facts.pace, "time alone proves nothing"
    assert (now, budget.domain) == (1.0, "t")
    assert [t.cause for t in faster.story] == ["closed the connection"]


def test_a_slow_pace_spaces_requests_by_it(redis_server: RedisServer) -> None:
    """At a quarter of 100/s, twenty requests take 20/25 s."""
    policy = BanPolicy(floor=0.25, recovery_s=10_000)
    with redis_server.client() as client:
        budget = budget_on(client, policy)
        for _ in range(2):
            sign(budget)
        began = time.monotonic()
        for _ in range(20):
            ask(budget).answered(Answer.OK)
        took = time.monotonic() - began

        assert budget.report().facts.pace == pytest.approx(0.25, abs=0.001)
    assert 0.75 <= took < 1.5


def test_signs_of_requests_in_flight_count_once(redis_server: RedisServer) -> None:
    """Eight threads that all lose their connection at once are one sign, not a ban."""
    with redis_server.client() as client:
        budget = budget_on(client)
        flight = [ask(budget) for _ in range(8)]

        assert not any(permit.answered(Answer.SIGN, "closed") for permit in flight)
        facts = budget.report().facts

    assert (facts.state, facts.signs, facts.pace) == (PaceState.OPEN, 1, 0.5)


def test_an_answer_between_signs_proves_that_there_is_no_ban(redis_server: RedisServer) -> None:
    """Only signs in a row are a ban; an older request's answer proves nothing."""
    with redis_server.client() as client:
        budget = budget_on(client)
        older = ask(budget)
        for _ in range(2):
            sign(budget)
            sign(budget)
            ask(budget).answered(Answer.OK)
        assert budget.report().facts.state is PaceState.OPEN
        sign(budget)
        sign(budget)
        older.answered(Answer.OK)

        assert sign(budget), "banned"


def test_after_a_sign_one_request_at_a_time_is_sent(redis_server: RedisServer) -> None:
    """Till an answer comes: a ban is not met by a volley. A dead process does not block it."""
    with redis_server.client() as client:
        budget = budget_on(client)
        sign(budget)
        ask(budget)
        began = time.monotonic()
        with pytest.raises(BudgetUnavailableError):
            ask(budget, 0.2)
        ask(budget)

    assert time.monotonic() - began == pytest.approx(POLICY.right_s, abs=0.25)


def test_the_same_question_answered_with_nothing_counts_once(redis_server: RedisServer) -> None:
    """A symbol of which the upstream always says nothing is no ban."""
    with redis_server.client() as client:
        budget = budget_on(client)
        for _ in range(5):
            assert not ask(budget).answered(Answer.SIGN, "empty", "/kline?secid=1")
        assert budget.report().facts.signs == 1
        ask(budget).answered(Answer.SIGN, "empty", "/kline?secid=2")

        assert ask(budget).answered(Answer.SIGN, "empty", "/kline?secid=3"), "but three are"


def test_server_errors_are_a_sign_in_a_burst_only(redis_server: RedisServer) -> None:
    """Two 502 are bad luck; the third in a row is a sign."""
    with redis_server.client() as client:
        budget = budget_on(client)
        for answer in (Answer.FAILED, Answer.FAILED, Answer.OK, Answer.FAILED, Answer.FAILED):
            ask(budget).answered(answer, "502")
        assert budget.report().facts.pace == 1
        ask(budget).answered(Answer.FAILED, "502")
        report = budget.report()

    assert report.facts.pace == 0.5
    assert report.story[-1].cause == "3 server errors in a row, the last one: 502"


def test_a_ban_is_raised_at_once_for_who_has_another_upstream(redis_server: RedisServer) -> None:
    """With domain, begin and next probe; also for one that waits in the queue already."""
    with redis_server.client() as client:
        budget = budget_on(client, BanPolicy(probe_s=30))
        report = ban(budget)
        began = time.monotonic()
        with pytest.raises(BannedError, match="closed the connection") as caught:
            budget.acquire(Lane.LIVE, began + 60, ban_deadline=0)
        assert time.monotonic() - began < 0.5
        assert budget.report().waiting == {"live": 0, "bulk": 0}

    facts = report.facts
    assert facts.since is not None
    assert facts.next_probe is not None
    assert caught.value.context == {
        "domain": "t",
        "since": facts.since.isoformat(),
        "next_probe": facts.next_probe.isoformat(),
    }
    assert not caught.value.transient
    assert 24 <= (facts.next_probe - facts.since).total_seconds() <= 30


def test_who_waits_out_a_ban_shows_life_until_the_deadline(redis_server: RedisServer) -> None:
    """Leases are kept; then the ban is named, not the budget."""
    pulses: list[float] = []
    with redis_server.client() as client:
        budget = budget_on(client, BanPolicy(probe_s=30))
        ban(budget)
        began = time.monotonic()
        with pytest.raises(BannedError):
            budget.acquire(Lane.BULK, began + 2.5, lambda: pulses.append(time.monotonic()))

    assert 2.4 <= time.monotonic() - began < 3.5
    assert len(pulses) >= 4


def _probe(url: str, answer: Answer, seconds: float, sink: "multiprocessing.Queue[float]") -> None:
    budget, end = budget_on(redis.Redis.from_url(url)), time.monotonic() + seconds

    def spend() -> None:
        while time.monotonic() < end:
            try:
                permit = budget.acquire(Lane.BULK, end)
            except (BannedError, BudgetUnavailableError):
                return
            sink.put(time.time())
            time.sleep(0.02)
            permit.answered(answer, "closed")

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink.put(0.0)


def test_in_a_ban_processes_and_threads_together_send_one_probe_an_interval(
    redis_server: RedisServer,
) -> None:
    """The interval doubles up to its longest; nothing else is sent."""
    sink: multiprocessing.Queue[float] = multiprocessing.Queue()
    with redis_server.client() as client:
        budget = budget_on(client)
        report = ban(budget)
        began = time.time()
        workers = [
            multiprocessing.Process(
                target=_probe, args=(redis_server.url(), Answer.SIGN, 5.0, sink)
            )
            for _ in range(2)
        ]
        for worker in workers:
            worker.start()
        instants, ended = [], 0
        while ended < len(workers):
            at = sink.get(timeout=30)
            ended += at == 0
            if at:
                instants.append(at)
        for worker in workers:
            worker.join()
        facts = budget.report().facts

    gaps = [b - a for a, b in zip([began, *instants], instants, strict=False)]
    assert 0.3 <= gaps[0] <= 0.9
    assert 0.9 <= gaps[1] <= 1.5, "twice as long, up to a fifth sooner"
    assert all(1.1 <= gap <= 1.8 for gap in gaps[2:]), gaps
    assert facts.probes == len(instants)
    assert facts.since == report.facts.since


def test_an_answered_probe_lets_work_resume_carefully_and_then_in_full(
    redis_server: RedisServer,
) -> None:
    """Half open at a reduced pace, open after a few answers; the story tells it all."""
    with redis_server.client() as client:
        budget = budget_on(client)
        ban(budget)
        ask(budget).answered(Answer.OK)
        half = budget.report()
        for _ in range(2):
            ask(budget).answered(Answer.OK)
        whole = budget.report()

    assert (half.facts.state, half.facts.pace) == (PaceState.HALF_OPEN, 0.25)
    assert whole.facts.state is PaceState.OPEN
    assert whole.facts.next_probe is None
    assert [t.after.value for t in whole.story] == ["open", "open", "banned", "half_open", "open"]
    assert whole.story == tuple(sorted(whole.story, key=lambda t: t.at))


def test_a_sign_after_the_probe_bans_again_for_longer(redis_server: RedisServer) -> None:
    """Half open is no amnesty."""
    with redis_server.client() as client:
        budget = budget_on(client)
        ban(budget)
        ask(budget).answered(Answer.OK)

        assert sign(budget)
        facts = budget.report().facts

    assert (facts.state, facts.probe_interval_s) == (PaceState.BANNED, 1.2)


def test_one_question_always_answered_with_nothing_does_not_renew_a_ban(
    redis_server: RedisServer,
) -> None:
    """It would for ever; several in a row are the address's."""
    with redis_server.client() as client:
        budget = budget_on(client)
        ban(budget)
        ask(budget).answered(Answer.OK)

        assert not ask(budget).answered(Answer.SIGN, "empty", "/kline?secid=1")
        assert not ask(budget).answered(Answer.SIGN, "empty", "/kline?secid=1")
        ask(budget).answered(Answer.OK)
        assert not ask(budget).answered(Answer.SIGN, "empty", "/kline?secid=1")
        assert budget.report().facts.state is PaceState.HALF_OPEN
        assert not ask(budget).answered(Answer.SIGN, "empty", "/kline?secid=2")
        assert ask(budget).answered(Answer.SIGN, "empty", "/kline?secid=3")


def test_a_probe_whose_process_died_is_replaced(redis_server: RedisServer) -> None:
    """Its right expires."""
    with redis_server.client() as client:
        budget = budget_on(client)
        ban(budget)
        lost = ask(budget)
        began = time.monotonic()
        replaced = ask(budget)
        waited = time.monotonic() - began
        lost.answered(Answer.OK)
        assert budget.report().facts.state is PaceState.BANNED, "it has lost its say"
        replaced.answered(Answer.OK)

        assert budget.report().facts.state is PaceState.HALF_OPEN
    assert waited == pytest.approx(POLICY.right_s, abs=0.25)


def test_a_probe_without_a_connection_neither_ends_a_ban_nor_makes_it_longer(
    redis_server: RedisServer,
) -> None:
    """A network that is away says nothing of the upstream's patience."""
    with redis_server.client() as client:
        budget = budget_on(client)
        ban(budget)
        ask(budget).answered(Answer.SILENT, "no route")
        facts = budget.report().facts

    assert (facts.state, facts.probe_interval_s) == (PaceState.BANNED, POLICY.probe_s)


def test_a_ban_outlives_a_killed_redis_with_its_append_only_file(tmp_path: Path) -> None:
    """And a process that has never seen it meets it."""
    server = Restartable(tmp_path / "redis", durable=True)
    try:
        with server.server.client() as client:
            report = ban(budget_on(client, BanPolicy(probe_s=60)))
        time.sleep(1.2)  # the file is synced every second
        server.kill()
        server.again()
        with server.server.client() as client:
            budget = budget_on(client)
            assert budget.report().facts == report.facts
            assert budget.report().story == report.story
            with pytest.raises(BannedError):
                budget.acquire(Lane.LIVE, time.monotonic() + 5, ban_deadline=0)
    finally:
        server.stop()


def test_a_redis_that_lost_a_ban_is_told_of_it(redis_server: RedisServer) -> None:
    """By any process that knew."""
    with redis_server.client() as client:
        budget = budget_on(client, BanPolicy(probe_s=60))
        before = ban(budget).facts
        client.flushall()
        with pytest.raises(BannedError):
            budget.acquire(Lane.LIVE, time.monotonic() + 5, ban_deadline=0)
        after = budget.report().facts

    assert (after.state, after.since, after.cause) == (before.state, before.since, before.cause)


def test_jitter_spreads_grants_and_costs_less_than_its_share(redis_server: RedisServer) -> None:
    """Gaps differ; none is shorter than the window."""
    with redis_server.client() as client:
        budget = RedisBudget(
            client, domain="t", egress="e", windows=(RateWindow(1, 0.2),), guard_s=0.0, jitter=0.5
        )
        ask(budget)
        instants = []
        for _ in range(12):
            ask(budget)
            instants.append(time.monotonic())

    gaps = sorted(b - a for a, b in pairwise(instants))
    assert gaps[0] > 0.19
    assert gaps[-1] - gaps[0] > 0.02
    assert sum(gaps) / len(gaps) < 0.2 * 1.5
