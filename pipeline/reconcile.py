"""What heals a run: the ledger is read, and whatever nobody works on is handed out again.

Celery delivers hints and may lose them all; the ledger loses nothing. A reconciler runs as a beat
task, at the start of every worker, and as a thread beside every command that waits for a run, so it
works with the broker down, too. Any number may run at once: claims are compare-and-swap, so handing
out twice costs a look into the ledger and no more.

==============================================  ================================================
what it finds                                   what it does
==============================================  ================================================
a lease whose process is gone, or that ran out  gives it back
a batch that so killed its workers too often    ends it, with the reason
a run past its deadline                         ends its open batches, commits the rest: partial
a wave whose batches have all ended             commits it, here
a wave that was never published                 publishes its chord
a batch that no message stands for              publishes it alone, followed by the commit
a slot that nobody served                       begins one run for all that were missed
a run that ended in the middle of a commit      writes the bars to the store that lacks them
staged files of a run that has ended            removes them
==============================================  ================================================
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Protocol

from market.errors import QuantsyncError
from pipeline.broker import BrokerUnreachableError
from pipeline.committing import commit_or_postpone, settle_half_commit
from pipeline.queues import QUANT_QUEUES
from pipeline.runtime import Runtime
from pipeline.ticks import begin_missed
from pipeline.voiding import void_leases_of_the_dead
from storage.errors import StorageError
from storage.recovery import OpenBatch
from storage.run_records import RunState

log = logging.getLogger(__name__)

_IDLE_SHARE = 1 / 6
"""What the ordinary course would do within moments is left alone for this part of a period."""
_LOST_AFTER_S = 900.0
"""A batch that waits longer than this is published again even if its queue is not empty."""


class Broker(Protocol):
    """Where messages go; the module :mod:`pipeline.publishing`."""

    def publish_wave(self, run_id: str, wave: int) -> None:
        """Hand out a wave's chord."""
        ...

    def publish_batches(self, run_id: str, wave: int, queue: str, numbers: Sequence[int]) -> None:
        """Hand out batches, each followed by the wave's commit."""
        ...

    def waiting_messages(self, queue: str) -> int:
        """How many messages no worker has taken."""
        ...

    def forget_messages(self, queue_names: Sequence[str]) -> None:
        """Drop all messages of queues."""
        ...


def reconcile(runtime: Runtime, broker: Broker, *, idle_s: float | None = None) -> list[str]:
    """Heal whatever is stuck, once.

    Args:
        runtime: The stores.
        broker: Where messages go.
        idle_s: What the ordinary course would do within this time is left to it; None: a part of
            the period.

    Returns:
        What was done, a sentence each; empty if all was well.

    Raises:
        StorageError: The database cannot be used; the next round tries again.
    """
    if idle_s is None:
        idle_s = runtime.settings.reconcile_every_s * _IDLE_SHARE
    did = mend(runtime)
    for run_id in runtime.recovery.running():
        try:
            did += _heal(runtime, broker, run_id, idle_s)
        except BrokerUnreachableError as error:
            log.warning("run %s waits for the broker: %s", run_id, error)
        except Exception:
            # Whatever is wrong with one run must not keep the others from being healed.
            log.exception("run %s could not be looked after; the next round tries again", run_id)
    did += begin_missed(runtime, broker.publish_wave)
    runtime.recovery.note_reconciled()
    for sentence in did:
        log.warning("reconciled: %s", sentence)
    return did


def mend(runtime: Runtime) -> list[str]:
    """What can be healed without a broker and without a run that goes on; a sentence each.

    Raises:
        StorageError: A store cannot be used; mending again goes on where this stopped.
    """
    did = list(_give_back_leases(runtime))
    for run_id, wave in runtime.recovery.half_committed():
        try:
            settle_half_commit(runtime, run_id, wave)
        except StorageError as error:
            log.warning("what run %s left half committed waits: %s", run_id, error)
        else:
            did.append(f"what run {run_id} left half committed is in both stores now")
    return did + list(_sweep_staging(runtime))


def _give_back_leases(runtime: Runtime) -> Iterator[str]:
    recovery = runtime.recovery
    given = void_leases_of_the_dead(recovery)
    if given:
        yield f"{given} leases of processes that are gone were given back"
    for run_id, number in recovery.void_expired():
        yield f"the lease on batch {number} of run {run_id} ran out and was given back"
    for run_id, number in recovery.fail_exhausted(runtime.settings.batch_max_attempts):
        yield f"batch {number} of run {run_id} is given up: its workers died on it again and again"


