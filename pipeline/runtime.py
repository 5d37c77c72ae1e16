"""What a process works with, built once: stores, ledger, calendar, and the way to each upstream."""

import http
import http.client
import json
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ingest.causes import plain_cause
from ingest.domains import EASTMONEY, SINA, TENCENT
from market.clock import Clock, SystemClock
from market.errors import ConfigurationError
from market.periods import FETCHED_PERIODS
from market.sessions import TradingCalendar, exchange_calendar
from pipeline.settings import Settings, read_settings
from pipeline.upstreams import LIVE, SIMULATOR, SIMULATOR_URL_FILE
from storage.aliases import read_aliases
from storage.catalog import Catalog
from storage.database import Database
from storage.ex_right import ExRights
from storage.killpoints import arm
from storage.lake import Lake
from storage.lake_manifest import LakeManifest
from storage.ledger import Ledger
from storage.recovery import Recovery
from storage.staging import Staging
from storage.warehouse import Warehouse

if TYPE_CHECKING:
    from ingest.source import KlineSource, Source
    from ingest.wire import Upstream

_CLOCK_HELD_S = 0.02


class SimulatorClock:
    """The clock of a running simulator, asked each time: tests and demos may move it."""

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/__simulator__/clock"
        self._kept = threading.local()
        self._told: tuple[datetime | None, float] = (None, 0.0)

    def now(self) -> datetime:
        """The simulated market's time, as it was a fiftieth of a second ago at most.

        Raises:
            ConfigurationError: No simulator answers there.
        """
        asked_at = time.monotonic()
        told, until = self._told
        if told is not None and asked_at < until:
            return told
        told = self._asked()
        # Dated from before the question: what was told is never held for longer than is said.
        self._told = (told, asked_at + _CLOCK_HELD_S)
        return told

    def _asked(self) -> datetime:
        try:
            return datetime.fromisoformat(json.loads(self._answer())["now"])
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            reached = isinstance(error, ValueError | KeyError | TypeError)
            cause = "what answers is none" if reached else plain_cause(error)
            raise ConfigurationError(
                f"no market simulator answers at {self._url} ({cause}): start one with "
                "`quantsync simulator`, or use --upstream simulator",
                {"url": self._url},
            ) from error

    def _answer(self) -> bytes:
        """On this thread's kept connection: it is asked for every fetch, as a real clock is."""
        kept = getattr(self._kept, "connection", None)
        if kept is not None:
            try:
                return self._ask(kept)
            except (ConnectionError, http.client.HTTPException):
                kept.close()  # by the other side, while nobody asked
        place = urlsplit(self._url)
        kind = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        connection = kind[place.scheme](place.netloc, timeout=5)
        body = self._ask(connection)
        self._kept.connection = connection
        return body

    def _ask(self, connection: http.client.HTTPConnection) -> bytes:
        connection.request("GET", urlsplit(self._url).path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"HTTP {answer.status} {answer.reason}")
        return body


