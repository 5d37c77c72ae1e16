"""Brokers that die, forget, fill up or stand still: the ledger knows what they do not."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from pipeline.bench.redis_server import RedisServer
from tests.fixtures.arena import Arena, at_length
from tests.fixtures.cli import wait_for
from tests.fixtures.fault_record import Record
from tests.fixtures.rabbitmq import rabbitmq_node
from tests.fixtures.tcp_proxy import proxied

Begin = Callable[..., Record]


def test_13_a_killed_redis_is_restarted_and_the_run_goes_on(arena: Arena, record: Begin) -> None:
    """Embedded, with its append-only file: the supervisor starts it again."""
    noted = record("13", "SIGKILL of Redis (AOF on)", "mid-run, embedded stack")
    command = arena.start()
    arena.under_way()

    with noted.recovering(arena):
        arena.processes("redis-server")[0].send(signal.SIGKILL)
        arena.ended()

    assert command.wait(30) == 0
    arena.check_all_is_well()


@pytest.mark.lengthy
@pytest.mark.parametrize("down_s", [2, pytest.param(15, marks=pytest.mark.lengthy)])
def test_13b_a_redis_that_is_down_for_a_while_costs_that_while(
    arena: Arena, record: Begin, down_s: float
) -> None:
    """Workers wait for the budget and the broker, and lose nothing of what they hold."""
    if not at_length():
        down_s = min(down_s, 4)
    noted = record("13", f"Redis (AOF on) killed, back after {down_s} s", "mid-run, cluster")
    server = arena.redis()
    arena.on_cluster(server.url(1), server.url(2))
    arena.add_worker()
    arena.add_worker("spare")
    command = arena.start()
    arena.under_way()

    with noted.recovering(arena):
        server.kill()
        time.sleep(down_s)
        server.again()
        arena.revive_workers()
        arena.ended(90)

    assert command.wait(30) == 0
    arena.check_all_is_well()


@pytest.mark.parametrize(
    "how", ["flushed", pytest.param("restarted without AOF", marks=pytest.mark.lengthy)]
)
def test_14_a_redis_that_forgets_everything_costs_one_reconcile_period(
    arena: Arena, record: Begin, how: str
) -> None:
    """Messages, chords and budgets are gone: the reconciler hands out what the ledger lacks."""
    noted = record("14", f"Redis {how}", "mid-run, cluster")
    server = arena.redis(durable=False)
    arena.on_cluster(server.url(1), server.url(2))
    arena.installation.environment["WAVE_ITEMS"] = "400"  # most of the messages wait in the queue
    arena.add_worker(size=2)
    command = arena.start()
    arena.under_way()

    with noted.recovering(arena):
        if how == "flushed":
            with server.server.client() as client:
                client.flushall()
        else:
            server.kill()
            server.again()
        arena.revive_workers()
        arena.ended(60)

    assert command.wait(30) == 0
    arena.check_all_is_well()


def test_15_a_chord_whose_keys_are_gone_is_committed_by_the_reconciler(
    arena: Arena, record: Begin
) -> None:
    """Its body is never called, without an error anywhere; the ledger shows that all is staged."""
    noted = record("15", "the chord's keys deleted", "mid-run, result backend")
    server = arena.redis()
    arena.on_cluster(server.url(1), server.url(2))
    arena.add_worker()
    command = arena.start()
    arena.under_way(4)

    with noted.recovering(arena):
        deadline = time.monotonic() + 60
        while not (run := arena.newest_run()) or not run.state.is_end:
            assert time.monotonic() < deadline
            _delete_chord_keys(server.server)
        arena.ended()

    assert command.wait(30) == 0
    arena.check_all_is_well()


def _delete_chord_keys(server: RedisServer) -> None:
    with server.client(2) as client:
        for suffix in ("j", "t", "s", "d", "c"):
            keys = list(client.scan_iter(f"celery-taskset-meta-*.{suffix}"))
            if keys:
                client.delete(*keys)


def test_16_a_redis_killed_within_moments_of_a_tasks_end_takes_workers_down_and_not_the_run(
    arena: Arena, record: Begin
) -> None:
    """Celery's workers may exit when Redis dies while they acknowledge; they are started again."""
    noted = record("16", "SIGKILL of Redis within 5 ms of a batch's end", "cluster, each round")
    server = arena.redis()
    arena.on_cluster(server.url(1), server.url(2))
    arena.installation.environment["BUDGET_SIMULATOR"] = "20/1s"
    arena.add_worker()
    command = arena.start()
    arena.under_way(4)

    with noted.recovering(arena):
        for _ in range(20 if at_length() else 3):
            ended = arena.batches_ended()
            wait_for("a batch to end", lambda seen=ended: arena.goes_on(seen), 60)
            server.kill()
            server.again()
            arena.revive_workers()
            run = arena.newest_run()
            if run is not None and run.state.is_end:
                break
        arena.ended(90)

    assert command.wait(30) == 0
    arena.check_all_is_well()


