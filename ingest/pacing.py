"""Request budgets shared by all threads, processes and hosts that leave by one address.

A budget is a set of windows ("at most 180 requests in any 300 s") that hold at once, kept in Redis
and decided by one Lua script on the server's clock. A permit is granted only at the moment it is
used: waiting callers queue in Redis by lane and are told when to ask again, so no permit is
promised ahead and none is lost with a dead process.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, cast

import redis

from ingest.rates import RateWindow
from ingest.source import BudgetUnavailableError

log = logging.getLogger(__name__)


class Lane(StrEnum):
    """Who waits: the live lane (5-minute sync) is served before the bulk lane (backfill)."""

    LIVE = "live"
    BULK = "bulk"


@dataclass(slots=True)
class Permit:
    """The right to send one request now.

    Attributes:
        waited_s: How long it was waited for.
    """

    waited_s: float
    _left: Callable[[], None] | None = None

    def left(self) -> None:
        """Say that the request is on its way: call it right after the last byte was sent.

        On a busy machine a thread may wake, connect or write late. The budget then counts from the
        instant the request really left, so that its successor cannot come too close.
        """
        if self._left is not None:
            self._left()


def _nothing() -> None:
    pass


class Budget(Protocol):
    """Grants permission to send one request to one upstream."""

    def acquire(
        self,
        lane: Lane,
        deadline: float,
        alive: Callable[[], None] = _nothing,
        *,
        wait_out_ban: bool = True,
    ) -> Permit:
        """Wait for a permit.

        Args:
            lane: Who asks.
            deadline: ``time.monotonic()`` instant after which waiting is pointless.
            alive: Called about once a second while waiting; what it raises ends the wait.
            wait_out_ban: Whether the end of a ban is waited for, too.

        Raises:
            BannedError: The upstream has banned the address, and the end is not waited for.
            BudgetUnavailableError: No permit comes before the deadline, or Redis is away until
                then.
        """
        ...


_SCRIPT = Path(__file__).with_name("pacing.lua").read_text(encoding="utf-8")
_LATE_S = 0.02
"""A request that leaves later than this after its grant moves the grant to the later instant."""
_LOOK_AGAIN_S = 0.5
"""How often a Redis that is away is tried again."""


class RedisBudget:
    """A budget in Redis, one per upstream risk domain and egress address.

    While Redis is away nothing is granted. Should it come back without its data, every process
    gives back what it was granted itself before it asks for more, so that the windows still hold.

    Args:
        client: The Redis server that all who share the egress also use.
        domain: Upstream risk domain, e.g. ``eastmoney``.
        egress: Name of the address that requests leave by.
        windows: What is permitted.
        guard_s: Added to every window, because a request reaches the upstream a little after its
            permit: without it two requests a window apart could arrive closer than the window.
        bulk_share: While both lanes wait, one permit in this many goes to the bulk lane.
    """

    def __init__(
        self,
        client: "redis.Redis",
        *,
        domain: str,
        egress: str,
        windows: Sequence[RateWindow],
        guard_s: float = 0.1,
        bulk_share: int = 4,
    ) -> None:
        self.domain = domain
        self.windows = tuple(windows)
        self._client = client
        self._script = client.register_script(_SCRIPT)
        prefix = f"quantsync:budget:{{{egress}:{domain}}}"
        self._grants = f"{prefix}:grants"
        self._keys = [
            self._grants,
            *(f"{prefix}:{part}" for part in ("live", "bulk", "seen", "turn", "seq", "epoch")),
        ]
        self._limits: list[int] = [int(guard_s * 1e6), bulk_share, int(_LATE_S * 1e6)]
        for window in self.windows:
            self._limits += [window.count, int(window.seconds * 1e6)]
        self._longest_us = int((max(w.seconds for w in self.windows) + guard_s) * 1e6)
        self._memory = threading.Lock()
        self._epoch = ""
        self._granted: dict[str, int] = {}

    def acquire(
        self,
        lane: Lane,
        deadline: float,
        alive: Callable[[], None] = _nothing,
        *,
        wait_out_ban: bool = True,
    ) -> Permit:
        """Wait for a permit. See :meth:`Budget.acquire`; no ban is noticed here."""
        del wait_out_ban
        ticket = uuid.uuid4().hex
        began = time.monotonic()
        try:
            alive()
            while (wait := self._ask_or_wait(ticket, lane, deadline)) > 0:
                self._check_deadline(wait, deadline)
                _sleep(wait, alive)
                alive()
        except BaseException:
            self._leave(ticket, lane)
            raise
        granted = time.monotonic()
        return Permit(granted - began, lambda: self._stamp_if_late(ticket, granted))

    def used(self) -> dict[str, int]:
        """Permits granted within each window until now, by the window's text."""
        now = _server_now(self._client)
        return {
            str(w): int(cast("Any", self._client.zcount(self._grants, now - w.seconds * 1e6, now)))
            for w in self.windows
        }

    def _check_deadline(self, wait: float, deadline: float) -> None:
        if time.monotonic() + wait > deadline:
            raise BudgetUnavailableError(
                f"the request budget of {self.domain} has no permit before the deadline: the next "
                f"one comes in {wait:.1f} s",
                {"domain": self.domain},
            )

    def _ask_or_wait(self, ticket: str, lane: Lane, deadline: float) -> float:
        """Seconds until asking again makes sense; 0: granted."""
        try:
            return self._ask(ticket, lane)
        except redis.RedisError as error:
            if time.monotonic() + _LOOK_AGAIN_S > deadline:
                raise BudgetUnavailableError(
                    f"the request budget of {self.domain} cannot be kept because Redis is away "
                    f"({error}); nothing is sent without it",
                    {"domain": self.domain},
                ) from error
            log.warning("the budget of %s waits for Redis: %s", self.domain, error)
            return _LOOK_AGAIN_S

    def _ask(self, ticket: str, lane: Lane) -> float:
        asked = time.monotonic()
        arguments = [ticket, lane.value, self._epoch, uuid.uuid4().hex, *self._limits]
        wait_us, now_us, epoch = cast("Any", self._script(keys=self._keys, args=arguments))
        if wait_us < 0:
            self._give_back(epoch.decode())
            return self._ask(ticket, lane)
        with self._memory:
            self._epoch = epoch.decode()
            if wait_us == 0:
                self._granted[ticket] = now_us
                for old in [t for t, at in self._granted.items() if at < now_us - self._longest_us]:
                    del self._granted[old]
        if wait_us == 0:
            # The reply itself may have been slow to reach us.
            self._stamp_if_late(ticket, asked)
        return float(wait_us) / 1e6

    def _give_back(self, epoch: str) -> None:
        """Tell a Redis that has lost its data what it had granted to this process."""
        with self._memory:
            if self._epoch != epoch:
                if self._granted:
                    log.warning(
                        "Redis has lost the budget of %s: %s grants of this process are given back",
                        self.domain,
                        len(self._granted),
                    )
                    self._client.zadd(self._grants, dict(self._granted), nx=True)
                self._epoch = epoch

    def _stamp_if_late(self, ticket: str, granted: float) -> None:
        if time.monotonic() - granted <= _LATE_S:
            return
        try:
            now_us = _server_now(self._client)
            with self._memory:
                self._granted[ticket] = now_us
            self._client.zadd(self._grants, {ticket: now_us}, xx=True)
        except redis.RedisError as error:
            # The request is on its way. Nothing more is granted before Redis is back.
            log.warning("the budget of %s could not note a late request: %s", self.domain, error)

    def _leave(self, ticket: str, lane: Lane) -> None:
        try:
            self._client.zrem(self._keys[1 if lane is Lane.LIVE else 2], ticket)
        except redis.RedisError as error:
            log.info("a ticket for the budget of %s will expire by itself: %s", self.domain, error)


def _sleep(seconds: float, alive: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 1.0))
        if left > 1.0:
            alive()


def _server_now(client: "redis.Redis") -> int:
    seconds, micros = cast("Any", client.time())
    return int(seconds) * 1_000_000 + int(micros)


class UnlimitedBudget:
    """A budget that never waits: for an upstream on this machine that has no limit of its own."""

    def acquire(
        self,
        lane: Lane,
        deadline: float,
        alive: Callable[[], None] = _nothing,
        *,
        wait_out_ban: bool = True,
    ) -> Permit:
        """Grant at once."""
        del lane, deadline, alive, wait_out_ban
        return Permit(0.0)