class Runtime:
    """Stores and connections of one process; each is opened when first used."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._sources: dict[str, Source] = {}
        self._upstreams: dict[str, Mapping[str, Upstream]] = {}
        self._lock = threading.Lock()
        if settings.kill_at:
            arm(settings.kill_at, settings.home / "killed")

    @cached_property
    def database(self) -> Database:
        """The SQL database, its tables up to date."""
        database = Database(self.settings.sql_url)
        database.migrate()
        return database

    @cached_property
    def ledger(self) -> Ledger:
        """Runs and their outcomes."""
        return Ledger(self.database)

    @cached_property
    def recovery(self) -> Recovery:
        """The ledger as the reconciler sees it."""
        return Recovery(self.database)

    @cached_property
    def warehouse(self) -> Warehouse:
        """Bars in SQL."""
        return Warehouse(self.database)

    @cached_property
    def catalog(self) -> Catalog:
        """Symbols, boards and members."""
        return Catalog(self.database)

    @cached_property
    def lake(self) -> Lake:
        """Bars in Parquet."""
        # Less than a reconciler's period: one that waited longer would keep all else waiting.
        wait_s = self.settings.reconcile_every_s * 2 / 3
        return Lake(
            self.settings.lake_path,
            lock_wait_s=wait_s,
            aliases=lambda: read_aliases(self.database),
            manifest=self.lake_manifest,
        )

    @cached_property
    def lake_manifest(self) -> LakeManifest:
        """What every file of the lake was when it was written."""
        return LakeManifest(lambda: self.database, self.settings.lake_path)

    @cached_property
    def ex_rights(self) -> ExRights:
        """Ex-rights, from which prices are adjusted on read."""
        return ExRights(self.database, self.settings.lake_path)

    @cached_property
    def staging(self) -> Staging:
        """What batches fetched and no commit has merged yet."""
        return Staging(self.settings.staging_path)

    @cached_property
    def calendar(self) -> TradingCalendar:
        """The exchange's sessions."""
        return exchange_calendar()

    def upstream_url(self, upstream: str) -> str | None:
        """Where an upstream's traffic goes; None for the real one.

        Raises:
            ConfigurationError: Not ``live``, ``simulator`` or a URL; or no simulator was started.
        """
        if upstream == LIVE:
            return None
        if upstream.startswith(("http://", "https://")):
            return upstream.rstrip("/")
        if upstream != SIMULATOR:
            raise ConfigurationError(
                f"{upstream!r} is no upstream: use live, simulator, or the URL of a simulator"
            )
        ready = self.settings.home / SIMULATOR_URL_FILE
        try:
            return ready.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigurationError(
                f"no simulator was started for {self.settings.home}: `quantsync sync --upstream "
                "simulator` and `quantsync up --upstream simulator` start one"
            ) from error

    def clock(self, upstream: str) -> Clock:
        """The exchange clock of an upstream: the machine's for the real one."""
        url = self.upstream_url(upstream)
        return SystemClock() if url is None else SimulatorClock(url)

    def source(self, upstream: str) -> "Source":
        """The source of an upstream, with its fail-over; it asks again for bars that failed."""
        from ingest.sources.contracts.kept import warn_of_another_version  # noqa: PLC0415

        warn_of_another_version()
        url = self.upstream_url(upstream)
        with self._lock:
            source = self._sources.get(str(url))
            if source is None:
                source = self._sources[str(url)] = self._composed(upstream, url)
        return source

    def _composed(self, upstream: str, url: str | None) -> "Source":
        from ingest.sources.failover import FailoverSource  # noqa: PLC0415
        from pipeline.retrying import retried  # noqa: PLC0415
        from pipeline.seams import fit_at_the_seam  # noqa: PLC0415

        clock, settled_at = self.clock(upstream), self.settings.settled_at

        def other(name: str) -> "KlineSource":
            from ingest.sources.sina import SinaSource  # noqa: PLC0415
            from ingest.sources.tencent import TencentSource  # noqa: PLC0415

            kind = {each.name: each for each in (SinaSource, TencentSource)}[name]
            shown = name if url is None else f"{SIMULATOR}:{name}"
            return kind(clock, name=shown, settled_at=settled_at)

        names = {period: self.settings.failover(period) for period in FETCHED_PERIODS}
        fit = fit_at_the_seam(
            self.database, self.calendar, patience_s=self.settings.store_patience_s
        )
        return FailoverSource(
            self._usual(upstream, url),
            names,
            other,
            retried=retried,
            fit=fit,
            list_patience_s=self.settings.failover_list_patience_s,
        )

    def _usual(self, upstream: str, url: str | None) -> "Source":
        from ingest.sources.eastmoney_direct import DirectEastmoney  # noqa: PLC0415
        from ingest.sources.preferred import Preferred  # noqa: PLC0415

        clock, settled_at = self.clock(upstream), self.settings.settled_at
        name = DirectEastmoney.name if url is None else SIMULATOR

        def reference() -> "Source":
            from ingest.sources.eastmoney import EastmoneySource  # noqa: PLC0415

            return EastmoneySource(clock, name=name, settled_at=settled_at)

        if self.settings.eastmoney_client == "akshare":
            return reference()
        return Preferred(DirectEastmoney(clock, name=name, settled_at=settled_at), reference)

    def routes(self, upstream: str) -> "Mapping[str, Upstream]":
        """How each risk domain is reached for an upstream; installs the wire on first use."""
        from ingest import wire  # noqa: PLC0415
        from pipeline.budgets import budget_name, open_budget  # noqa: PLC0415

        url = self.upstream_url(upstream)
        with self._lock:
            if not self._upstreams:
                wire.install(
                    wire.UpstreamAdapter(
                        connect_timeout_s=self.settings.connect_timeout_s,
                        read_timeout_s=self.settings.read_timeout_s,
                        proxy_url=self.settings.proxy_url,
                    )
                )
            routes = self._upstreams.get(str(url))
            if routes is None:
                names = {
                    domain: budget_name(domain, is_simulated=url is not None)
                    for domain in (EASTMONEY, SINA, TENCENT)
                }
                routes = {
                    domain: wire.Upstream(open_budget(self.settings, name), url)
                    for domain, name in names.items()
                }
                self._upstreams[str(url)] = routes
        return routes


@lru_cache(maxsize=1)
def current_runtime() -> Runtime:
    """This process's runtime, built from its settings."""
    return Runtime(read_settings())
