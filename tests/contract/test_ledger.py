"""The ledger: claims are exclusive, the lost are refused, runs end by what outcomes say."""

import threading
import time

import pytest
from sqlalchemy import select

from market.bars import Dataset
from market.periods import Period
from storage.coverage import read_coverage
from storage.database import Database
from storage.errors import StorageError
from storage.installation import settle_fact
from storage.ledger import Ledger
from storage.ledger_tables import kline_quarantine
from storage.recovery import Recovery
from storage.run_records import (
    BatchPlan,
    Claim,
    Item,
    OutcomeRow,
    QuarantinedBar,
    RunPlan,
    RunState,
    WavePlan,
    Work,
    new_run_id,
)
from tests.contract.ledger_words import LAST, batch, claimed, commit, ok, open_run, stage


@pytest.fixture
def ledger(database: Database) -> Ledger:
    """An empty ledger on each database."""
    return Ledger(database)


def test_a_plan_comes_back_as_it_was_written(ledger: Ledger) -> None:
    """Kind of work, items and their dates survive the ledger."""
    plan = batch("600519.SH", "000001.SZ")
    run_id = open_run(ledger, (plan,))

    assert ledger.batch_plan(run_id, 0) == plan
    with pytest.raises(StorageError, match="no batch 7"):
        ledger.batch_plan(run_id, 7)


