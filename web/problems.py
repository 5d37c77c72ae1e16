"""What is wrong, as RFC 9457 problem documents: each names the thing, the field and the remedy."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from market.errors import ConfigurationError, QuantsyncError, UsageError
from pipeline.asking import RunEndedError
from pipeline.broker import BrokerUnreachableError
from pipeline.kline_query import NothingHeldError
from storage.errors import NoSuchRunError, StorageError
from storage.kline_quarantine import NoSuchEntryError
from web.remedies import any_remedy, remedy_of, told_remedy

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_S = 5


class Fault(BaseModel):
    """One field that is wrong."""

    field: str = Field(description="Where: `query.period`, `body.symbols.0`, `path.symbol`.")
    message: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:quantsync:problem:invalid-symbol",
                    "title": "Unprocessable Content",
                    "status": 422,
                    "detail": "'60051' is no symbol: write it as 600519 or 600519.SH",
                    "instance": "/api/v1/klines/60051",
                    "field": "path.symbol",
                    "remedy": "write it as 600519 or 600519.SH",
                }
            ]
        }
    )

    type: str = Field(description="Names the kind of problem; stable.")
    title: str = Field(description="Of the status.")
    status: int
    detail: str = Field(description="One sentence: what was wrong, for which thing, what to do.")
    instance: str = Field(description="The path that was asked.")
    field: str | None = Field(None, description="The field at fault, if it is one.")
    remedy: str | None = Field(None, description="What to do about it.")
    errors: list[Fault] | None = Field(None, description="All fields at fault.")
    context: dict[str, Any] | None = Field(None, description="Identifiers, for machines.")


class ProblemError(QuantsyncError):
    """A request that is answered by a problem document.

    ``context`` may have ``field`` and ``remedy``.
    """

    status = 400
    kind = "bad-request"
    headers: Mapping[str, str] = {}


class UnauthorizedError(ProblemError):
    """Nobody says who asks, or the key opens nothing."""

    status, kind = 401, "unauthorized"
    headers = {"WWW-Authenticate": 'Bearer realm="quantsync"'}  # noqa: RUF012


class ForbiddenError(ProblemError):
    """Who asks may not do this."""

    status, kind = 403, "forbidden"


class NotHeldError(ProblemError):
    """What is asked for is not held, or does not exist."""

    status, kind = 404, "not-found"


class NotAcceptableError(ProblemError):
    """No representation that is wanted can be given."""

    status, kind = 406, "not-acceptable"


class ConflictError(ProblemError):
    """It contradicts what was asked for before."""

    status, kind = 409, "conflict"


class UnprocessableError(ProblemError):
    """A field says what cannot be meant."""

    status, kind = 422, "invalid"


class TooManyError(ProblemError):
    """More requests than the key is permitted."""

    status, kind = 429, "too-many-requests"


class BusyError(ProblemError):
    """It cannot be done now; asking again may help."""

    status, kind = 503, "busy"


_KINDS = {
    HTTPStatus.BAD_REQUEST: ("bad-request", "send one JSON document in UTF-8"),
    HTTPStatus.NOT_FOUND: ("not-found", "/api/v1/openapi.json lists what there is"),
    HTTPStatus.METHOD_NOT_ALLOWED: ("method-not-allowed", "use a method that `Allow` names"),
}


def document(
    status: int,
    kind: str,
    detail: str,
    path: str,
    *,
    context: Mapping[str, Any] | None = None,
    errors: Sequence[Fault] = (),
) -> dict[str, Any]:
    """A problem document as JSON values; ``field`` and ``remedy`` are taken out of the context."""
    rest = dict(context or {})
    field, remedy = rest.pop("field", None), rest.pop("remedy", None)
    retry = rest.pop("retry_after_s", None)
    if remedy is None:
        remedy = told_remedy(detail) or any_remedy(status, path)
    found = Problem(
        type=f"urn:quantsync:problem:{kind}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=path,
        field=field,
        remedy=remedy,
        errors=list(errors) or None,
        context=rest | ({"retry_after_s": retry} if retry is not None else {}) or None,
    )
    return found.model_dump(mode="json", exclude_none=True)


def answer(
    status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """A problem document as an answer; 503 and 429 say when to ask again."""
    all_headers = {"Cache-Control": "no-store", **(headers or {})}
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        seconds = (body.get("context") or {}).get("retry_after_s", RETRY_S)
        all_headers["Retry-After"] = str(max(1, round(float(seconds))))
        all_headers["Connection"] = "close"  # who is to come later must not keep others out
    return JSONResponse(body, status, all_headers, media_type=MEDIA_TYPE)


_NOT_HELD = (NothingHeldError, NoSuchRunError, NoSuchEntryError)


def status_of(error: QuantsyncError) -> int:
    """The status of the answer to a deliberate error."""
    if isinstance(error, ProblemError):
        return error.status
    if isinstance(error, _NOT_HELD):
        return 404
    if isinstance(error, RunEndedError):
        return 409
    if isinstance(error, ConfigurationError | BrokerUnreachableError | StorageError):
        return 503
    return 422


def problem_of(error: QuantsyncError, path: str) -> JSONResponse:
    """The answer to a deliberate error."""
    status = status_of(error)
    kind = error.kind if isinstance(error, ProblemError) else _kind(error)
    headers = error.headers if isinstance(error, ProblemError) else {}
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("%s: %s", path, error.message)
    body = document(status, kind, error.message, path, context=error.context)
    return answer(status, body, headers)


def _kind(error: QuantsyncError) -> str:
    """``DatabaseUnreachableError`` → ``database-unreachable``."""
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).removeprefix("-")


def unforeseen(path: str) -> JSONResponse:
    """The answer where the application failed; whoever catches that logs it."""
    detail = "the server met something that nobody foresaw: its log has the traceback"
    return answer(500, document(500, "unforeseen", detail, path))


def install(app: FastAPI) -> None:
    """Answer every error of an application by a problem document."""

    @app.exception_handler(QuantsyncError)
    async def _deliberate(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, QuantsyncError)
        return problem_of(error, request.url.path)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        faults = [_fault(each) for each in error.errors()]
        said = "; ".join(f"{each.field}: {each.message}" for each in faults)
        first = error.errors()[0]  # there is one, or nothing would have been raised
        context = {"field": faults[0].field, "remedy": remedy_of(first)}
        body = document(422, "invalid", said, request.url.path, context=context, errors=faults)
        return answer(422, body)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        kind, remedy = _KINDS.get(status, (status.phrase.lower().replace(" ", "-"), None))
        detail = f"{request.method} {request.url.path}: {error.detail}"
        body = document(status, kind, detail, request.url.path, context={"remedy": remedy})
        return answer(status, body, error.headers)


def _fault(error: Mapping[str, Any]) -> Fault:
    is_json = error["type"] == "json_invalid"  # it says at which character, which is no field
    where = ".".join(str(part) for part in error["loc"][: 1 if is_json else None])
    said = str(error["msg"]).removeprefix("Value error, ")
    if is_json:
        return Fault(field=where, message=f"it is no JSON ({error['ctx']['error']})")
    return Fault(field=where, message=said[:1].lower() + said[1:])


@contextmanager
def at_field(field: str) -> Iterator[None]:
    """Let what is found wrong within the block name its field, if it does not."""
    try:
        yield
    except UsageError as error:
        raise type(error)(error.message, {"field": field, **error.context}) from None


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of the problems that a route may answer with."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }
