"""An upstream without latency: a process that serves bodies rendered beforehand, from memory.

The bodies are the simulator's own, of a seeded market, so every source parses them as it would the
upstream's. Nothing is computed when a request comes: its body is looked up and sent.
"""

import json
import multiprocessing
import re
import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from typing import Any, cast
from urllib.parse import urlencode

from market.sessions import Window

KLINES, LISTS = "/api/qt/stock/kline/get", "/api/qt/clist/get"
PAGE_ROWS = 100
_A_SHARES = "m:0 t:6,m:0 t:80,m:1 t:2,m:1 t:23,m:0 t:81 s:2048"
_FIELDS_OF_AKSHARE = "f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13,f14,f15,f16,f17,f18,f20,f21,f22"
_FIELDS_OF_AKSHARE += ",f23,f24,f25,f62,f115,f128,f136,f152"
_CLOCK = b"/__simulator__/clock"
_SECID, _PAGE, _DIRECT = (re.compile(text) for text in (rb"secid=([\d.]+)", rb"pn=(\d+)", rb"f124"))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be rendered.

    Attributes:
        symbols: How many the list names.
        instants: The list is rendered as of each, in Shanghai; the clock begins at the first.
        window: Daily klines are rendered within it, as of the first instant; None: none are.
        seed: Of the market.
        akshare: Whether lists are rendered with AKShare's fields, too.
    """

    symbols: int
    instants: tuple[datetime, ...]
    window: Window | None = None
    seed: int = 20260105
    akshare: bool = False


@dataclass(frozen=True, slots=True)
class Rendered:
    """A process that serves.

    Attributes:
        url: Its address.
        codes: Of the symbols that the first list names, ascending.
        bars: Lines in all klines together.
        size: Bytes of all klines together.
    """

    url: str
    codes: tuple[str, ...]
    bars: int
    size: int
    _pipe: Connection

    def turn_clock(self, to: datetime) -> None:
        """Serve the list of another of the instants from now on."""
        self._pipe.send(to)
        self._pipe.recv()

    def refused(self) -> int:
        """Requests until now for something that was not rendered."""
        self._pipe.send(None)
        return int(self._pipe.recv())

    @property
    def pages(self) -> int:
        """Pages of the list."""
        return -(-len(self.codes) // PAGE_ROWS)

    def kline_targets(self) -> list[str]:
        """Path and query of each symbol's klines."""
        secids = [{"klt": "101", "fqt": "0", "secid": _secid(code)} for code in self.codes]
        return [f"{KLINES}?{urlencode(query)}" for query in secids]

    def list_targets(self) -> list[str]:
        """Path and query of each page of the list."""
        pages = [{"fields": "f124", "pn": str(number)} for number in range(1, self.pages + 1)]
        return [f"{LISTS}?{urlencode(query)}" for query in pages]


