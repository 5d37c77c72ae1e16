"""One request, from arrival to the last byte: faults met, data read, answer written."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aiohttp import web

from ingest.simulator.clock import MarketClock
from ingest.simulator.eastmoney import Spoiling
from ingest.simulator.faults import Fault, FaultBook
from ingest.simulator.market import Market
from ingest.simulator.replies import Reply
from ingest.simulator.request_log import LogEntry, RequestLog
from ingest.simulator.routes import Route, asked_domain, find_route, matched_words

_LOGGED = (
    *("secid", "fs", "pn", "pz", "fid", "klt", "fqt", "beg", "end", "ndays"),
    *("symbol", "scale", "datalen", "factor", "param", "code"),
)
_FLAGS = {
    "data_null": "no_data",
    "empty_success": "empty",
    "other_symbol": "other",
    "no_concepts": "no_concepts",
}
_CLOSED, _BROKEN = 0, 500
_OK = 200
_CAPTCHA = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>安全验证</title></head>
<body><div id="captcha">请完成下方验证后继续操作</div></body></html>
"""


@dataclass(slots=True)
class Simulation:
    """What the requests act on.

    Attributes:
        market: Where the data comes from.
        clock: As of when it is served.
        faults: What goes wrong.
        log: What was asked.
    """

    market: Market
    clock: MarketClock
    faults: FaultBook
    log: RequestLog


class UpstreamApp:
    """Answers data requests as the upstreams do.

    Args:
        simulation: What the requests act on.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        # One thread: the first list of a large market takes seconds and must be made only once,
        # while klines are still answered.
        self._lists = ThreadPoolExecutor(1, thread_name_prefix="simulator-lists")

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        at = time.monotonic()
        route, found = find_route(request.path)
        query = {**request.query, **found}
        entry = self._simulation.log.begin(
            at,
            time.time(),
            client=request.remote or "",
            method=request.method,
            host=request.host,
            domain=asked_domain(request.host, route),
            path=request.path,
            query={name: query[name] for name in _LOGGED if name in query},
        )
        met = self._simulation.faults.meeting(_facts(entry), at)
        status, outcome = _BROKEN, "error"
        try:
            response, outcome = await self._answer(request, route, query, met)
            status = response.status if response.prepared or not _is_closed(request) else _CLOSED
        except ConnectionError:
            status, outcome = _CLOSED, "client_gone"
            response = _hang_up(request)
        finally:
            names = "+".join(fault.name for fault in met)
            self._simulation.log.end(
                entry,
                status=status,
                outcome=names or outcome,
                seconds=time.monotonic() - at,
            )
        return response

    def close(self) -> None:
        """Stop the thread that makes lists."""
        self._lists.shutdown(wait=False, cancel_futures=True)

    async def _answer(
        self,
        request: web.BaseRequest,
        route: Route | None,
        query: dict[str, str],
        met: list[Fault],
    ) -> tuple[web.StreamResponse, str]:
        instead = await _refusal(request, met)
        if instead is not None:
            return instead, "refused"
        reply = None if route is None else await self._reply(route, query, met)
        if reply is None:
            return web.Response(status=404, text="404 page not found"), "not_found"
        return await _sent(request, reply.text.encode(), reply.kind, met), reply.outcome

    async def _reply(self, route: Route, query: dict[str, str], met: list[Fault]) -> Reply | None:
        market, now = self._simulation.market, self._simulation.clock.now()
        spoiling = _spoiling(met)
        if any(fault.name == "half_bars" for fault in met):
            now = min(now, market.unfinished(now))
        if any(fault.name == "stale_page" for fault in met) and route.is_slow:
            now = market.session_before(now)
        if route.is_slow:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._lists, route.answer, market, query, now, spoiling
            )
        return route.answer(market, query, now, spoiling)


def _facts(entry: LogEntry) -> dict[str, str]:
    """A request by the words that faults match on."""
    asked = f"{entry.query.get('secid', '')} {entry.query.get('fs', '')}"
    board = next((w[w.index("BK") :] for w in asked.split() if "BK" in w), "")
    return {
        **matched_words(entry.query),
        **entry.query,
        "path": entry.path,
        "client": entry.client,
        "board": board,
        "host": f"{entry.domain} {entry.host}",
    }


def _spoiling(met: list[Fault]) -> Spoiling:
    spoiling = Spoiling()
    for fault in met:
        match fault.name:
            case "data_null" | "empty_success" | "other_symbol" | "no_concepts":
                setattr(spoiling, _FLAGS[fault.name], True)
            case "empty_page":
                spoiling.page_part = 0.0
            case "short_page":
                spoiling.page_part = fault.settings["keep"]
            case "short_list":
                spoiling.list_rows = int(fault.settings["rows"])
            case "moving_order":
                spoiling.order_spread = fault.settings["spread"]
                spoiling.draw = fault.draw
            case "wrong_units":
                spoiling.volume_factor = fault.settings["factor"]
            case "adjusted_prices":
                spoiling.fqt = int(fault.settings["fqt"])
    return spoiling


async def _refusal(request: web.BaseRequest, met: list[Fault]) -> web.StreamResponse | None:
    """What is answered instead of data, if anything; waits out latencies on the way."""
    for fault in met:
        match fault.name:
            case "latency":
                extra = fault.draw.uniform(0, fault.settings["jitter"])
                await asyncio.sleep(fault.settings["seconds"] + extra)
            case "drop" | "ban":
                return _hang_up(request)
            case "http_status":
                status = int(fault.settings["status"])
                return web.Response(
                    status=status, text=f"<html><h1>{status}</h1></html>", content_type="text/html"
                )
            case "captcha":
                return web.Response(text=_CAPTCHA, content_type="text/html")
    return None


async def _sent(
    request: web.BaseRequest, body: bytes, kind: str, met: list[Fault]
) -> web.StreamResponse:
    for fault in met:
        match fault.name:
            case "truncated_body":
                body = body[: int(len(body) * fault.settings["keep"])]
            case "cut_connection":
                return await _cut(request, body, kind, fault.settings["keep"])
            case "slow_loris":
                return await _trickled(request, body, kind, fault)
    return web.Response(body=body, content_type=kind, charset="utf-8")


async def _cut(request: web.BaseRequest, body: bytes, kind: str, keep: float) -> web.StreamResponse:
    response = _promised(body, kind)
    await response.prepare(request)
    await response.write(body[: int(len(body) * keep)])
    return _hang_up(request, response)


async def _trickled(
    request: web.BaseRequest, body: bytes, kind: str, fault: Fault
) -> web.StreamResponse:
    response = _promised(body, kind)
    await response.prepare(request)
    chunk = max(1, int(fault.settings["chunk"]))
    for begins in range(0, len(body), chunk):
        await response.write(body[begins : begins + chunk])
        await asyncio.sleep(fault.settings["interval"])
    await response.write_eof()
    return response


def _promised(body: bytes, kind: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": f"{kind}; charset=utf-8"})
    response.content_length = len(body)
    return response


def _hang_up(
    request: web.BaseRequest, response: web.StreamResponse | None = None
) -> web.StreamResponse:
    """Close the connection; the response is then for nobody."""
    if request.transport is not None:
        request.transport.close()
    return response or web.Response(status=_OK)


def _is_closed(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()
