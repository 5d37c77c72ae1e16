"""Which question a path asks, and of which upstream: they share one address and no path."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ingest.domains import EASTMONEY, SINA, TENCENT, risk_domain
from ingest.simulator import eastmoney, sina, tencent
from ingest.simulator.clist import clist
from ingest.simulator.eastmoney import Body, Query, Spoiling
from ingest.simulator.market import Market
from ingest.simulator.replies import NO_DATA, OK, Reply, secid_of

Endpoint = Callable[[Market, Query, datetime, Spoiling], Reply | None]
"""What answers a question; None: there is no such page."""


@dataclass(frozen=True, slots=True)
class Route:
    """A kind of question.

    Attributes:
        domain: The upstream it is asked of.
        answer: What answers it.
        is_slow: Whether the first answer may take seconds in a large market.
    """

    domain: str
    answer: Endpoint
    is_slow: bool = False


def _in_json(endpoint: Callable[[Market, Query, datetime, Spoiling], Body]) -> Endpoint:
    """Eastmoney's bodies as text: JSON, in a call if one is asked for."""

    def answer(market: Market, query: Query, now: datetime, spoiling: Spoiling) -> Reply:
        body = endpoint(market, query, now, spoiling)
        if spoiling.no_data:
            body["data"] = None
        outcome = OK if body["data"] is not None else NO_DATA
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        if callback := query.get("cb"):
            return Reply(f"{callback}({text});", outcome)
        return Reply(text, outcome, "application/json")

    return answer


_BY_PATH = {
    "/api/qt/clist/get": Route(EASTMONEY, _in_json(clist), is_slow=True),
    "/api/qt/stock/kline/get": Route(EASTMONEY, _in_json(eastmoney.kline)),
    "/api/qt/stock/trends2/get": Route(EASTMONEY, _in_json(eastmoney.trends)),
    "/api/qt/stock/get": Route(EASTMONEY, _in_json(eastmoney.quote)),
    "/ifzqgtimg/appstock/app/newfqkline/get": Route(TENCENT, tencent.klines),
    "/other/klineweb/klineWeb/weekTrends": Route(TENCENT, tencent.trends),
}
_BY_PATTERN = (
    (
        re.compile(r"/cn/api/jsonp_v2\.php/(?P<callback>[^/]*)/CN_MarketDataService\.getKLineData"),
        Route(SINA, sina.minutes),
    ),
    (
        re.compile(r"/stock/api/jsonp\.php/[^/]*/StockService\.getAmountBySymbol"),
        Route(SINA, sina.share_amount),
    ),
    (
        re.compile(r"/realstock/company/(?P<symbol>\w+)/hisdata_klc2/klc_kl\.js"),
        Route(SINA, sina.daily),
    ),
    (
        re.compile(r"/realstock/company/(?P<symbol>\w+)/(?P<factor>qfq|hfq)\.js"),
        Route(SINA, sina.factors),
    ),
)


def find_route(path: str) -> tuple[Route | None, dict[str, str]]:
    """The route of a path, and what the path itself says of the question."""
    if (route := _BY_PATH.get(path)) is not None:
        return route, {}
    for pattern, each in _BY_PATTERN:
        if (match := pattern.fullmatch(path)) is not None:
            return each, match.groupdict()
    return None, {}


def asked_domain(host: str, route: Route | None) -> str:
    """The upstream that a request is for, by its Host header; by its path where that names none."""
    name = host.partition(":")[0]
    domain = risk_domain(name)
    return route.domain if route is not None and domain == name else domain


def matched_words(query: Mapping[str, str]) -> dict[str, str]:
    """What faults match on, in Eastmoney's words, of a question asked in another upstream's."""
    symbol = query.get("symbol") or query.get("code") or query.get("param", "").partition(",")[0]
    secid = secid_of(symbol)
    if secid is None:
        return {}
    return {"secid": str(secid), "klt": query.get("scale", "101")}