@contextmanager
def served(wanted: Wanted) -> Iterator[Rendered]:
    """Render in a process of its own, and serve from it while the block runs."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_run, args=(wanted, there), daemon=True
    )
    process.start()
    there.close()  # or its death would not be noticed here
    try:
        port, codes, bars, size = here.recv()
        yield Rendered(f"http://127.0.0.1:{port}", codes, bars, size, here)
    finally:
        process.terminate()
        process.join()


_Key = tuple[bytes, ...]


def _run(wanted: Wanted, pipe: Connection) -> None:
    from ingest.simulator.seeded.market import SeededMarket  # noqa: PLC0415  (this process's alone)

    # Some are not listed yet, or no longer; the newest have few bars.
    spare = min(6_000, wanted.symbols + wanted.symbols // 11 + 20)
    start = wanted.window.start if wanted.window else wanted.instants[0].date().replace(day=1)
    market = SeededMarket(wanted.seed, spare, start=start)
    lists = {at: _lists(market, wanted, at) for at in wanted.instants}
    codes = _codes(lists[wanted.instants[0]])
    klines = _klines(market, wanted, codes)
    bars = sum(count for _, count in klines.values())
    bodies = {secid: body for secid, (body, _) in klines.items()}
    listener = socket.create_server(("127.0.0.1", 0))
    size = sum(map(len, bodies.values()))
    pipe.send((listener.getsockname()[1], codes, bars, size))
    _Server(listener, pipe, wanted, bodies, lists).serve()


def _lists(market: Any, wanted: Wanted, at: datetime) -> dict[_Key, bytes]:
    from ingest.simulator.clist import clist  # noqa: PLC0415
    from ingest.simulator.eastmoney import Spoiling  # noqa: PLC0415
    from ingest.sources.eastmoney_direct import QUOTE_FIELDS  # noqa: PLC0415

    cut = Spoiling(list_rows=wanted.symbols)
    readings = {b"direct": (QUOTE_FIELDS, "0")}
    if wanted.akshare:
        readings[b"akshare"] = (_FIELDS_OF_AKSHARE, "1")
    pages: dict[_Key, bytes] = {}
    for reading, (fields, order) in readings.items():
        for number in range(1, 1 - -wanted.symbols // PAGE_ROWS):
            query = {"fs": _A_SHARES, "fields": fields, "fid": "f12", "po": order}
            query |= {"pz": str(PAGE_ROWS), "pn": str(number)}
            pages[reading, b"%d" % number] = _answer(clist(market, query, at, cut))
    return pages


def _codes(pages: dict[_Key, bytes]) -> tuple[str, ...]:
    rows = []
    for (reading, _), answer in pages.items():
        if reading == b"direct":
            rows += json.loads(answer.partition(b"\r\n\r\n")[2])["data"]["diff"]
    return tuple(sorted(str(row["f12"]) for row in rows))


def _klines(market: Any, wanted: Wanted, codes: tuple[str, ...]) -> dict[bytes, tuple[bytes, int]]:
    from ingest.simulator.eastmoney import Spoiling, kline  # noqa: PLC0415

    if wanted.window is None:
        return {}
    bodies, plain = {}, Spoiling()
    days = {"beg": f"{wanted.window.start:%Y%m%d}", "end": f"{wanted.window.end:%Y%m%d}"}
    for secid in map(_secid, codes):
        query = {"secid": secid, "klt": "101", "fqt": "0", **days}
        body = kline(market, query, wanted.instants[0], plain)
        lines = cast("dict[str, Any]", body["data"])["klines"]
        bodies[secid.encode()] = _answer(body), len(lines)
    return bodies


def _answer(body: object) -> bytes:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text


def _secid(code: str) -> str:
    return f"{1 if code.startswith('6') else 0}.{code}"


class _Server:
    """One thread and no parsing beyond what tells bodies apart: its CPU is taken from others'."""

    def __init__(
        self,
        listener: socket.socket,
        pipe: Connection,
        wanted: Wanted,
        klines: dict[bytes, bytes],
        lists: dict[datetime, dict[_Key, bytes]],
    ) -> None:
        self._listener, self._pipe = listener, pipe
        self._klines, self._lists = klines, lists
        self._now = wanted.instants[0]
        self._refused = 0

    def serve(self) -> None:
        """Answer until the process is ended, or the one that started it is gone."""
        with selectors.DefaultSelector() as ready:
            ready.register(self._listener, selectors.EVENT_READ)
            ready.register(self._pipe, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    if key.fileobj is self._listener:
                        connection, _ = self._listener.accept()
                        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        ready.register(connection, selectors.EVENT_READ)
                    elif key.fileobj is self._pipe:
                        self._obey()
                    elif not self._talk(cast("socket.socket", key.fileobj)):
                        ready.unregister(key.fileobj)

    def _obey(self) -> None:
        try:
            said = self._pipe.recv()
        except EOFError:
            raise SystemExit from None
        if said is not None:
            self._now = said
        self._pipe.send(self._refused)

    def _talk(self, connection: socket.socket) -> bool:
        """Answer one request; False if the connection has ended."""
        try:
            head = connection.recv(65_536)
            if head:
                connection.sendall(self._body(head.partition(b"\r\n")[0]))
                return True
        except ConnectionError:
            head = b""
        connection.close()
        return False

    def _body(self, line: bytes) -> bytes:
        found: bytes | None = None
        if secid := _SECID.search(line):
            found = self._klines.get(secid[1])
        elif page := _PAGE.search(line):
            reading = b"direct" if _DIRECT.search(line) else b"akshare"
            found = self._lists[self._now].get((reading, page[1]))
        elif _CLOCK in line:
            return _answer({"now": self._now.isoformat()})
        if found is None:
            self._refused += 1
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        return found
