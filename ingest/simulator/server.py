"""The simulator as a server: in a thread of this process, or in the foreground of its own."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Self

from aiohttp import web

from ingest.simulator.app import Simulation, UpstreamApp
from ingest.simulator.clock import MarketClock
from ingest.simulator.control import PREFIX, ControlApp
from ingest.simulator.faults import FaultBook
from ingest.simulator.market import Market
from ingest.simulator.request_log import RequestLog

_KEEP_ALIVE_S = 75.0
_START_TIMEOUT_S = 30.0


class SimulatorServer:
    """An HTTP server that answers as the upstream does, on a thread of its own.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`. The clock, the faults and
    the log may be used from any thread while it runs.

    Args:
        market: Where the data comes from.
        host: Address to listen on.
        port: 0 takes a free one.
        now: As of when to serve (aware); None takes the market's own default.
        faults: Faults to begin with, each as the words that ``POST /__simulator__/faults`` takes.
        fault_seed: Decides their random choices.
        log_file: Each request is appended there as a line of JSON.

    Attributes:
        market: As given.
        clock: As of when everything is served.
        faults: What goes wrong.
        log: What was asked.
        url: ``http://127.0.0.1:PORT`` once started.
    """

    def __init__(
        self,
        market: Market,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        now: datetime | None = None,
        faults: Iterable[Mapping[str, object]] = (),
        fault_seed: int = 0,
        log_file: Path | None = None,
    ) -> None:
        self.market = market
        self.clock = MarketClock(now or market.default_now)
        self.faults = FaultBook(fault_seed)
        for words in faults:
            self.faults.add(words)
        self.log = RequestLog(log_file)
        self.url = ""
        self._host, self._port = host, port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None

    def start(self) -> Self:
        """Begin to listen; returns when requests are answered.

        Raises:
            OSError: The address cannot be listened on.
        """
        listening = threading.Event()
        self._thread = threading.Thread(
            target=self._run_in_thread, args=(listening,), name="simulator", daemon=True
        )
        self._thread.start()
        if not listening.wait(_START_TIMEOUT_S):
            raise TimeoutError("the simulator did not begin to listen in time")
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """Close every connection and stop; harmless if it does not run."""
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(_START_TIMEOUT_S)
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def serve_forever(self, on_listening: Callable[[str], None]) -> None:
        """Serve in this thread, the main one, until SIGTERM or SIGINT.

        Args:
            on_listening: Called once with the URL.

        Raises:
            OSError: The address cannot be listened on.
        """
        asyncio.run(self._serve(on_listening, with_signals=True))

    def _run_in_thread(self, listening: threading.Event) -> None:
        try:
            asyncio.run(self._serve(lambda _: listening.set(), with_signals=False))
        except BaseException as error:  # noqa: BLE001  (handed to the thread that waits in start)
            self._failure = error
            listening.set()

    async def _serve(self, on_listening: Callable[[str], None], *, with_signals: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        if with_signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(number, self._stop.set)
        simulation = Simulation(self.market, self.clock, self.faults, self.log)
        upstream, control = UpstreamApp(simulation), ControlApp(simulation)

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            if request.path.startswith(PREFIX):
                return await control.handle(request)
            return await upstream.handle(request)

        runner = web.ServerRunner(
            web.Server(handle, keepalive_timeout=_KEEP_ALIVE_S, access_log=None),
            shutdown_timeout=0.2,
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self._port)
            await site.start()
            self.url = _url(runner, self._host)
            on_listening(self.url)
            await self._stop.wait()
        finally:
            await runner.cleanup()
            upstream.close()
            self.log.close()


def _url(runner: web.ServerRunner, host: str) -> str:
    port = runner.addresses[0][1]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
