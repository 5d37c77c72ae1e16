"""Request budgets shared by all threads, processes and hosts that leave by one address.

A budget is a set of windows ("at most 180 requests in any 300 s") that hold at once, kept in Redis
and decided by one Lua script on the server's clock. A permit is granted only at the moment it is
used: waiting callers queue in Redis by lane and are told when to ask again, so no permit is
promised ahead and none is lost with a dead process.
"""

import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, cast

import redis

from ingest.source import BudgetUnavailableError
from market.errors import ConfigurationError


class Lane(StrEnum):
    """Who waits: the live lane (5-minute sync) is served before the bulk lane (backfill)."""

    LIVE = "live"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class RateWindow:
    """At most ``count`` requests in any ``seconds``."""

    count: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.count}/{self.seconds:g}s"


_WINDOW = re.compile(r"^\s*(\d+)\s*/\s*(\d+(?:\.\d+)?)\s*s?\s*$")


def parse_windows(text: str) -> tuple[RateWindow, ...]:
    """Read windows written as ``1/1s,180/300s``.

    Raises:
        ConfigurationError: Not of that form, or a count or length of zero.
    """
    windows = []
    for part in text.split(","):
        match = _WINDOW.match(part)
        if match is None or int(match[1]) == 0 or float(match[2]) == 0:
            raise ConfigurationError(
                f"{text!r} is not a budget: expected requests/seconds pairs such as 1/1s,180/300s"
            )
        windows.append(RateWindow(int(match[1]), float(match[2])))
    return tuple(windows)


def sustained_rate(windows: Sequence[RateWindow]) -> float:
    """Requests per second that all windows together permit in the long run."""
    return min(w.count / w.seconds for w in windows)


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


class Budget(Protocol):
    """Grants permission to send one request to one upstream."""

    def acquire(self, lane: Lane, deadline: float) -> Permit:
        """Wait for a permit.

        Args:
            lane: Who asks.
            deadline: ``time.monotonic()`` instant after which waiting is pointless.

        Raises:
            BudgetUnavailableError: Redis is away, or no permit comes before the deadline.
        """
        ...


_SCRIPT = Path(__file__).with_name("pacing.lua").read_text(encoding="utf-8")
_LATE_S = 0.02
"""A request that leaves later than this after its grant moves the grant to the later instant."""


class RedisBudget:
    """A budget in Redis, one per upstream risk domain and egress address.

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
            *(f"{prefix}:{part}" for part in ("live", "bulk", "seen", "turn", "seq")),
        ]
        self._limits: list[int] = [int(guard_s * 1e6), bulk_share, int(_LATE_S * 1e6)]
        for window in self.windows:
            self._limits += [window.count, int(window.seconds * 1e6)]

    def acquire(self, lane: Lane, deadline: float) -> Permit:
        """Wait for a permit. See :meth:`Budget.acquire`."""
        ticket = uuid.uuid4().hex
        began = time.monotonic()
        with self._redis_needed():
            while (wait := self._ask(ticket, lane)) > 0:
                if time.monotonic() + wait > deadline:
                    self._leave(ticket, lane)
                    raise BudgetUnavailableError(
                        f"the request budget of {self.domain} has no permit before the deadline: "
                        f"the next one comes in {wait:.1f} s",
                        {"domain": self.domain},
                    )
                time.sleep(wait)
            granted = time.monotonic()
        return Permit(time.monotonic() - began, lambda: self._stamp_if_late(ticket, granted))

    def used(self) -> dict[str, int]:
        """Permits granted within each window until now, by the window's text."""
        now = _server_now(self._client)
        return {
            str(w): int(cast("Any", self._client.zcount(self._grants, now - w.seconds * 1e6, now)))
            for w in self.windows
        }

    def _ask(self, ticket: str, lane: Lane) -> float:
        asked = time.monotonic()
        wait_us = int(
            cast("Any", self._script(keys=self._keys, args=[ticket, lane.value, *self._limits]))
        )
        if wait_us <= 0:
            # The reply itself may have been slow to reach us.
            self._stamp_if_late(ticket, asked)
        return wait_us / 1e6

    def _stamp_if_late(self, ticket: str, granted: float) -> None:
        if time.monotonic() - granted > _LATE_S:
            with self._redis_needed():
                self._client.zadd(self._grants, {ticket: _server_now(self._client)}, xx=True)

    @contextmanager
    def _redis_needed(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise BudgetUnavailableError(
                f"the request budget of {self.domain} cannot be kept because Redis is away "
                f"({error}); nothing is sent without it",
                {"domain": self.domain},
            ) from error

    def _leave(self, ticket: str, lane: Lane) -> None:
        self._client.zrem(self._keys[1 if lane is Lane.LIVE else 2], ticket)


def _server_now(client: "redis.Redis") -> int:
    seconds, micros = cast("Any", client.time())
    return int(seconds) * 1_000_000 + int(micros)


class UnlimitedBudget:
    """A budget that never waits: for an upstream on this machine that has no limit of its own."""

    def acquire(self, lane: Lane, deadline: float) -> Permit:
        """Grant at once."""
        del lane, deadline
        return Permit(0.0)
