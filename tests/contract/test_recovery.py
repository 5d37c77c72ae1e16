"""Recovery: what is stuck is found, given back, tried alone, given up, on both databases."""

import threading
import time

import pytest

from storage.database import Database
from storage.ledger import Ledger
from storage.ledger_statements import still_running
from storage.recovery import Recovery
from storage.run_records import RunState
from tests.contract.ledger_words import batch, claimed, commit, ok, open_run, stage

OWNER = "host/ns/12/34"


@pytest.fixture
def ledger(database: Database) -> Ledger:
    """An empty ledger on each database."""
    return Ledger(database)


@pytest.fixture
def recovery(database: Database) -> Recovery:
    """Its other side."""
    return Recovery(database)


def test_the_leases_of_the_dead_are_void_and_those_of_the_living_are_not(
    ledger: Ledger, recovery: Recovery
) -> None:
    """Batches and commits; the zombie's own claim is worth nothing any more."""
    run_id = open_run(ledger, (batch("a"), batch("b")), (batch("c"),))
    dead = ledger.claim_batch(run_id, 0, 600, OWNER)
    living = ledger.claim_batch(run_id, 1, 600, "host/ns/56/78")
    stage(ledger, claimed(ledger, run_id, 2), ok("c"))
    committer = ledger.claim_wave(run_id, 1, 600, OWNER)
    assert dead is not None
    assert living is not None
    assert committer is not None
    assert recovery.lease_owners() == {OWNER, "host/ns/56/78"}

    assert recovery.void_leases([OWNER], at_fault=True) == 2

    assert recovery.lease_owners() == {"host/ns/56/78"}
    assert not ledger.renew(dead, 600, 1)
    assert not ledger.renew_wave(committer, 600)
    assert not stage(ledger, dead, ok("a"))
    assert ledger.renew(living, 600, 1)
    again = ledger.claim_batch(run_id, 0, 600, OWNER)
    assert again is not None
    assert again.attempt == 2


def test_an_attempt_that_was_nobodys_fault_is_not_counted(
    ledger: Ledger, recovery: Recovery
) -> None:
    """A stack that ended as a whole, or a worker that gave a batch back."""
    run_id = open_run(ledger, (batch("a"),))
    claimed(ledger, run_id)
    recovery.void_leases(at_fault=False)
    again = claimed(ledger, run_id)
    ledger.release_batch(again)

    assert claimed(ledger, run_id).attempt == 1


def test_an_expired_lease_is_given_back_and_the_batch_published_anew(
    ledger: Ledger, recovery: Recovery
) -> None:
    """Once; a lease that still runs stays."""
    run_id = open_run(ledger, (batch("a"), batch("b")))
    ledger.mark_published(run_id, 0)
    claimed(ledger, run_id, 0, lease_s=0.05)
    claimed(ledger, run_id, 1, lease_s=600)
    time.sleep(0.1)

    assert recovery.void_expired() == [(run_id, 0)]
    assert recovery.void_expired() == []
    lost, worked = recovery.open_batches(run_id)
    assert (lost.published_s, lost.left_s, lost.owner) == (None, None, None)
    assert worked.left_s is not None
    assert worked.left_s > 0


def test_suspects_are_tried_one_at_a_time_and_then_given_up(
    ledger: Ledger, recovery: Recovery
) -> None:
    """Two whose workers died twice; each is then alone, and after the fourth time it ends."""
    run_id = open_run(ledger, (batch("a"), batch("b"), batch("c")))
    for _ in range(2):
        for number in (0, 1):
            claimed(ledger, run_id, number)
        recovery.void_leases(at_fault=True)

    first = ledger.claim_batch(run_id, 0, 600, OWNER)
    assert first is not None
    assert ledger.claim_batch(run_id, 1, 600, OWNER) is None
    assert ledger.claim_batch(run_id, 2, 600, "another") is not None
    assert stage(ledger, first, ok("a"))
    for _ in range(2):
        assert recovery.fail_exhausted(4) == []
        assert ledger.claim_batch(run_id, 1, 600, OWNER) is not None
        recovery.void_leases([OWNER], at_fault=True)

    assert recovery.fail_exhausted(4) == [(run_id, 1)]
    assert recovery.fail_exhausted(4) == []
    (row,) = ledger.outcomes(run_id, exclude=("ok",))
    assert (row["subject"], row["outcome"]) == ("b", "worker_lost")
    assert "workers in turn died" in row["reason"]


