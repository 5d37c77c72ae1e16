"""What an Eastmoney body says, told apart from what it fails to say.

Eastmoney answers HTTP 200 to almost everything. Recorded cases: ``rc`` 100/102 with ``data: null``
(no such code); ``data`` without ``klines``; ``dktotal: 0`` with ``klines: []`` (throttled hosts);
``klines: []`` with a positive ``dktotal`` (an honest empty window); a body cut in the middle.
"""

import json
from dataclasses import dataclass
from typing import Any

from ingest.source import (
    EmptySuccessError,
    MalformedBodyError,
    SchemaDriftError,
    SourceError,
    TruncatedListError,
    UnknownSymbolError,
)
from ingest.wire import Exchange

NO_ROWS = 102
"""``rc`` of a list that has no rows at all, and of a code that does not exist."""
_NO_SUCH_CODE = (100, NO_ROWS)


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, for messages: ``daily klines of 600519.SH``."""

    what: str
    context: dict[str, object]


def data_of(question: Question, exchange: Exchange) -> dict[str, Any]:
    """The ``data`` object of a body.

    Raises:
        MalformedBodyError: Cut, or no JSON object.
        UnknownSymbolError: The upstream knows no such code.
        EmptySuccessError: Success that carries nothing.
    """
    try:
        body = json.loads(exchange.body)
    except ValueError as error:
        raise MalformedBodyError(
            f"the answer for {question.what} is cut or is no JSON ({len(exchange.body)} bytes)",
            question.context,
        ) from error
    data = body.get("data") if isinstance(body, dict) else None
    if isinstance(data, dict):
        return data
    if isinstance(body, dict) and body.get("rc") in _NO_SUCH_CODE:
        raise UnknownSymbolError(
            f"eastmoney knows no such code: {question.what} (rc={body['rc']})",
            {**question.context, "rc": body["rc"]},
        )
    raise EmptySuccessError(
        f"eastmoney answered {question.what} with success and no data", question.context
    )


def list_total(question: Question, exchange: Exchange) -> int:
    """How many rows the upstream says a whole list has.

    Raises:
        SchemaDriftError: The body names no total.
        SourceError: As :func:`data_of`.
    """
    total = data_of(question, exchange).get("total")
    if not isinstance(total, int):
        raise SchemaDriftError(f"{question.what} comes without a total", question.context)
    return total


def history_of_empty(question: Question, exchange: Exchange) -> int | None:
    """How many bars the upstream holds of a series of which it gave none for the window.

    None where it does not say (1m). Anything but an honest empty window raises.

    Raises:
        EmptySuccessError: Empty success: no bars and no history.
        MalformedBodyError: Neither bars nor rows.
        TruncatedListError: An empty page of a list.
        SourceError: As :func:`data_of`.
    """
    data = data_of(question, exchange)
    if "diff" in data:
        raise TruncatedListError(
            f"{question.what} came back as an empty page where the upstream says "
            f"{data.get('total')} rows: the list was not taken",
            question.context,
        )
    if data.get("trends") == []:
        return None
    if data.get("klines") != []:
        raise MalformedBodyError(f"the answer for {question.what} has no bars", question.context)
    history = data.get("dktotal")
    if not history:
        raise EmptySuccessError(
            f"eastmoney answered {question.what} with success and no history at all, as it does "
            "when throttling",
            question.context,
        )
    return int(history)


def diagnose(question: Question, exchanges: list[Exchange], error: Exception) -> int | None:
    """Say what really happened when AKShare tripped over an answer.

    Returns:
        The history behind an honest empty window, which some of AKShare's functions cannot express.

    Raises:
        SourceError: What the body shows; schema drift if it shows nothing wrong.
    """
    for page, exchange in enumerate(exchanges, 1):
        try:
            data = data_of(question, exchange)
        except UnknownSymbolError as unknown:
            if page == 1:
                raise
            # AKShare counts pages by the rows of the first: a short one sends it past the end.
            raise TruncatedListError(
                f"{question.what} ended before page {page}: an earlier page was short, the list "
                "was not taken",
                question.context,
            ) from unknown
        if not (data.get("klines") or data.get("trends") or data.get("diff")):
            return history_of_empty(question, exchange)
    raise _drift(question, error) from error


def _drift(question: Question, error: Exception) -> SourceError:
    return SchemaDriftError(
        f"AKShare cannot read the answer for {question.what} ({type(error).__name__}: {error}): "
        "it or the upstream changed",
        question.context,
    )