def test_one_run_per_slot_however_many_ask(ledger: Ledger) -> None:
    """Two beats at once do no harm."""
    made: list[bool] = []

    def tick() -> None:
        plan = RunPlan(
            run_id=new_run_id(), kind="stocks", period=Period.DAILY, upstream="live",
            lane="live", params={}, waves=(WavePlan("q", (batch("600519.SH"),)),), slot="10:30",
        )  # fmt: skip
        made.append(ledger.open_run(plan))

    threads = [threading.Thread(target=tick) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(made) == [False] * 5 + [True]
    assert len(ledger.runs()) == 1


def test_a_batch_is_claimed_by_exactly_one(ledger: Ledger) -> None:
    """Delivered many times at once, worked on once."""
    run_id = open_run(ledger, (batch("600519.SH"),))
    claims: list[Claim | None] = []
    threads = [
        threading.Thread(target=lambda: claims.append(ledger.claim_batch(run_id, 0, 60)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(claim is not None for claim in claims) == 1


def test_who_lost_the_lease_is_refused(ledger: Ledger) -> None:
    """A zombie can neither prolong its lease nor stage over its successor."""
    run_id = open_run(ledger, (batch("600519.SH"),))
    zombie = claimed(ledger, run_id, lease_s=0.05)
    time.sleep(0.1)
    successor = claimed(ledger, run_id)

    assert successor.attempt == 2
    assert not ledger.renew(zombie, 60, 1)
    assert not stage(ledger, zombie, ok("600519.SH"))
    assert stage(ledger, successor, ok("600519.SH"))
    assert ledger.claim_batch(run_id, 0, 60) is None


def test_a_wave_is_committed_once_and_not_before_its_batches_end(ledger: Ledger) -> None:
    """The body of a chord may come early, twice, or late."""
    run_id = open_run(ledger, (batch("600519.SH"), batch("000001.SZ")))
    stage(ledger, claimed(ledger, run_id, 0), ok("600519.SH"))
    assert ledger.claim_wave(run_id, 0, 60) is None
    stage(ledger, claimed(ledger, run_id, 1), ok("000001.SZ"))

    first = ledger.claim_wave(run_id, 0, 0.05)
    assert first is not None
    assert ledger.claim_wave(run_id, 0, 60) is None
    time.sleep(0.1)
    assert commit(ledger, run_id)
    stale = ledger.commit_wave(first, bars_written=5, refused={}, quarantined=[], extension=[])

    assert not stale
    assert ledger.claim_wave(run_id, 0, 60) is None
    status = ledger.status(run_id)
    assert (status.state, status.bars_written, status.requests) == (RunState.COMMITTED, 5, 4)


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        (("ok", "empty_suspended"), RunState.COMMITTED),
        (("ok", "throttled"), RunState.PARTIAL),
        (("timeout", "throttled"), RunState.FAILED),
    ],
)
def test_a_run_ends_by_what_its_outcomes_say(
    ledger: Ledger, outcomes: tuple[str, ...], state: RunState
) -> None:
    """All good, some bad, all bad; the reason counts the bad ones."""
    run_id = open_run(ledger, (batch("a", "b"),))
    rows = [OutcomeRow(name, outcome, "why") for name, outcome in zip("ab", outcomes, strict=True)]
    stage(ledger, claimed(ledger, run_id), *rows)
    commit(ledger, run_id)

    status = ledger.status(run_id)
    assert status.state is state
    assert sum(status.outcomes.values()) == 2
    assert ("1 throttled" in str(status.reason)) == ("throttled" in outcomes)


def test_coverage_moves_only_with_the_commit(ledger: Ledger, database: Database) -> None:
    """What is staged proves nothing to the next plan yet."""
    run_id = open_run(ledger, (batch("600519.SH"),))
    stage(ledger, claimed(ledger, run_id), ok("600519.SH"))
    assert read_coverage(database, "kline", "daily") == {}

    commit(ledger, run_id)

    assert read_coverage(database, "kline", "daily")["600519.SH"].watermark == LAST


def test_a_wave_may_plan_more_waves(ledger: Ledger) -> None:
    """A list makes further work possible; the run goes on until that is done."""
    run_id = open_run(ledger, (batch("list"),))
    stage(ledger, claimed(ledger, run_id), OutcomeRow("list", "ok"))
    commit(ledger, run_id, extension=[WavePlan("q", (batch("a"), batch("b")))], notices=["more"])

    status = ledger.status(run_id)
    assert (status.state, status.items, status.notices) == (RunState.RUNNING, 3, ["more"])
    assert ledger.planned_wave_after(run_id, 0) == 1
    assert ledger.batch_numbers(run_id, 1) == ("q", "live", [1, 2])


def test_a_list_that_was_not_taken_is_an_outcome(ledger: Ledger, database: Database) -> None:
    """Fetched is not stored: the outcome says so, and nothing is covered."""
    plan = BatchPlan(Work.BOARD_MEMBERS, (Item("BK0818"),))
    run_id = open_run(ledger, (plan,))
    outcome = OutcomeRow("BK0818", "ok", covered_from=LAST, covered_to=LAST)
    ledger.stage_batch(
        claimed(ledger, run_id), manifest={"tables": {}}, rows=1, requests=1,
        work=Work.BOARD_MEMBERS, outcomes=[outcome],
    )  # fmt: skip
    commit(ledger, run_id, refused={"BK0818": "a full page"})

    assert ledger.status(run_id).outcomes == {"not_stored": 1}
    assert ledger.outcomes(run_id)[0]["reason"] == "a full page"
    assert read_coverage(database, "board_members", "session") == {}


def test_rejected_bars_are_kept_once(ledger: Ledger, database: Database) -> None:
    """Quarantine keeps the row and its reasons, and does not fill up with repeats."""
    bad = QuarantinedBar(Dataset.KLINE, Period.DAILY, "600519.SH", 1, {"low": 9.0}, "ohlc_order")
    for _ in range(2):
        run_id = open_run(ledger, (batch("600519.SH"),))
        stage(ledger, claimed(ledger, run_id), OutcomeRow("600519.SH", "invalid", "why"))
        commit(ledger, run_id, quarantined=[bad])

    with database.reading() as connection:
        rows = connection.execute(select(kline_quarantine)).mappings().all()
    assert [(r["subject"], r["row"], r["reasons"]) for r in rows] == [
        ("600519.SH", '{"low": 9.0}', "ohlc_order")
    ]


def test_a_run_that_cannot_be_committed_holds_nothing(ledger: Ledger) -> None:
    """Fetched is not stored: good outcomes of staged batches turn, with the reason."""
    run_id = open_run(ledger, (batch("a"),))
    stage(ledger, claimed(ledger, run_id), ok("a"))

    ledger.end_run(run_id, RunState.FAILED, "the disk is full")
    ledger.end_run(run_id, RunState.PARTIAL, "too late")

    status = ledger.status(run_id)
    assert (status.state, status.reason) == (RunState.FAILED, "the disk is full")
    assert status.outcomes == {"not_stored": 1}


def test_the_leases_of_the_dead_are_given_back(ledger: Ledger) -> None:
    """The owner of a stack that starts knows that no worker is alive."""
    run_id = open_run(ledger, (batch("a"), batch("b")))
    claimed(ledger, run_id, 0, lease_s=3600)

    assert Recovery(ledger._database).void_leases(at_fault=False) == 1
    assert ledger.claim_batch(run_id, 0, 60) is not None


def test_a_run_without_work_is_committed_at_once(ledger: Ledger) -> None:
    """Nothing missing is a success."""
    run_id = open_run(ledger)
    assert ledger.status(run_id).state is RunState.COMMITTED


def test_a_fact_about_the_installation_is_recorded_once(database: Database) -> None:
    """The first value stands."""
    assert settle_fact(database, "prices", "simulated") == "simulated"
    assert settle_fact(database, "prices", "real") == "simulated"
