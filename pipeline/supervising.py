"""Supervision of the embedded stack: processes kept alive, and what they lose given back."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline import publishing
from pipeline.broker import BrokerUnreachableError
from pipeline.embedded import EmbeddedStack, Exit
from pipeline.reconcile import ReconcilerThread, resume_runs
from pipeline.runtime import Runtime
from storage.errors import StorageError

log = logging.getLogger(__name__)

_TAKE_OVER_S, _LOOK_AGAIN_S = 20.0, 0.3
"""How long a broker whose owner ends is waited for until it is one's own, and how often."""


class Supervision:
    """Looks after a stack that is up.

    Attributes:
        resumed: Runs that an earlier stack left unfinished and that go on.
    """

    def __init__(
        self, stack: EmbeddedStack, runtime: Runtime, reconciler: ReconcilerThread
    ) -> None:
        self.resumed = resume_runs(runtime, publishing) if stack.owned else []
        self._stack, self._runtime, self._reconciler = stack, runtime, reconciler
        self._resume_is_due = False

    def look_after(self) -> None:
        """Restart what exited, and give back what it held. Call it about once a second.

        Raises:
            EmbeddedError: A part of the stack exits again and again.
        """
        exits, taken_over = self._stack.supervise()
        self._resume_is_due = self._resume_is_due or taken_over
        if self._resume_is_due:
            self._resume()
        for gone in exits:
            self._give_back(gone)
        if exits:
            self._reconciler.wake()

    def publish(self, run_id: str, wave: int) -> None:
        """Hand a wave to the broker, also where its owner ends this very moment.

        Raises:
            BrokerUnreachableError: Neither the owner's broker nor one of its own is up in time.
        """
        deadline = time.monotonic() + _TAKE_OVER_S
        while True:
            try:
                publishing.publish_wave(run_id, wave)
            except BrokerUnreachableError:
                if time.monotonic() > deadline:
                    raise
                self.look_after()
                time.sleep(_LOOK_AGAIN_S)
            else:
                return

    def _resume(self) -> None:
        """After a take-over; where a store or the broker is not to be had, at the next look."""
        try:
            resume_runs(self._runtime, publishing)
        except StorageError as error:
            if not error.transient:
                raise
            log.warning("unfinished runs wait to be resumed: %s", error)
        except BrokerUnreachableError as error:
            log.warning("unfinished runs wait to be resumed: %s", error)
        else:
            self._resume_is_due = False

    def _give_back(self, gone: Exit) -> None:
        if gone.identity is None:
            return
        try:
            # Killed by a signal, it may have died of its work; having ended itself, it did not.
            self._runtime.recovery.void_leases([gone.identity], at_fault=gone.code < 0)
        except StorageError as error:
            if not error.transient:
                raise
            # The reconciler, or whoever wants the batch next, sees that the process is gone.


@contextmanager
def supervised(stack: EmbeddedStack, runtime: Runtime) -> Iterator[Supervision]:
    """A supervision whose reconciler works while the block runs."""
    reconciler = ReconcilerThread(runtime, publishing)
    supervision = Supervision(stack, runtime, reconciler)
    reconciler.start()
    try:
        yield supervision
    finally:
        reconciler.stop()
