"""What every request of a process shares: stores, keys, limits, threads."""

import asyncio
import time

from pipeline.readiness import Part, Parts
from pipeline.runtime import Runtime
from pipeline.settings import Settings
from web.bars import Bars
from web.keys import KeyRing
from web.limits import Limits
from web.pools import Pool
from web.sessions import Sessions, read_secret
from web.shortcut import KnownAsks
from web.watching import RunWatcher

_WRITERS, _WAITING = 4, 64
_LOOKERS = 2
_READY_FRESH_S = 1.0


class Services:
    """Made once by :func:`web.app.create_app`; found at ``request.app.state.services``.

    Attributes:
        runtime: The stores; every request shares its connections and readers.
        readers: Where the lake is read.
        queries: Where the database is read: apart, as one that stands still would keep the lake's
            readers waiting.
        writers: Where work is handed out, which may wait for a broker: apart, so that it keeps no
            reader waiting.
        bars: Bars as they are answered, with what was read and written of them lately.
        known_asks: What requests for bars mean, by their words.
        lookers: Where it is looked whether parts answer.
        snapshots: Where small things are waited for that are read in threads of their own: none
            of them waits long, and nothing else must keep them waiting.
        watcher: Runs that event streams listen to.
        stopping: Set when the process is to end, for answers that go on.
    """

    def __init__(self, settings: Settings, runtime: Runtime) -> None:
        self.settings = settings
        self.runtime = runtime
        self.readers = Pool("read bars", settings.web_readers, 8 * settings.web_readers, 30.0)
        self.queries = Pool("query", settings.web_readers, 8 * settings.web_readers, 15.0)
        self.writers = Pool("write", _WRITERS, _WAITING, 60.0)
        self.lookers = Pool("look", _LOOKERS, _WAITING, 15.0)
        self.snapshots = Pool("refresh", _LOOKERS, 8 * _WAITING, 15.0)
        self.keys = KeyRing(runtime)
        self.bars = Bars(runtime, settings.web_cache_mib << 20)
        self.known_asks = KnownAsks()
        self.limits = Limits(settings.web_reads_per_s, settings.web_writes_per_min)
        self.sessions = Sessions(read_secret(settings.home), settings.web_session_hours)
        self.stopping = asyncio.Event()
        self.watcher = RunWatcher(runtime, self.queries, settings.web_streams, self.stopping)
        self._parts = Parts(runtime)
        self._looking: asyncio.Future[list[Part]] | None = None
        self._look_at = 0.0

    async def readiness(self) -> list[Part]:
        """Which parts answer, as it was seen a second ago at most; asked once, whoever asks."""
        if self._looking is None or (self._looking.done() and time.monotonic() > self._look_at):
            self._look_at = time.monotonic() + _READY_FRESH_S
            self._looking = asyncio.ensure_future(self.lookers.run(self._parts.read))
        return await asyncio.shield(self._looking)

    def close(self) -> None:
        """Let the threads go and close the database."""
        pools = (self.readers, self.queries, self.writers, self.lookers, self.snapshots)
        for each in (*pools, self.keys, self.bars, self._parts):
            each.close()
        if "database" in vars(self.runtime):  # it may never have been reached
            self.runtime.database.dispose()
