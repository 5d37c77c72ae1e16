"""Sending one email on a command's behalf: in this process, or through the queue."""

import shlex
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from admin_tasks.email import deliver
from admin_tasks.message import MAX_RECIPIENTS, Email, compose
from market.errors import QuantsyncError
from pipeline.mailing import mailing_of
from pipeline.runtime import Runtime
from storage.email_ledger import EmailLedger
from storage.email_records import OPEN

_LOOK_EVERY_S = 0.2
_HINT_AFTER_S = 10.0


class EmailTaskError(QuantsyncError):
    """The worker could not do the task of an email; the message says what it met."""


def attachable(files: Sequence[Path]) -> list[str]:
    """Files that a person names, as the task takes them: from here, or else from the reports.

    Whether they may be attached is judged where every attachment is: when it is read.
    """
    here = [file.expanduser().absolute() for file in files]
    return [str(path if path.exists() else file) for file, path in zip(files, here, strict=True)]


def unsent(runtime: Runtime, key: str, asked: Sequence[str]) -> list[str]:
    """Who certainly has not had a mail and would be sent it if it is asked for again.

    Args:
        runtime: The stores.
        key: The mail's.
        asked: The recipients, as they were asked for: the ledger may not know the mail yet.
    """
    entries = EmailLedger(runtime.database).entries(key=key, limit=MAX_RECIPIENTS)
    if not entries:
        return list(asked)
    return [each.delivery.recipient for each in entries if each.delivery.state in OPEN]


def interruption(runtime: Runtime, key: str, asked: Sequence[str], words: Sequence[str]) -> str:
    """What is true of a mail whose command was interrupted, and how to go on.

    Args:
        runtime: The stores.
        key: The mail's.
        asked: Its recipients.
        words: The command's.
    """
    if not runtime.settings.is_embedded:
        return (
            f"interrupted: what the worker was handed goes on without this command; `quantsync "
            f"emails` says what becomes of {key}"
        )
    left = unsent(runtime, key, asked)
    if not left:
        return (
            f"interrupted: nobody is left to be sent {key}; `quantsync emails` says what became of "
            "it"
        )
    known = any(word == "--key" or word.startswith("--key=") for word in words)
    again = shlex.join(["quantsync", *words, *([] if known else ["--key", key])])
    return (
        f"interrupted: not sent to {', '.join(left)}, and nothing sends it later by itself. To go "
        f"on: {again}"
    )


def composed(words: Mapping[str, Any]) -> Email:
    """The email that the arguments of the task ``admin_tasks.send_email`` ask for.

    Raises:
        InvalidEmailError: It cannot be meant.
    """
    return compose(
        words["to"],
        words["subject"],
        words["body"],
        html=words["html"],
        attachments=words["attachments"],
        key=words["key"],
    )


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
    email = composed(words)
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
    from pipeline.app import app  # noqa: PLC0415
    from pipeline.asking import ask_for_email  # noqa: PLC0415

    result = app.AsyncResult(ask_for_email(runtime, words))
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
