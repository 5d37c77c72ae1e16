"""All configuration: the one place that reads the environment.

Every field is an environment variable of the same name in capitals; ``.env`` in the working
directory is read too. ``.env.example`` lists them all.
"""

import os
import re
from datetime import date, time
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from ingest.domains import EASTMONEY, SINA, TENCENT
from ingest.rates import RateWindow, parse_windows
from ingest.simulator import defaults
from market.errors import ConfigurationError, InvalidSymbolError
from market.periods import Period
from market.sessions import SESSION_CLOSE, SETTLED_AT
from market.symbols import parse_stock
from pipeline.admin_settings import AdminSettings
from pipeline.web_settings import WebSettings
from scheduling.beat import read_changes

LOCAL_BROKER = "redis://localhost:6379/1"
LOCAL_BACKEND = "redis://localhost:6379/2"


_REDIS = ("redis", "rediss", "redis+socket")
_SCHEMES = {
    "celery_broker_url": (*_REDIS, "amqp", "amqps", "pyamqp"),
    "celery_result_backend": _REDIS,
    "budget_redis_url": (*_REDIS, "unix"),
}


_NOBODY = "none"
_FAILOVERS = {"failover_daily": (SINA, TENCENT), "failover_minute": (SINA,)}


def _names(text: str) -> tuple[str, ...]:
    words = tuple(word.strip().lower() for word in text.split(","))
    return () if words == (_NOBODY,) else words


def _symbols(text: str) -> tuple[str, ...]:
    """Symbols between commas or white space, in their usual spelling, each once.

    Raises:
        ValueError: One of them is no A share, or there is none between two commas.
    """
    names = []
    for entry in text.split(","):
        words = entry.split()
        if not words:
            raise ValueError("an entry is empty: write symbols between commas, as 600519,000001")
        try:
            names += [str(parse_stock(word)) for word in words]
        except InvalidSymbolError as error:
            raise ValueError(f"{error.message}; write it as 600519,000001") from error
    return tuple(dict.fromkeys(names))


def _spelt(schemes: tuple[str, ...]) -> str:
    return ", ".join(f"{scheme}://" for scheme in schemes)


def _check_port(url: str) -> None:
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        raise ValueError("its port is no number up to 65535") from error