@pytest.mark.lengthy
def test_17_a_redis_without_memory_refuses_and_nothing_is_marked_done(
    arena: Arena, record: Begin
) -> None:
    """Publishing fails, loudly; when there is memory again the run goes on."""
    noted = record("17", "Redis out of memory (noeviction) for 3 s", "mid-run, cluster")
    server = arena.redis()
    arena.on_cluster(server.url(1), server.url(2))
    arena.add_worker()
    command = arena.start()
    arena.under_way(4)

    with noted.recovering(arena):
        with server.server.client() as client:
            client.config_set("maxmemory", "1")
            time.sleep(3)
            client.config_set("maxmemory", "0")
        arena.revive_workers()
        arena.ended()

    assert command.wait(30) == 0
    arena.check_all_is_well()


@pytest.mark.lengthy
@pytest.mark.parametrize(
    "what", [pytest.param("a half-open connection", marks=pytest.mark.lengthy), "SIGSTOP of Redis"]
)
def test_18_a_redis_that_says_nothing_any_more_is_noticed(
    arena: Arena, record: Begin, what: str
) -> None:
    """Connections stay open and no byte comes: time limits, not hope."""
    silent_s = 60 if at_length() else 4
    noted = record("18", f"{what} for {silent_s} s", "mid-run, cluster")
    server = arena.redis()
    with proxied(server.server.port) as proxy:
        arena.on_cluster(f"redis://127.0.0.1:{proxy.port}/1", f"redis://127.0.0.1:{proxy.port}/2")
        arena.installation.environment["RUN_DEADLINE_S"] = "200"
        arena.add_worker()
        command = arena.start()
        arena.under_way()

        with noted.recovering(arena):
            if what == "SIGSTOP of Redis":
                server.server.process.send_signal(signal.SIGSTOP)
            else:
                proxy.swallow()
            time.sleep(silent_s)
            server.server.process.send_signal(signal.SIGCONT)
            proxy.restore()
            arena.revive_workers()
            arena.ended(150)

        assert command.wait(60) == 0
    arena.check_all_is_well()


@pytest.mark.lengthy
@pytest.mark.services
def test_19_a_killed_rabbitmq_is_restarted_and_duplicates_are_absorbed(
    arena: Arena, record: Begin, tmp_path: Path
) -> None:
    """Durable queues keep the messages; those in flight come twice, and are worked on once."""
    noted = record("19", "SIGKILL of RabbitMQ, started again", "mid-run, cluster")
    server = arena.redis()
    with rabbitmq_node(tmp_path / "rabbit") as rabbit:
        arena.on_cluster(rabbit.url, server.url(2))
        arena.installation.environment |= {"RUN_DEADLINE_S": "150", "BUDGET_SIMULATOR": "10/1s"}
        arena.add_worker()
        command = arena.start()
        arena.under_way()

        with noted.recovering(arena):
            rabbit.kill()
            rabbit.again()
            arena.revive_workers()
            arena.ended(120)

        assert command.wait(60) == 0
    arena.check_all_is_well()


def test_the_budget_holds_over_a_redis_that_forgot_it(arena: Arena) -> None:
    """Every process gives back what it was granted: the upstream's own log shows no burst.

    A request may be on its way for a while on a busy machine; forgotten grants would be spent
    again within a second.
    """
    server = arena.redis(durable=False)
    arena.on_cluster(server.url(1), server.url(2))
    arena.installation.environment |= {"BUDGET_SIMULATOR": "15/5s", "RUN_DEADLINE_S": "120"}
    arena.add_worker()
    arena.start()
    arena.under_way(12)
    with server.server.client() as client:
        client.flushall()
    arena.revive_workers()
    wait_for("more fetches", lambda: len(arena.simulator.log.since(0)) >= 30, 60)

    arrivals = sorted(entry.at for entry in arena.simulator.log.since(0))
    busiest = max(sum(1 for at in arrivals if first <= at < first + 4) for first in arrivals)
    assert busiest <= 15


def test_a_redis_with_no_data_is_told_of_grants_by_who_holds_them(
    redis_server: RedisServer,
) -> None:
    """The memory of a process outlives Redis's own."""
    from ingest.pacing import Lane, RedisBudget  # noqa: PLC0415
    from ingest.rates import RateWindow  # noqa: PLC0415

    with redis_server.client() as client:
        budget = RedisBudget(client, domain="t", egress="e", windows=(RateWindow(2, 3.0),))
        began = time.monotonic()
        for _ in range(2):
            budget.acquire(Lane.LIVE, time.monotonic() + 5)
        client.flushall()
        budget.acquire(Lane.LIVE, time.monotonic() + 10)

    assert time.monotonic() - began >= 3.0
    assert isinstance(client, redis.Redis)
