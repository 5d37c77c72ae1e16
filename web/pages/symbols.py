"""Symbols: finding one, and its bars as candlesticks."""

from dataclasses import asdict, dataclass
from datetime import date
from http import HTTPStatus
from typing import Annotated

from fastapi import Header, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from market.adjustments import Adjustment, AdjustMethod, ExRight
from market.bars import Dataset
from market.periods import FETCHED_PERIODS, Period
from pipeline.chart_marks import read_marks
from pipeline.gap_runs import examine_gaps
from pipeline.kline_query import NothingHeldError, read_subject
from pipeline.runtime import Runtime
from pipeline.symbol_search import Named, find_named
from storage.aliases import read_aliases
from storage.coverage import Coverage, read_coverage_of
from storage.gaps import Reason, SeriesGaps
from storage.identity import Identity, read_identity
from web.api.klines import klines
from web.api.parameters import From, SymbolPath, To, window_of
from web.encoding import Form
from web.keys import Reader
from web.pages.overview import looks_of
from web.pages.rendering import is_partial, page, services_of
from web.pages.routing import pages

router = pages()

PERIODS = (
    Period.DAILY, Period.WEEKLY, Period.MONTHLY,
    Period.M60, Period.M30, Period.M15, Period.M5, Period.M1,
)  # fmt: skip
_SHOWN = 200
_BARS = 20_000


@dataclass(frozen=True, slots=True)
class Subject:
    """A symbol or a board as its page shows it.

    Attributes:
        identity: Every code and name it has borne; None: a board, or a symbol no list named yet.
        coverage: Sessions proven complete, by period.
        gaps: What is missing, and why, by period.
        ex_rights: Newest first.
        newest: The newest session that bars are complete up to, of any period.
    """

    dataset: Dataset
    code: str
    named: Named | None
    identity: Identity | None
    coverage: dict[Period, Coverage]
    gaps: tuple[SeriesGaps, ...]
    ex_rights: list[ExRight]
    newest: date | None


@router.get("/symbols")
async def find(
    request: Request, caller: Reader, q: Annotated[str, Query(max_length=40)] = ""
) -> HTMLResponse:
    """Symbols and boards by a part of their code or name."""
    looks = looks_of(request)
    known = await services_of(request).queries.run(looks.named.get)
    found = find_named(known, q, _SHOWN)
    template = "part/found.html" if is_partial(request) else "symbols.html"
    return page(request, caller, template, found=found, q=q, known=len(known), shown=_SHOWN)


@router.get("/symbols/{symbol}")
async def show(
    request: Request,
    caller: Reader,
    symbol: SymbolPath,
    period: Period = Period.DAILY,
    adjust: Adjustment = Adjustment.NONE,
    method: AdjustMethod = AdjustMethod.RATIO,
) -> HTMLResponse:
    """A symbol's page; its bars are asked of the API by the page's script."""
    services, looks = services_of(request), looks_of(request)
    known = await services.queries.run(looks.named.get)
    subject = await services.readers.run(_subject, services.runtime, known, symbol)
    chosen = {"period": period, "adjust": adjust, "method": method}
    return page(
        request, caller, "symbol.html", subject=subject, periods=PERIODS, chosen=chosen,
        reasons=[each.value for each in Reason],
    )  # fmt: skip


@router.get("/symbols/{symbol}/bars")
async def bars(
    request: Request,
    caller: Reader,
    symbol: SymbolPath,
    period: Period = Period.DAILY,
    adjust: Adjustment = Adjustment.NONE,
    method: AdjustMethod = AdjustMethod.RATIO,
    start: From = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The bars of the chart, as the API answers them; that there are none is no error here."""
    try:
        return await klines(
            request, caller, symbol, period, adjust, method, start,
            limit=_BARS, form=Form.JSON, if_none_match=if_none_match,
        )  # fmt: skip
    except NothingHeldError:
        return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get("/symbols/{symbol}/marks")
async def marks(
    request: Request,
    _caller: Reader,
    symbol: SymbolPath,
    period: Period = Period.DAILY,
    start: From = None,
    end: To = None,
) -> JSONResponse:
    """What the chart shows beside the bars: ex-rights, and where a bar should be and is not."""
    services = services_of(request)

    def read() -> dict[str, object]:
        dataset, name = read_subject(symbol, lambda: read_aliases(services.runtime.database))
        found = read_marks(services.runtime, dataset, name, period, window_of(start, end))
        return {
            "ex_rights": [
                {name: _plain(value) for name, value in asdict(each).items()}
                | {"factor": each.factor}
                for each in found.ex_rights
            ],
            "vacancies": [
                {"end_at": each.end_at.isoformat(), "reason": each.reason.value, "says": each.says}
                for each in found.vacancies
            ],
        }

    return JSONResponse(await services.readers.run(read), headers={"Cache-Control": "no-store"})


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value


def _subject(runtime: Runtime, known: list[Named], text: str) -> Subject:
    dataset, code = read_subject(text, lambda: read_aliases(runtime.database))
    named = next((each for each in known if each.code == code), None)
    covered = {
        period: read_coverage_of(runtime.database, dataset.value, period.value, code)
        for period in FETCHED_PERIODS
    }
    covered = {period: coverage for period, coverage in covered.items() if coverage.ranges}
    if named is None and not covered:
        raise NothingHeldError(
            f"nothing is known of {code}: `quantsync sync stocks --symbols {code}` fetches it",
            {"symbol": code},
        )
    is_stock = dataset is Dataset.KLINE
    return Subject(
        dataset,
        code,
        named,
        read_identity(runtime.database, code) if is_stock else None,
        covered,
        examine_gaps(runtime, runtime.settings.quantsync_upstream, names=[code]).series,
        runtime.ex_rights.read([code])[::-1] if is_stock else [],
        max((each.ranges[-1].end for each in covered.values()), default=None),
    )