class Settings(AdminSettings, WebSettings):
    """What can be configured, with its default."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        env_ignore_empty=True,
        allow_inf_nan=False,
    )

    quantsync_home: Path = Field(
        default=Path(".quantsync"), description="Folder of everything an installation keeps"
    )
    quantsync_upstream: str = Field(
        default="live", description="live, simulator, or the URL of a simulator that is up"
    )
    database_url: str | None = Field(
        default=None,
        description="sqlite:///PATH or postgresql://…; unset: quantsync.db in the home",
    )
    celery_broker_url: str | None = Field(
        default=None,
        description="redis://… or amqp://…; unset: the quantsync command runs embedded",
    )
    celery_result_backend: str | None = Field(
        default=None, description="redis://…; unset: the broker's, if that is Redis"
    )
    celery_task_serializer: Literal["json"] = "json"
    celery_result_serializer: Literal["json"] = "json"
    celery_timezone: str = "Asia/Shanghai"
    celery_enable_utc: bool = True
    queue_type: Literal["classic", "quorum"] = Field(
        default="classic", description="RabbitMQ queue type; quorum needs RabbitMQ 4"
    )
    visibility_timeout_s: int = Field(
        default=2100, description="Redis redelivers an unfinished task after this; above the limits"
    )
    eastmoney_client: Literal["direct", "akshare"] = Field(
        default="direct",
        description="direct: asked itself, AKShare where that meets drift; akshare: AKShare only",
    )
    members_from: Literal["sweep", "pages"] = Field(
        default="sweep",
        description="Members of boards by the names in one list of all symbols, or page by page",
    )
    budget_eastmoney: str = Field(
        default="1/1s,180/300s", description="Requests permitted to Eastmoney per egress address"
    )
    budget_sina: str = Field(
        default="1/1s,200/300s", description="Requests permitted to Sina per egress address"
    )
    budget_tencent: str = Field(
        default="1/1s,250/300s", description="Requests permitted to Tencent per egress address"
    )
    budget_simulator: str = Field(default="50/1s", description="Requests permitted to a simulator")
    failover_daily: str = Field(
        default="sina,tencent", description="Who is asked for daily bars, in turn; none: nobody"
    )
    failover_minute: str = Field(
        default="sina", description="Who is asked for minute bars, in turn; none: nobody"
    )
    failover_list_patience_s: float = Field(
        default=600.0, ge=0, description="A list waits so long for the end of a ban"
    )
    budget_redis_url: str | None = Field(
        default=None, description="Redis that keeps the budgets; unset: the result backend's"
    )
    egress_id: str = Field(
        default="default", description="Name of the address requests leave by; bans are per address"
    )
    budget_jitter: float = Field(
        default=0.05, ge=0, le=0.06, description="Random delay, share of a window's s per request"
    )
    ban_after_signs: int = Field(
        default=3, ge=1, description="Throttling signs in a row that are taken for a ban"
    )
    ban_probe_s: float = Field(
        default=60.0, gt=0, description="A ban is probed after this, then after twice as long …"
    )
    ban_probe_longest_s: float = Field(default=900.0, gt=0, description="… up to this")
    pace_floor: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Slowest pace after throttling signs, share of the rate",
    )
    pace_recovery_s: float = Field(
        default=600.0, gt=0, description="Answers for so long take the pace from 0 to all"
    )
    proxy_url: str | None = Field(default=None, description="Proxy for upstream requests")
    connect_timeout_s: float = Field(default=5.0, gt=0)
    read_timeout_s: float = Field(default=10.0, gt=0)
    history_daily_from: date = Field(
        default=date(2015, 1, 5), description="First session of daily history, unless asked"
    )
    settled_at: time = Field(
        default=SETTLED_AT, description="From then on the day's closing bars are final, in Shanghai"
    )
    sync_events: bool = Field(
        default=True, description="Stock runs fetch ex-rights too: two requests a symbol once"
    )
    batch_lease_s: float = Field(default=120.0, gt=0, description="A silent worker loses its batch")
    batch_deadline_s: float = Field(default=1500.0, gt=0, description="A batch stops after this")
    batch_seconds: float = Field(
        default=25.0, gt=0, description="A batch takes about so long at the permitted rate"
    )
    wave_items: int | None = Field(
        default=None,
        ge=1,
        description="Fetches of a wave; unset: 400, more where they are fast and small",
    )
    batch_max_attempts: int = Field(
        default=4, ge=3, description="A batch whose workers die this often is given up"
    )
    commit_lease_s: float = Field(default=120.0, gt=0, description="A silent commit is done again")
    run_deadline_s: float = Field(default=86_400.0, gt=0)
    reconcile_every_s: float = Field(
        default=30.0, gt=0, le=86_400, description="How often whatever is stuck is looked for"
    )
    store_patience_s: float = Field(
        default=600.0, gt=0, description="A full disk or a database away is waited for so long"
    )
    hang_after_s: float = Field(
        default=120.0, gt=0, description="A worker without a sign of life for so long is killed"
    )
    beat_clock: Literal["system", "market"] = Field(
        default="system", description="market: beat keeps the upstream's clock, for drills"
    )
    schedule_enabled: bool = Field(
        default=False, description="Reconcilers begin the runs of slots that beat missed"
    )
    schedule: str | None = Field(
        default=None, description="Changes of the schedule: name=when; … (docs/scheduling.md)"
    )
    watch_list: str | None = Field(
        default=None, description="Symbols whose 5m bars each tick fetches singly, beside the sweep"
    )
    kill_at: str | None = Field(
        default=None, description="For fault tests: where a process kills itself, or hangs"
    )
    staging_dir: Path | None = Field(
        default=None, description="Folder all workers see; unset: staging in the home"
    )
    lake_dir: Path | None = Field(
        default=None, description="Folder all workers see; unset: lake in the home"
    )
    quant_concurrency: int = Field(default=8, ge=1, description="Threads of the quant worker")
    simulator_seed: int = defaults.SEED
    simulator_symbols: int = Field(default=defaults.SYMBOLS, ge=5)
    simulator_now: str = Field(
        default="2025-12-31T16:00:00+08:00", description="Its clock; system: this machine's"
    )

    log_format: Literal["text", "json"] = Field(
        default="text", description="Logs of workers and beat: lines, or a JSON object each"
    )
    flower_basic_auth: str | None = Field(
        default=None, description="user:password of the monitor; it is never run open"
    )

    @field_validator("budget_eastmoney", "budget_sina", "budget_tencent", "budget_simulator")
    @classmethod
    def _readable_budget(cls, text: str) -> str:
        try:
            parse_windows(text)
        except ConfigurationError as error:
            raise ValueError(error.message) from error
        return text

    @field_validator("failover_daily", "failover_minute")
    @classmethod
    def _known_failover(cls, text: str, info: ValidationInfo) -> str:
        known = _FAILOVERS[str(info.field_name)]
        names = _names(text)
        wrong = [name for name in names if name not in known]
        if wrong or len(set(names)) < len(names):
            raise ValueError(f"use {', '.join(known)}, each once and in the order wanted, or none")
        return text

    @field_validator("schedule")
    @classmethod
    def _known_schedule(cls, text: str | None) -> str | None:
        try:
            read_changes(text)
        except ConfigurationError as error:
            raise ValueError(error.message) from error
        return text

    @field_validator("watch_list")
    @classmethod
    def _readable_symbols(cls, text: str | None) -> str | None:
        if text is not None:
            _symbols(text)
        return text

    @field_validator("settled_at")
    @classmethod
    def _after_the_close(cls, at: time) -> time:
        if at.tzinfo is not None or at < SESSION_CLOSE:
            raise ValueError("give a time of day in Shanghai, not before the close at 15:00")
        return at

    @field_validator(*_SCHEMES)
    @classmethod
    def _known_transport(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is not None:
            known = _SCHEMES[str(info.field_name)]
            scheme = url.partition("://")[0] if "://" in url else ""
            if scheme.lower() not in known:
                raise ValueError(f"{scheme or 'that'} is no scheme here: use {_spelt(known)}")
            _check_port(url)
        return url

    @property
    def home(self) -> Path:
        """The installation's folder, absolute."""
        return self.quantsync_home.expanduser().absolute()

    @property
    def is_embedded(self) -> bool:
        """Whether no broker is configured, so that the command brings its own."""
        return self.celery_broker_url is None

    @property
    def broker_url(self) -> str:
        """Where messages go."""
        return self.celery_broker_url or LOCAL_BROKER

    @property
    def result_backend(self) -> str:
        """Where results go."""
        if self.celery_result_backend:
            return self.celery_result_backend
        if self.celery_broker_url and self.celery_broker_url.startswith("redis"):
            return self.celery_broker_url
        return LOCAL_BACKEND

    @property
    def budget_url(self) -> str:
        """Redis that keeps the budgets."""
        return self.budget_redis_url or self.result_backend

    @property
    def sql_url(self) -> str:
        """The database."""
        return self.database_url or f"sqlite:///{self.home / 'quantsync.db'}"

    @property
    def lake_path(self) -> Path:
        """The lake's folder."""
        return (self.lake_dir or self.home / "lake").expanduser().absolute()

    @property
    def staging_path(self) -> Path:
        """Folder of staged batches."""
        return (self.staging_dir or self.home / "staging").expanduser().absolute()

    @property
    def reports_path(self) -> Path:
        """Folder of reports, and of everything else that may be attached to an email."""
        return (self.reports_dir or self.home / "reports").expanduser().absolute()

    @property
    def backup_path(self) -> Path:
        """Folder of the backups."""
        return (self.backup_dir or self.home / "backups").expanduser().absolute()

    def windows_for(self, upstream: str) -> tuple[RateWindow, ...]:
        """The budget of an upstream: Eastmoney's if live, the simulator's otherwise."""
        return self.windows_of(EASTMONEY, upstream)

    def windows_of(self, domain: str, upstream: str) -> tuple[RateWindow, ...]:
        """The budget of a risk domain: its own if live, the simulator's otherwise."""
        live = {
            EASTMONEY: self.budget_eastmoney,
            SINA: self.budget_sina,
            TENCENT: self.budget_tencent,
        }
        return parse_windows(live[domain] if upstream == "live" else self.budget_simulator)

    @property
    def watched(self) -> tuple[str, ...]:
        """The symbols of the watch-list, each once."""
        return _symbols(self.watch_list) if self.watch_list is not None else ()

    def failover(self, period: Period) -> tuple[str, ...]:
        """Who is asked for bars of a period where Eastmoney is away, in turn."""
        return _names(self.failover_daily if period is Period.DAILY else self.failover_minute)


_current: Settings | None = None


def read_settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        ConfigurationError: One or more variables are wrong; all are named.
    """
    global _current  # noqa: PLW0603  (one configuration per process)
    if _current is None:
        _current = _from_environment()
    return _current


def use_settings(settings: Settings) -> None:
    """Make these the settings of this process, as the embedded stack does with its own broker."""
    global _current  # noqa: PLW0603
    _current = settings


def systemd_socket() -> str | None:
    """Where systemd listens for the states of this service; None for a process that is none.

    systemd sets it, no operator does: so it is no setting.
    """
    return os.environ.get("NOTIFY_SOCKET") or None


def _from_environment() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        faults = "; ".join(
            f"{str(fault['loc'][0]).upper()}={_masked(fault.get('input'))!r}: "
            f"{fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        )
        raise ConfigurationError(f"the configuration is wrong: {faults}") from error


def _masked(value: object) -> object:
    """A value for a message: a URL without its password."""
    return re.sub(r"(//[^:/@]*:).*(?=@)", r"\1***", value) if isinstance(value, str) else value
