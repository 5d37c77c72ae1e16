"""Bars."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from market.adjustments import Adjustment, AdjustMethod
from market.bars import Dataset
from market.clock import in_shanghai
from market.errors import UsageError
from market.periods import Period
from pipeline.adjust_reading import check_adjustable
from pipeline.kline_query import KlineQuery, read_subject
from pipeline.kline_reading import read_instant
from storage.aliases import Aliases
from web.api.parameters import LOOK_UP_PROBLEMS, From, SymbolPath, To, window_of
from web.bars import Ask
from web.encoding import MEDIA_TYPES, Form
from web.keys import Reader
from web.problems import NotAcceptableError, UnprocessableError, at_field, responses
from web.shortcut import bars_response, read_tags, words_of

router = APIRouter(prefix="/api/v1", tags=["klines"])

_USUAL, _MOST = 5000, 20_000
_WILDCARDS = {"*/*": Form.JSON, "application/*": Form.JSON, "text/*": Form.CSV}


class Bar(BaseModel):
    """One bar."""

    end_at: datetime
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: int
    amount: float | None
    state: Literal["provisional", "final"]


class Klines(BaseModel):
    """Bars of one symbol or board, ascending."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "symbol": "600519.SH",
                    "period": "daily",
                    "adjust": "qfq",
                    "method": "ratio",
                    "as_of": None,
                    "next": None,
                    "notices": [],
                    "bars": [
                        {
                            "end_at": "2025-12-31T15:00:00+08:00",
                            "open": 1401.0,
                            "high": 1412.5,
                            "low": 1395.2,
                            "close": 1409.8,
                            "volume": 2412300,
                            "amount": 3391284032.0,
                            "state": "final",
                        }
                    ],
                }
            ]
        }
    )

    symbol: str
    period: Period
    adjust: Adjustment
    method: AdjustMethod | None
    as_of: datetime | None
    next: str | None
    notices: list[str]
    bars: list[Bar]


_BINARY = {"schema": {"type": "string", "format": "binary"}}
_CSV = "end_at,open,high,low,close,volume,amount,state\n"
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Klines,
        "description": "Bars, ascending. `next` (and `Link`) continue where there are more.",
        "content": {
            MEDIA_TYPES[Form.CSV]: {"schema": {"type": "string"}, "example": _CSV},
            MEDIA_TYPES[Form.ARROW]: _BINARY,
            MEDIA_TYPES[Form.PARQUET]: _BINARY,
        },
        "headers": {
            "ETag": {"schema": {"type": "string"}, "description": "Of exactly these bytes."},
            "Link": {"schema": {"type": "string"}, "description": 'The next page, `rel="next"`.'},
        },
    },
    304: {"description": "They are as `If-None-Match` says."},
    **LOOK_UP_PROBLEMS,
    **responses(406),
}


@router.get(
    "/klines/{symbol}",
    summary="Bars of a symbol or board",
    response_model=Klines,
    responses=_ANSWERS,
)
async def klines(
    request: Request,
    _caller: Reader,
    symbol: SymbolPath,
    period: Period = Period.DAILY,
    adjust: Annotated[
        Adjustment,
        Query(description="qfq: today's prices stay; hfq: the first ones do."),
    ] = Adjustment.NONE,
    method: Annotated[
        AdjustMethod,
        Query(description="ratio: returns stay true; eastmoney: as Eastmoney shows it."),
    ] = AdjustMethod.RATIO,
    start: From = None,
    end: To = None,
    as_of: Annotated[
        str | None,
        Query(
            pattern=r"^[0-9T:. +-]{10,40}Z?$",
            description="As the bars were known then: an instant, in Shanghai time.",
            examples=["2025-12-31T12:30"],
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=_MOST, description="Bars of a page.")] = _USUAL,
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,11}$", description="`next` of the page before.")
    ] = None,
    form: Annotated[Form | None, Query(alias="format", description="Before `Accept`.")] = None,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
    if_none_match: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """Of 1m, 5m and daily bars those held; of longer ones those aggregated from them.

    Unadjusted unless asked otherwise. A board's points are never adjusted.
    """
    services = request.app.state.services
    bars = services.bars
    if not bars.aliases_are_fresh:
        await services.snapshots.run(bars.aliases)
    dataset, name = _subject(symbol, bars.aliases)
    check_adjustable(dataset, name, adjust)
    query = KlineQuery(
        dataset, name, period, window_of(start, end), adjust, method, _instant(as_of)
    )
    ask = Ask(
        query,
        limit,
        _form(form, accept),
        None if cursor is None else int(cursor),
        () if if_none_match is None else read_tags(if_none_match),
    )
    services.known_asks.remember(words_of(request.scope, request.headers), ask, bars.codes)
    answer = bars.at_hand(ask)
    if answer is None:
        answer = await services.readers.run(bars.answer, ask)
    return bars_response(ask, answer, request.scope)


def _subject(text: str, aliases: Callable[[], Aliases]) -> tuple[Dataset, str]:
    with at_field("path.symbol"):
        return read_subject(text, aliases)


def _instant(text: str | None) -> datetime | None:
    try:
        found = read_instant(text)
    except UsageError as error:
        said = error.message.replace("--as-of ", "as_of=")
        raise UnprocessableError(said, {"field": "query.as_of"}) from None
    return None if found is None else in_shanghai(found)


def _form(given: Form | None, accept: str | None) -> Form:
    """The form that is asked for; the first of the best ones that ``Accept`` takes."""
    if given is not None:
        return given
    if not accept:
        return Form.JSON
    known = {kind: form for form, kind in MEDIA_TYPES.items()} | _WILDCARDS
    ranked = []
    for place, part in enumerate(accept.split(",")):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        ranked.append((-_quality(parameters), place, kind))
    for quality, _, kind in sorted(ranked):
        if kind in known and quality < 0:
            return known[kind]
    raise NotAcceptableError(
        f"none of {accept[:80]!r} can be given: accept {', '.join(MEDIA_TYPES.values())}, or give "
        "format=json|csv|arrow|parquet",
        {"field": "header.Accept"},
    )


def _quality(parameters: list[str]) -> float:
    for each in parameters:
        if each.startswith("q="):
            try:
                return float(each[2:])
            except ValueError:
                return 0.0
    return 1.0