def test_two_suspects_asked_for_at_once_are_not_both_had(
    ledger: Ledger, recovery: Recovery
) -> None:
    """Also where two transactions run at the same time."""
    run_id = open_run(ledger, *[tuple(batch(f"{n}") for n in range(6))])
    for _ in range(2):
        for number in range(6):
            claimed(ledger, run_id, number)
        recovery.void_leases(at_fault=True)
    had: list[object] = []
    threads = [
        threading.Thread(target=lambda n=n: had.append(ledger.claim_batch(run_id, n, 600, OWNER)))
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(claim is not None for claim in had) == 1


def test_a_wave_is_to_be_committed_when_its_batches_have_ended(
    ledger: Ledger, recovery: Recovery
) -> None:
    """Not while one is open, not while somebody commits, and not before it is idle."""
    run_id = open_run(ledger, (batch("a"), batch("b")))
    stage(ledger, claimed(ledger, run_id, 0), ok("a"))
    assert recovery.waves_to_commit(run_id, 0.0) == []
    stage(ledger, claimed(ledger, run_id, 1), ok("b"))

    assert recovery.waves_to_commit(run_id, 60.0) == []
    assert recovery.waves_to_commit(run_id, 0.0) == [0]
    assert ledger.claim_wave(run_id, 0, 2, OWNER) is not None
    assert recovery.waves_to_commit(run_id, 0.0) == []
    time.sleep(2.1)
    assert recovery.waves_to_commit(run_id, 0.0) == [0]
    commit(ledger, run_id)
    assert recovery.waves_to_commit(run_id, 0.0) == []


def test_the_wave_to_publish_is_the_first_that_never_was(
    ledger: Ledger, recovery: Recovery
) -> None:
    """None while one before it is open, or so young that its publisher may be at it."""
    run_id = open_run(ledger, (batch("a"),), (batch("b"),))
    assert recovery.wave_to_publish(run_id, 60.0) is None
    assert recovery.wave_to_publish(run_id, 0.0) == 0
    ledger.mark_published(run_id, 0)
    assert recovery.wave_to_publish(run_id, 0.0) is None
    assert recovery.published_waves(run_id) == [0]
    stage(ledger, claimed(ledger, run_id, 0), ok("a"))
    commit(ledger, run_id)

    assert recovery.wave_to_publish(run_id, 0.0) == 1
    assert recovery.wave_to_publish(run_id, 60.0) is None


def test_a_run_past_its_deadline_gives_up_what_is_open_and_keeps_the_rest(
    ledger: Ledger, recovery: Recovery
) -> None:
    """Open batches get an outcome each; staged ones can be committed, which ends the run."""
    run_id = open_run(ledger, (batch("a"),), (batch("b"), batch("c")), deadline_s=0.05)
    stage(ledger, claimed(ledger, run_id, 0), ok("a"))
    late = claimed(ledger, run_id, 1)
    time.sleep(0.1)

    assert recovery.overdue(run_id)
    assert not recovery.overdue(run_id, by_s=60)
    assert recovery.give_up_open(run_id, "too late") == 2
    assert not stage(ledger, late, ok("b"))
    for wave in recovery.waves_to_commit(run_id, 0.0):
        commit(ledger, run_id, wave)
    status = ledger.status(run_id)
    assert (status.state, status.outcomes) == (RunState.PARTIAL, {"ok": 1, "timeout": 2})
    assert not recovery.overdue(run_id)


def test_work_for_a_run_that_has_ended_is_refused(ledger: Ledger, recovery: Recovery) -> None:
    """Abandoned: no claim, no staging, no commit, whatever messages still come."""
    run_id = open_run(ledger, (batch("a"), batch("b")), (batch("c"),))
    held = claimed(ledger, run_id, 0)
    stage(ledger, claimed(ledger, run_id, 2), ok("c"))
    committer = ledger.claim_wave(run_id, 1, 600)
    assert committer is not None
    ledger.end_run(run_id, RunState.FAILED, "abandoned on request")

    assert ledger.claim_batch(run_id, 1, 600) is None
    assert not stage(ledger, held, ok("a"))
    assert not ledger.is_staged_by(held)
    assert not ledger.commit_wave(
        committer, bars_written=1, refused={}, quarantined=[], extension=[]
    )
    assert recovery.has_ended(run_id)
    assert not recovery.has_ended("nonsense")
    assert recovery.running() == []


def test_staging_twice_under_one_claim_is_seen_to_be_ones_own(ledger: Ledger) -> None:
    """The first answer may have been lost with the connection: the files must stay."""
    run_id = open_run(ledger, (batch("a"),))
    claim = claimed(ledger, run_id)
    assert stage(ledger, claim, ok("a"))

    assert not stage(ledger, claim, ok("a"))
    assert ledger.is_staged_by(claim)


def test_the_bars_of_a_wave_are_counted_though_the_commit_was_repeated(ledger: Ledger) -> None:
    """What a crashed commit had written is found written by the next one."""
    run_id = open_run(ledger, (batch("a"),))
    stage(ledger, claimed(ledger, run_id), ok("a"))
    crashed = ledger.claim_wave(run_id, 0, 0.05)
    assert crashed is not None
    assert ledger.renew_wave(crashed, 0.05, 120)
    time.sleep(0.1)
    commit(ledger, run_id, bars_written=0)

    assert ledger.status(run_id).bars_written == 120


def test_a_slot_waits_for_the_run_of_an_earlier_one(ledger: Ledger, recovery: Recovery) -> None:
    """And is served when that has ended."""
    run_id = open_run(ledger, (batch("a"),), slot="2025-12-31T10:30:00+08:00")
    later = "2025-12-31T10:35:00+08:00"
    with pytest.raises(AssertionError):
        open_run(ledger, (batch("a"),), slot=later)
    assert recovery.newest_slot("stocks", "live", "daily") == "2025-12-31T10:30:00+08:00"
    ledger.end_run(run_id, RunState.FAILED, "a test")

    open_run(ledger, (batch("a"),), slot=later)
    assert recovery.newest_slot("stocks", "live", "daily") == later
    assert recovery.newest_slot("concepts", "live", "daily") is None


def test_it_is_noted_when_somebody_last_looked(recovery: Recovery) -> None:
    """On the database's clock."""
    assert recovery.reconciled_s() is None
    for _ in range(2):
        recovery.note_reconciled()
    ago = recovery.reconciled_s()
    assert ago is not None
    assert 0 <= ago < 5


def test_a_worker_at_work_has_not_been_lost(ledger: Ledger, recovery: Recovery) -> None:
    """Attempts count when they have failed: one worker died, the second works."""
    run_id = open_run(ledger, (batch("a"),))
    ledger.mark_published(run_id, 0)
    claimed(ledger, run_id)
    recovery.void_leases(at_fault=True)
    claimed(ledger, run_id, lease_s=600)

    (open_batch,) = recovery.open_batches(run_id)
    assert (open_batch.attempt, open_batch.lost, open_batch.suspect) == (2, 1, False)


def test_a_run_cannot_end_while_its_batch_is_being_staged(
    ledger: Ledger, database: Database
) -> None:
    """Or an ended run would show bars as fetched and stored that nobody will commit."""
    run_id = open_run(ledger, (batch("a"),))
    ended = threading.Event()

    def end() -> None:
        ledger.end_run(run_id, RunState.FAILED, "a test")
        ended.set()

    with database.writing() as connection:
        assert still_running(connection, run_id)
        thread = threading.Thread(target=end)
        thread.start()
        assert not ended.wait(0.5)
    thread.join(30)

    assert ended.is_set()
    with database.writing() as connection:
        assert not still_running(connection, run_id)


def test_what_was_half_committed_when_the_run_ended_is_found_until_it_is_settled(
    ledger: Ledger, recovery: Recovery
) -> None:
    """While somebody still commits it is left alone; what it has staged is not swept."""
    run_id = open_run(ledger, (batch("a"),))
    stage(ledger, claimed(ledger, run_id), ok("a"))
    committer = ledger.claim_wave(run_id, 0, 600, OWNER)
    assert committer is not None
    ledger.end_run(run_id, RunState.PARTIAL, "abandoned on request")

    assert not ledger.renew_wave(committer, 600)
    assert recovery.half_committed() == []
    assert not recovery.may_be_swept(run_id)
    recovery.void_leases([OWNER], at_fault=True)
    assert recovery.half_committed() == [(run_id, 0)]
    assert not recovery.may_be_swept(run_id)
    recovery.close_half_committed(run_id, 0)
    assert recovery.half_committed() == []
    assert recovery.may_be_swept(run_id)
