"""Sending one email on a command's behalf: in this process, or through the queue."""

import hashlib
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from admin_tasks.email import deliver
from admin_tasks.message import AttachmentError, compose, read_attachments
from market.errors import QuantsyncError
from pipeline.broker import check_broker
from pipeline.mailing import mailing_of
from pipeline.runtime import Runtime
from storage.errors import UnwritableError

_LOOK_EVERY_S = 0.2
_HINT_AFTER_S = 10.0


class EmailTaskError(QuantsyncError):
    """The worker could not do the task of an email; the message says what it met."""


@contextmanager
def outgoing(reports: Path, key: str, files: Sequence[Path]) -> Iterator[list[str]]:
    """Files as names that may be attached, while the block runs.

    Those outside the reports folder are copied into it, where workers find them.

    Raises:
        AttachmentError: One cannot be read.
        UnwritableError: The reports folder cannot be written.
    """
    folder = reports / "outgoing" / hashlib.sha256(key.encode()).hexdigest()[:16]
    names = []
    try:
        for number, file in enumerate(files):
            path = file.expanduser().absolute()
            if path.resolve().is_relative_to(reports.resolve()):
                names.append(str(path.resolve()))
            else:
                names.append(_copied(path, folder / str(number), reports))
        yield names
    except KeyboardInterrupt:
        raise  # a worker may still send it
    except BaseException:
        _forget(folder)
        raise
    _forget(folder)


def _forget(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()  # if it is empty


def _copied(path: Path, folder: Path, reports: Path) -> str:
    if not path.is_file():
        raise AttachmentError(f"--attach {path}: there is no such file", {"attachment": str(path)})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.name)
    except OSError as error:
        raise UnwritableError(
            f"{path} cannot be copied to {folder}, from where it is attached ({error.strerror})"
        ) from error
    return str((folder / path.name).relative_to(reports))


def send_here(
    runtime: Runtime, words: Mapping[str, Any], say: Callable[[str], None]
) -> dict[str, Any]:
    """Send in this process, waiting between tries, until every recipient's fate is settled.

    Args:
        runtime: The stores.
        words: The arguments of the task ``admin_tasks.send_email``.
        say: Tells a person why it takes so long.

    Returns:
        What the task would return.

    Raises:
        QuantsyncError: It cannot be sent at all: no server configured, a wrong file.
    """
    email = compose(
        words["to"],
        words["subject"],
        words["body"],
        html=words["html"],
        attachments=words["attachments"],
        key=words["key"],
    )
    mailing = mailing_of(runtime)
    request = uuid.uuid4().hex
    while True:
        sent = deliver(email, mailing, request=request)
        if sent.retry_in_s is None:
            return sent.document
        reason = next(each.reason for each in sent.deliveries if each.reason)
        say(f"not sent yet, tried again in {sent.retry_in_s:g} s: {reason}")
        time.sleep(sent.retry_in_s)


def send_through_queue(
    runtime: Runtime, words: Mapping[str, Any], say: Callable[[str], None]
) -> dict[str, Any]:
    """Hand the mail to the admin worker, and wait for what becomes of it.

    The arguments and results are those of :func:`send_here`.

    Raises:
        BrokerUnreachableError: The broker does not answer; nothing was sent.
        EmailTaskError: The worker cannot send it.
    """
    # What is wrong with it is told here, and not in some worker's log.
    email = compose(
        words["to"],
        words["subject"],
        words["body"],
        html=words["html"],
        attachments=words["attachments"],
        key=words["key"],
    )
    read_attachments(email.attachments, runtime.settings.reports_path)
    check_broker()
    from pipeline.app import app  # noqa: PLC0415

    result = app.send_task("admin_tasks.send_email", kwargs=dict(words))
    began = time.monotonic()
    while not result.ready():
        if result.state == "PENDING" and time.monotonic() - began > _HINT_AFTER_S:
            say("no worker has taken it yet: does one consume email_queues? (`make worker-admin`)")
        if result.state == "RETRY":
            say("not sent yet, the worker tries again: `quantsync emails` says why")
        time.sleep(_LOOK_EVERY_S)
    if not result.successful():
        error = result.result
        if isinstance(error, QuantsyncError):
            raise error
        raise EmailTaskError(f"the worker could not send the email: {error}; see its log")
    document: dict[str, Any] = result.result
    return document