def _heal(runtime: Runtime, broker: Broker, run_id: str, idle_s: float) -> Iterator[str]:
    recovery = runtime.recovery
    overdue = recovery.overdue(run_id)
    if overdue:
        reason = "the run's deadline passed before it was fetched"
        given_up = recovery.give_up_open(run_id, reason)
        yield f"run {run_id} is past its deadline: {given_up} batches are given up"
    for wave in recovery.waves_to_commit(run_id, 0.0 if overdue else idle_s):
        done = commit_or_postpone(runtime, run_id, wave, broker.publish_wave)
        if "bars_written" in done:
            yield f"wave {wave} of run {run_id} was committed: {done['bars_written']} bars"
    if recovery.overdue(run_id, by_s=runtime.settings.reconcile_every_s):
        runtime.ledger.end_run(
            run_id, RunState.PARTIAL, "the deadline passed before all of it was committed"
        )
        yield f"run {run_id} ended as partial: its deadline passed"
        return
    following = recovery.wave_to_publish(run_id, idle_s)
    if following is not None:
        broker.publish_wave(run_id, following)
        yield f"wave {following} of run {run_id} was published"
    yield from _hand_out(runtime, broker, run_id, idle_s)


def _hand_out(runtime: Runtime, broker: Broker, run_id: str, idle_s: float) -> Iterator[str]:
    """Publish the batches of a run that no message stands for."""
    everywhere = runtime.recovery.open_batches()
    idle: dict[str, bool] = {}
    lost = []
    for batch in everywhere:
        if batch.run_id != run_id or batch.left_s is not None:
            continue
        if batch.published_s is not None and batch.queue not in idle:
            idle[batch.queue] = not broker.waiting_messages(batch.queue)
        if _is_lost(batch, idle_s, queue_is_empty=idle.get(batch.queue, False)):
            lost.append(batch)
    suspect_tried = any(batch.suspect and batch.left_s is not None for batch in everywhere)
    suspects = [] if suspect_tried else [batch for batch in lost if batch.suspect][:1]
    again = sorted([b for b in lost if not b.suspect] + suspects, key=lambda b: b.batch_no)
    for (wave, queue), group in groupby(again, key=lambda b: (b.wave, b.queue)):
        numbers = [batch.batch_no for batch in group]
        broker.publish_batches(run_id, wave, queue, numbers)
        yield f"batches {', '.join(map(str, numbers))} of run {run_id} were handed out again"


def _is_lost(batch: OpenBatch, idle_s: float, *, queue_is_empty: bool) -> bool:
    """Whether no message can stand for a batch: its queue is empty, and nobody has claimed it.

    A worker takes no more messages than it can begin, so what it has taken is claimed at once; the
    messages that a dead worker had taken are hidden from all others for half an hour.
    """
    if batch.published_s is None:
        return True
    return (queue_is_empty and batch.published_s > idle_s) or batch.published_s > _LOST_AFTER_S


def _sweep_staging(runtime: Runtime) -> Iterator[str]:
    """Remove staged files by what the ledger says of their run, and never by their age."""
    running = set(runtime.recovery.running())
    for run_id in runtime.staging.run_ids():
        if run_id not in running and runtime.recovery.may_be_swept(run_id):
            runtime.staging.discard_run(run_id)
            yield f"staged files of run {run_id}, which has ended, were removed"


def resume_runs(runtime: Runtime, broker: Broker) -> list[str]:
    """Hand out again all that unfinished runs lack, for the owner of a home's stack at its start.

    No worker is alive then: every lease is void, and what the queues hold is published anew.

    Returns:
        The runs that go on.
    """
    runtime.recovery.void_leases(at_fault=False)
    runs = runtime.recovery.running()
    if not runs:
        return []
    broker.forget_messages(QUANT_QUEUES)
    for run_id in runs:
        for wave in runtime.recovery.published_waves(run_id):
            broker.publish_wave(run_id, wave)
    reconcile(runtime, broker, idle_s=0.0)
    for run_id in runs:
        log.info("run %s goes on", run_id)
    return runs


class ReconcilerThread:
    """Reconciles every so often beside a command that waits, and at once when woken.

    Args:
        runtime: The stores.
        broker: Where messages go.
    """

    def __init__(self, runtime: Runtime, broker: Broker) -> None:
        self._runtime, self._broker = runtime, broker
        self._wake = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="quantsync-reconciler", daemon=True)

    def start(self) -> "ReconcilerThread":
        """Begin; the first round comes after one period."""
        self._thread.start()
        return self

    def wake(self) -> None:
        """Reconcile now: something has just been lost."""
        self._wake.set()

    def stop(self) -> None:
        """End it; a commit under way is waited for a little, then left to the next start."""
        self._over.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            self._wake.wait(self._runtime.settings.reconcile_every_s)
            self._wake.clear()
            if self._over.is_set():
                return
            try:
                reconcile(self._runtime, self._broker)
            except QuantsyncError as error:
                log.warning("this round of reconciling ends early: %s", error)
            except Exception:
                # The thread must live: the next round may heal what this one could not.
                log.exception("a round of reconciling failed in a way nobody foresaw")
