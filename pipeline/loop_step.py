"""The step by which a worker's main loop shows that it turns."""

from typing import Any

from celery import bootsteps

from pipeline.pulse import loop_pulse, loop_rests


class LoopPulse(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
    """Lets the worker's main loop show a pulse while it is connected.

    A worker whose loop stands still takes no tasks, though those it has may go on. While it waits
    for its broker the loop rests, and that is no fault of the worker's.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """Begin, at every new connection."""
        loop_pulse()
        consumer.timer.call_repeatedly(1.0, loop_pulse)

    def stop(self, consumer: Any) -> None:
        """The connection is lost, or the worker stops."""
        del consumer
        loop_rests()
