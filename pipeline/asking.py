"""What others may ask of this installation besides the command line: runs, reports, emails.

Everything is handed to the broker and followed in the ledger; nothing here waits for it to be done.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from admin_tasks.message import read_attachments
from market.errors import UsageError
from pipeline.broker import BrokerUnreachableError, check_broker
from pipeline.emailing import composed
from pipeline.readiness import check_results
from pipeline.reconcile import mend
from pipeline.runs import begin_run
from pipeline.runtime import Runtime
from storage.errors import NoSuchRunError
from storage.run_records import RunPlan, RunState, RunStatus


@dataclass(frozen=True, slots=True)
class TaskState:
    """How a Celery task stands.

    Attributes:
        state: ``PENDING`` (or not known, or forgotten after an hour), ``STARTED``, ``SUCCESS``,
            ``FAILURE``, ``RETRY``, ``REVOKED``.
        result: What it returned.
        error: Why it failed.
    """

    task_id: str
    state: str
    result: Any = None
    error: str | None = None


def check_means() -> None:
    """Make sure that what is to be handed out can be, before anything is recorded.

    Raises:
        BrokerUnreachableError: The broker, or the Redis that keeps results, does not answer.
    """
    from pipeline.runtime import current_runtime  # noqa: PLC0415  (this process's settings)

    check_broker()
    check_results(current_runtime().settings)


def enqueue(runtime: Runtime, plan: RunPlan) -> None:
    """Record a run that is planned, and hand it to the broker.

    Raises:
        QuantsyncError: The broker refused; the run stands in the ledger as failed, with the reason.
    """
    from pipeline.publishing import publish_wave  # noqa: PLC0415  (the app: after the settings)

    begin_run(runtime, plan, publish_wave)


def is_recorded(runtime: Runtime, run_id: str) -> bool:
    """Whether the ledger has a run.

    Raises:
        StorageError: The database cannot be used.
    """
    try:
        runtime.ledger.status(run_id)
    except NoSuchRunError:
        return False
    return True


class RunEndedError(UsageError):
    """A run that has ended can neither be finished nor abandoned."""


def check_running(run: RunStatus) -> None:
    """Refuse a run that has ended.

    Raises:
        RunEndedError: It has.
    """
    if run.state.is_end:
        raise RunEndedError(
            f"run {run.run_id} has ended as {run.state}: there is nothing to repair; "
            "`quantsync sync` fetches what it did not",
            {"run_id": run.run_id},
        )


def abandon(runtime: Runtime, run_id: str) -> tuple[RunStatus, list[str]]:
    """End a run at once: what it has committed stays, the rest is dropped.

    Returns:
        The run as it ended, and what was mended of the stores on the way.

    Raises:
        NoSuchRunError: The ledger has no such run.
        RunEndedError: It has ended.
        StorageError: A store cannot be used.
    """
    run = runtime.ledger.status(run_id)
    check_running(run)
    state = RunState.PARTIAL if run.waves_committed > 0 else RunState.FAILED
    runtime.ledger.end_run(run_id, state, "abandoned on request")
    said = mend(runtime)
    return runtime.ledger.status(run_id), said


def ask_for_email(runtime: Runtime, words: Mapping[str, Any], task_id: str | None = None) -> str:
    """Hand an email to the admin worker.

    What is wrong with it is told here, and not in some worker's log.

    Args:
        runtime: The stores.
        words: The arguments of the task ``admin_tasks.send_email``.
        task_id: The task's; None: a new one.

    Returns:
        The task's id.

    Raises:
        UsageError: It cannot be meant.
        BrokerUnreachableError: The broker does not answer; nothing was sent.
    """
    email = composed(words)
    read_attachments(email.attachments, runtime.settings.reports_path)
    return _send("admin_tasks.send_email", dict(words), task_id)


def ask_for_report(user_id: str, session: date | None, task_id: str | None = None) -> str:
    """Have the report of a session (None: the latest settled one) made; the task's id.

    Raises:
        BrokerUnreachableError: The broker does not answer.
    """
    told = None if session is None else session.isoformat()
    words = {"user_id": user_id, "session": told}
    return _send("admin_tasks.generate_report", words, task_id)


def read_task(task_id: str) -> TaskState:
    """How a task stands, by the Redis that keeps results.

    Raises:
        BrokerUnreachableError: It does not answer.
    """
    from pipeline.app import app  # noqa: PLC0415
    from pipeline.runtime import current_runtime  # noqa: PLC0415

    check_results(current_runtime().settings)  # Celery itself would wait for a minute
    found = app.AsyncResult(task_id)
    state = str(found.state)
    if state == "SUCCESS":
        return TaskState(task_id, state, result=found.result)
    if state in ("FAILURE", "RETRY"):
        return TaskState(task_id, state, error=str(found.result))
    return TaskState(task_id, state)


def _send(name: str, words: dict[str, Any], task_id: str | None) -> str:
    from pipeline.app import app  # noqa: PLC0415

    check_broker()
    try:
        sent = app.send_task(name, kwargs=words, task_id=task_id, retry_policy=_BRIEFLY)
    except (OperationalError, RedisError, OSError) as error:
        raise BrokerUnreachableError(
            f"{name} could not be handed to the broker, which does not take it ({error}): ask "
            "again when it is up"
        ) from error
    return str(sent.id)


_BRIEFLY = {"max_retries": 3, "interval_start": 0.2, "interval_step": 0.3, "interval_max": 1}
