"""What is handed to the broker: chords of waves in the ordinary course, single tasks to recover."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

from celery import chord
from celery.signals import after_task_publish
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from pipeline import queues
from pipeline.app import app
from pipeline.broker import BrokerUnreachableError
from pipeline.runtime import current_runtime
from storage.killpoints import KillPoint, reach


def publish_wave(run_id: str, wave: int) -> None:
    """Hand a wave's chord to the broker; batches that have ended are left out.

    Raises:
        BrokerUnreachableError: The broker or the result backend does not take it.
    """
    from pipeline.tasks import commit_wave, fetch_batch  # noqa: PLC0415  (tasks publish, too)

    runtime = current_runtime()
    queue, lane, numbers = runtime.ledger.batch_numbers(run_id, wave)
    options = _options(lane, queue)
    body = commit_wave.si(run_id, wave).set(**options)
    with _broker_needed(f"wave {wave} of run {run_id}"):
        _declare(queue)
        if numbers:
            header = [fetch_batch.si(run_id, number).set(**options) for number in numbers]
            chord(header)(body)
        else:
            body.apply_async()
    runtime.ledger.mark_published(run_id, wave)


def publish_batches(run_id: str, wave: int, queue: str, numbers: Sequence[int]) -> None:
    """Hand batches to the broker once more, outside any chord.

    Each is followed by the wave's commit, which does nothing while another batch is open.

    Raises:
        BrokerUnreachableError: The broker does not take them.
    """
    from pipeline.tasks import commit_wave, fetch_batch  # noqa: PLC0415

    runtime = current_runtime()
    options = _options(runtime.ledger.status(run_id).lane, queue)
    with _broker_needed(f"batches of run {run_id}"):
        _declare(queue)
        for number in numbers:
            fetch_batch.si(run_id, number).apply_async(
                link=commit_wave.si(run_id, wave).set(**options), retry_policy=_BRIEFLY, **options
            )
    runtime.recovery.mark_published(run_id, numbers)


def ask_for_report(session: date) -> None:
    """Have the report of a session made and mailed.

    Raises:
        BrokerUnreachableError: The broker does not take the request.
    """
    with _broker_needed(f"the report of {session}"):
        _declare(queues.DEFAULT_QUEUE)
        app.send_task(
            "admin_tasks.send_report",
            kwargs={"session": session.isoformat()},
            queue=queues.DEFAULT_QUEUE,
            priority=queues.broker_priority(queues.LIVE_PRIORITY, app.conf.broker_url),
            retry_policy=_BRIEFLY,
        )


def waiting_messages(queue: str) -> int:
    """How many messages of a queue no worker has taken.

    Raises:
        BrokerUnreachableError: The broker does not say.
    """
    with _broker_needed(f"the length of {queue}"), _connected() as connection:
        bound = app.amqp.queues[queue](connection.default_channel)
        bound.declare()
        return int(bound.queue_declare().message_count)


def queue_depths() -> dict[str, int]:
    """How many messages of each queue no worker has taken.

    Raises:
        BrokerUnreachableError: The broker does not say.
    """
    with _broker_needed("the lengths of the queues"), _connected() as connection:
        depths = {}
        for name in queues.ALL_QUEUES:
            bound = app.amqp.queues[name](connection.default_channel)
            bound.declare()
            depths[name] = int(bound.queue_declare().message_count)
    return depths


def forget_messages(queue_names: Sequence[str]) -> None:
    """Drop the messages of queues: only for who publishes their work anew.

    Raises:
        BrokerUnreachableError: The broker does not answer.
    """
    with _broker_needed("the queues"), _connected() as connection:
        for name in queue_names:
            bound = app.amqp.queues[name](connection.default_channel)
            bound.declare()
            bound.purge()


_BRIEFLY = {"max_retries": 3, "interval_start": 0.2, "interval_step": 0.3, "interval_max": 1}
"""The reconciler comes again: it need not wait for the broker."""


def _options(lane: str, queue: str) -> dict[str, Any]:
    priority = queues.LIVE_PRIORITY if lane == "live" else queues.BULK_PRIORITY
    return {
        "queue": queue,
        "priority": queues.broker_priority(priority, app.conf.broker_url),
    }


def _declare(name: str) -> None:
    """Make sure that a queue is bound: a Redis that lost its data would drop what is published."""
    if not _declared_where_connected(name):
        with _connected() as connection:
            app.amqp.queues[name](connection.default_channel).declare()


def _declared_where_connected(name: str) -> bool:
    """Bind a queue over the connection that publishes; False where there is none that works.

    A new connection takes longer than the messages of a usual wave. With RabbitMQ, a refusal would
    close the channel that the messages are to take, so it gets one of its own.
    """
    if not app.conf.broker_url.startswith("redis"):
        return False
    with app.producer_pool.acquire(block=True) as producer:
        if not producer.connection.connected:
            return False
        try:
            app.amqp.queues[name](producer.channel).declare()
        except RedisConnectionError:
            return False  # a new connection says what is wrong, if anything still is
        return True


@contextmanager
def _connected() -> Iterator[Any]:
    """A connection that is there within seconds: left to itself, kombu would try for ever."""
    with app.connection_for_write(connect_timeout=3) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0.2, timeout=5)
        yield connection


@contextmanager
def _broker_needed(what: str) -> Iterator[None]:
    transport = app.connection_for_write()
    refusals: tuple[type[Exception], ...] = (
        OperationalError,
        RedisError,
        OSError,
        *transport.connection_errors,
        *transport.channel_errors,
    )
    try:
        yield
    except refusals as error:
        raise BrokerUnreachableError(
            f"{what} could not be handed to the broker, which does not take it ({error})",
        ) from error


@after_task_publish.connect
def _message_has_left(**_signal: object) -> None:
    reach(KillPoint.MESSAGE_PUBLISHED)
