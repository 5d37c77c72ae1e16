"""Handing work to the queues for a request: once, also where the request is repeated."""

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Header

from pipeline.asking import check_means, enqueue, is_recorded, read_task
from pipeline.plans import plan_run
from pipeline.request import Request as RunRequest
from pipeline.runtime import Runtime
from storage.api_requests import ApiRequests, Known
from storage.run_records import new_run_id
from web.keys import Caller
from web.problems import ConflictError, UnprocessableError

_LOST_AFTER_S = 60.0
"""What a request became is recorded within seconds, or its process died before."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="Names the request: repeated within a week, it is answered by what it became.",
        examples=["8d6f2c1e-nightly"],
    ),
]


@dataclass(frozen=True, slots=True)
class Handed:
    """What a request became: the id of a run or a task."""

    subject: str
    repeated: bool


@dataclass(frozen=True, slots=True)
class Naming:
    """The name of a request, and what it asks for.

    Attributes:
        name: Its ``Idempotency-Key``; None: it has none, and is done each time.
    """

    requests: ApiRequests
    key_id: str
    name: str | None
    content: str

    def claim(self, subject: str) -> Known | None:
        """Take the name for what the request is to become; the one that has it.

        Raises:
            UnprocessableError: Another request has it.
            StorageError: The database cannot be used.
        """
        if self.name is None:
            return None
        known = self.requests.claim(self.key_id, self.name, self.content, subject)
        if known is not None and known.content != self.content:
            raise UnprocessableError(
                f"Idempotency-Key {self.name!r} was used for another request: give this one a name "
                "of its own",
                {"field": "header.Idempotency-Key"},
            )
        return known

    def give_up(self, subject: str) -> None:
        """Free the name: the request came to nothing, and may be repeated."""
        if self.name is not None:
            self.requests.give_up(self.key_id, self.name, subject)


def naming(
    runtime: Runtime, caller: Caller, name: str | None, asked: Mapping[str, object]
) -> Naming:
    """The name of a request by its caller, with what it asks for."""
    told = json.dumps(dict(asked), sort_keys=True, default=str)
    content = hashlib.sha256(told.encode()).hexdigest()
    return Naming(ApiRequests(runtime.database), caller.name, name, content)


def hand_out_run(runtime: Runtime, request: RunRequest, named: Naming) -> Handed:
    """Plan a run, record it and hand it to the broker; in a thread.

    Raises:
        UsageError: It cannot be meant.
        ConflictError: The request is being done this very moment.
        QuantsyncError: A store or the broker is away; the request may be repeated.
    """
    run_id = new_run_id()
    known = named.claim(run_id)
    if known is not None:
        if is_recorded(runtime, known.subject):
            return Handed(known.subject, repeated=True)
        _check_lost(known)
        named.give_up(known.subject)
        if named.claim(run_id) is not None:
            raise _under_way()
    try:
        check_means()
        plan = replace(plan_run(runtime, request), run_id=run_id)
        enqueue(runtime, plan)
    except BaseException:
        named.give_up(run_id)
        raise
    return Handed(run_id, repeated=False)


def hand_out_task(send: Callable[[str], str], named: Naming) -> Handed:
    """Hand a task to the broker, which may be done twice without harm; in a thread.

    Args:
        send: Sends the task under an id.
        named: The request's name.

    Raises:
        QuantsyncError: A store or the broker is away; the request may be repeated.
    """
    task_id = str(uuid.uuid4())
    known = named.claim(task_id)
    if known is not None:
        if known.age_s > _LOST_AFTER_S and read_task(known.subject).state == "PENDING":
            send(known.subject)  # it may never have left
        return Handed(known.subject, repeated=True)
    try:
        send(task_id)
    except BaseException:
        named.give_up(task_id)
        raise
    return Handed(task_id, repeated=False)


def _check_lost(known: Known) -> None:
    if known.age_s < _LOST_AFTER_S:
        raise _under_way()


def _under_way() -> ConflictError:
    return ConflictError(
        "the same request is being done this very moment: ask again in some seconds",
        {"field": "header.Idempotency-Key", "retry_after_s": 5},
    )
