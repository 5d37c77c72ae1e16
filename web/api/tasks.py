"""Tasks of the admin worker: emails, reports, and how any task stands."""

import uuid
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from admin_tasks.message import InvalidEmailError
from pipeline.asking import TaskState, ask_for_email, ask_for_report, read_task
from pipeline.emailing import composed
from pipeline.gap_runs import settled_if_told
from pipeline.mailing import mail_server
from pipeline.reporting import check_reportable
from pipeline.runtime import Runtime
from web.api.parameters import READ_PROBLEMS, WRITE_PROBLEMS, Day
from web.audit import audited
from web.handing import Handed, IdempotencyKey, hand_out_task, naming
from web.keys import Operator, Reader
from web.problems import UnprocessableError, at_field

router = APIRouter(prefix="/api/v1", tags=["tasks"])

_TASK = "5d5e9a0e-7d1c-4c8e-9d43-3a3f6f7f2b11"


class Task(BaseModel):
    """How a Celery task stands. What is not known, or was forgotten after an hour, is PENDING."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"task_id": _TASK, "state": "SUCCESS", "result": {"verdict": "complete"}},
            ]
        }
    )

    task_id: str
    state: str
    result: Any = None
    error: str | None = None


class Handled(BaseModel):
    """A task that was handed out."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "task_id": _TASK,
                    "task": f"/api/v1/tasks/{_TASK}",
                    "key": "api:desk-2025-12-31",
                    "repeated": False,
                }
            ]
        }
    )

    task_id: str
    task: str
    key: str | None = None
    repeated: bool


class EmailBody(BaseModel):
    """An email."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "to": ["desk@example.com"],
                    "subject": "Report of 2025-12-31",
                    "body": "See the attachment.",
                    "attachments": ["2025-12-31/report.pdf"],
                    "key": "desk-2025-12-31",
                }
            ]
        },
    )

    to: Annotated[list[str], Field(min_length=1, max_length=1000)]
    subject: Annotated[str, Field(max_length=500)]
    body: str
    html: str | None = None
    attachments: Annotated[
        list[str],
        Field(max_length=50, description="Files below the reports folder, and no other."),
    ] = []
    key: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=150,
            description="Names the mail: sent again under it, it goes only to those who have "
            "certainly not had it.",
        ),
    ] = None


class ReportBody(BaseModel):
    """Which session is to be reported."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"session": "2025-12-31"}]}
    )

    session: Annotated[Day | None, Field(description="Default: the latest settled one.")] = None


@router.get("/tasks/{task_id}", summary="How a task stands", responses=READ_PROBLEMS)
async def task(
    request: Request,
    _caller: Reader,
    task_id: Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$", examples=[_TASK])],
) -> Task:
    """`PENDING`, `STARTED`, `SUCCESS`, `FAILURE` or `RETRY`, with what it returned or why not."""
    services = request.app.state.services
    found: TaskState = await services.lookers.run(read_task, task_id)
    return Task(task_id=found.task_id, state=found.state, result=found.result, error=found.error)


@router.post("/emails", status_code=202, summary="Send an email", responses=WRITE_PROBLEMS)
async def emails(
    request: Request,
    response: Response,
    caller: Operator,
    body: EmailBody,
    name: IdempotencyKey = None,
) -> Handled:
    """By the admin worker, once to each recipient; its task says what became of it."""
    services = request.app.state.services
    key = f"api:{body.key or name or uuid.uuid4().hex}"
    words = body.model_dump(mode="json") | {"key": key}
    asked = body.model_dump(mode="json")
    named = naming(services.runtime, caller, name, {"email": asked})
    about = {"to": body.to, "subject": body.subject, "key": key}

    def send(task_id: str) -> str:
        try:
            _check_addresses(services.runtime, words)
            return ask_for_email(services.runtime, words, task_id)
        except InvalidEmailError as error:
            field = f"body.{error.context.get('part', 'body')}"
            raise type(error)(error.message, {**error.context, "field": field}) from None

    async with audited(request, caller, about) as entry:
        handed: Handed = await services.writers.run(hand_out_task, send, named)
        entry.about |= {"task_id": handed.subject, "repeated": handed.repeated}
    return _handled(response, handed, key)


@router.post("/reports", status_code=202, summary="Make a report", responses=WRITE_PROBLEMS)
async def reports(
    request: Request,
    response: Response,
    caller: Operator,
    body: ReportBody,
    name: IdempotencyKey = None,
) -> Handled:
    """By the admin worker; when its task is done, `GET /reports/{session}` has it."""
    services = request.app.state.services
    named = naming(services.runtime, caller, name, {"report": body.session})

    def send(task_id: str) -> str:
        check_session(services.runtime, body.session, "body.session")
        return ask_for_report(f"key {caller.name}", body.session, task_id)

    async with audited(request, caller, {"session": body.session}) as entry:
        handed: Handed = await services.writers.run(hand_out_task, send, named)
        entry.about |= {"task_id": handed.subject, "repeated": handed.repeated}
    return _handled(response, handed, None)


def check_session(runtime: Runtime, session: date | None, field: str) -> None:
    """Refuse what the worker could not report, as far as the market's clock tells.

    Raises:
        UsageError: The day is no session, or one that has not settled.
    """
    if session is None:
        return
    settled = settled_if_told(runtime)
    with at_field(field):
        check_reportable(runtime, session, settled or session)


def _check_addresses(runtime: Runtime, words: Mapping[str, Any]) -> None:
    """Refuse an email that the worker could not send, or not to all.

    Raises:
        UnprocessableError: A text is no address.
        UsageError: The email cannot be meant for another reason.
        ConfigurationError: No mail server is configured.
    """
    for wrong, why in composed(words).refused.items():
        raise UnprocessableError(
            why, {"field": "body.to", "address": wrong, "remedy": "write it as desk@example.com"}
        )
    mail_server(runtime.settings)


def _handled(response: Response, handed: Handed, key: str | None) -> Handled:
    place = f"/api/v1/tasks/{handed.subject}"
    response.headers["Location"] = place
    return Handled(task_id=handed.subject, task=place, key=key, repeated=handed.repeated)
