"""Request budgets shared by all threads, processes and hosts that leave by one address.

A budget is a set of windows ("at most 180 requests in any 300 s") that hold at once, kept in Redis
and decided by one Lua script on the server's clock. A permit is granted only at the moment it is
used: waiting callers queue in Redis by lane and are told when to ask again, so no permit is
promised ahead and none is lost with a dead process.
"""

import logging
import math
import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, cast

import redis

from ingest.budget_report import BudgetReport, PaceFacts, facts_of, read_report
from ingest.rates import RateWindow
from ingest.source import BannedError, BudgetUnavailableError
from ingest.throttling import Answer, BanPolicy, PaceState

log = logging.getLogger(__name__)


class Lane(StrEnum):
    """Who waits: the live lane (5-minute sync) is served before the bulk lane (backfill)."""

    LIVE = "live"
    BULK = "bulk"
    SWEEP = "sweep"
    """The head of the live lane: a sweep's quotes are worth most close together."""


def _unheard(answer: Answer, cause: str, question: str) -> bool:
    del answer, cause, question
    return False


@dataclass(slots=True)
class Permit:
    """The right to send one request now.

    Attributes:
        waited_s: How long it was waited for.
        in_ban: Whether the request is a probe, or one of the first after a probe that was answered.
    """

    waited_s: float
    _left: Callable[[], None] | None = None
    _answered: Callable[[Answer, str, str], bool] = _unheard
    in_ban: bool = False

    def left(self) -> None:
        """Say that the request is on its way: call it right after the last byte was sent.

        On a busy machine a thread may wake, connect or write late. The budget then counts from the
        instant the request really left, so that its successor cannot come too close.
        """
        if self._left is not None:
            self._left()

    def answered(self, answer: Answer, cause: str = "", question: str = "") -> bool:
        """Say what came of the request, once; the budget slows down or speeds up by it.

        Args:
            answer: What came.
            cause: A sign in words.
            question: What was asked, where the sign may be the question's own fault: the same
                question counts once. Empty: the sign is the address's.

        Returns:
            Whether the address is banned now.
        """
        return self._answered(answer, cause, question)


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
        ban_deadline: float = math.inf,
    ) -> Permit:
        """Wait for a permit.

        Args:
            lane: Who asks.
            deadline: ``time.monotonic()`` instant after which waiting is pointless.
            alive: Called about once a second while waiting; what it raises ends the wait.
            ban_deadline: ``time.monotonic()`` instant after which the end of a ban is no longer
                waited for; 0: it never is.

        Raises:
            BannedError: The upstream has banned the address, and the end is not waited for or does
                not come before the deadline.
            BudgetUnavailableError: No permit comes before the deadline, or Redis is away until
                then.
        """
        ...


_GRANT = Path(__file__).with_name("pacing.lua").read_text(encoding="utf-8")
_JUDGE = Path(__file__).with_name("throttling.lua").read_text(encoding="utf-8")
_LATE_S = 0.02
"""A request that leaves later than this after its grant moves the grant to the later instant."""
_LONGEST_GUARD_S = 1.0
"""A second late is nothing to five minutes, and happens to networks and busy machines."""
_LOOK_AGAIN_S = 0.5
"""How often a Redis that is away is tried again."""
_TELL_WITHIN_S = 2.0
"""So soon a caller that does not wait out a ban learns of it, though its turn is far."""


@dataclass(frozen=True, slots=True)
class _Reply:
    """What the server said: ``wait_s`` is 0 if a permit was granted, at ``now_us``.

    ``facts`` is None while all is calm.
    """

    wait_s: float
    now_us: int = 0
    facts: PaceFacts | None = None


class RedisBudget:
    """A budget in Redis, one per upstream risk domain and egress address.

    While Redis is away nothing is granted. Should it come back without its data, every process
    gives back what it was granted itself, and the pace or ban it knew of, before it asks for more.

    Args:
        client: The Redis server that all who share the egress also use.
        domain: Upstream risk domain, e.g. ``eastmoney``.
        egress: Name of the address that requests leave by.
        windows: What is permitted.
        guard_s: Added to every window, because a request reaches the upstream a little after its
            permit: without it two requests a window apart could arrive closer than the window. To a
            long one a hundredth of it is added instead, up to 1 s.
        bulk_share: While both lanes wait, one permit in this many goes to the bulk lane.
        jitter: Longest random delay of a grant, as a share of a window's time per request.
        policy: How throttling signs and bans are answered to.
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
        jitter: float = 0.0,
        policy: BanPolicy | None = None,
    ) -> None:
        self.domain, self.egress = domain, egress
        self.windows = tuple(windows)
        self._client = client
        self._grant, self._judge = client.register_script(_GRANT), client.register_script(_JUDGE)
        prefix = f"quantsync:budget:{{{egress}:{domain}}}"
        self._grants, self._state, self._story = (
            f"{prefix}:{part}" for part in ("grants", "state", "story")
        )
        queues = (f"{prefix}:{part}" for part in ("live", "bulk", "seen", "turn", "seq", "epoch"))
        self._keys = [self._grants, *queues, self._state]
        self._policy = policy or BanPolicy()
        right_us = int(self._policy.right_s * 1e6)
        self._limits: list[int] = [bulk_share, int(_LATE_S * 1e6), right_us]
        self._jitter = jitter
        self._windows_us: list[int] = []
        for window in self.windows:
            guard = max(guard_s, min(_LONGEST_GUARD_S, window.seconds / 100))
            self._windows_us += [window.count, int(window.seconds * 1e6), int(guard * 1e6)]
        self._longest_us = int((max(w.seconds for w in self.windows) + _LONGEST_GUARD_S) * 1e6)
        self._memory = threading.Lock()
        self._epoch = ""
        self._granted: dict[str, int] = {}
        self._remembered: dict[bytes, bytes] = {}

    def acquire(
        self,
        lane: Lane,
        deadline: float,
        alive: Callable[[], None] = _nothing,
        *,
        ban_deadline: float = math.inf,
    ) -> Permit:
        """Wait for a permit. See :meth:`Budget.acquire`."""
        ticket = uuid.uuid4().hex
        began = time.monotonic()
        try:
            alive()
            while (reply := self._ask_or_wait(ticket, lane, deadline)).wait_s > 0:
                wait_s = self._bearable(reply, deadline, ban_deadline)
                _sleep(wait_s, alive)
                alive()
        except BaseException:
            self._leave(ticket, lane)
            raise
        granted = time.monotonic()

        def answered(answer: Answer, cause: str, question: str) -> bool:
            if reply.facts is None and answer in (Answer.OK, Answer.SILENT):
                return False  # all was calm, and this changes nothing
            return self._report(answer, ticket, reply.now_us, cause, question or ticket)

        in_ban = reply.facts is not None and reply.facts.state is not PaceState.OPEN
        return Permit(
            granted - began, lambda: self._stamp_if_late(ticket, granted), answered, in_ban=in_ban
        )

    def used(self) -> dict[str, int]:
        """Permits granted within each window until now, by the window's text."""
        return self.report().used

    def report(self) -> BudgetReport:
        """All that can be said of the budget now.

        Raises:
            redis.RedisError: Redis is away.
        """
        return read_report(
            self._client,
            domain=self.domain,
            egress=self.egress,
            windows=self.windows,
            keys=(self._state, self._story, self._grants, self._keys[1], self._keys[2]),
        )

    def _bearable(self, reply: _Reply, deadline: float, ban_deadline: float) -> float:
        """How long to sleep before asking again; raises where that is pointless."""
        now = time.monotonic()
        left, left_in_ban = deadline - now, min(deadline, ban_deadline) - now
        state = reply.facts.state if reply.facts else PaceState.OPEN
        if reply.facts is not None and state is not PaceState.OPEN:
            bearable = left_in_ban if state is PaceState.BANNED else left
            if bearable <= 0:
                raise self._banned(reply.facts)
            return min(reply.wait_s, bearable)
        if reply.wait_s > left:
            raise BudgetUnavailableError(
                f"the request budget of {self.domain} has no permit before the deadline: the next "
                f"one comes in {reply.wait_s:.1f} s",
                {"domain": self.domain},
            )
        return reply.wait_s if reply.wait_s < left_in_ban else min(reply.wait_s, _TELL_WITHIN_S)

    def _banned(self, facts: PaceFacts) -> BannedError:
        since, probe = facts.since, facts.next_probe
        next_step = f"the next probe is due at {probe:%H:%M:%S}"
        if facts.state is PaceState.HALF_OPEN:
            next_step = "a probe was answered, and one request at a time is sent"
        return BannedError(
            f"{self.domain} has banned this address since {since:%H:%M:%S %Z} ({facts.cause}); "
            f"{next_step}",
            {
                "domain": self.domain,
                "since": since.isoformat() if since else None,
                "next_probe": probe.isoformat() if probe else None,
            },
        )

    def _ask_or_wait(self, ticket: str, lane: Lane, deadline: float) -> _Reply:
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
            return _Reply(_LOOK_AGAIN_S)

    def _ask(self, ticket: str, lane: Lane) -> _Reply:
        asked = time.monotonic()
        chance = [self._jitter, random.random()]  # noqa: S311  (not a secret)
        arguments = [ticket, lane.value, self._epoch, uuid.uuid4().hex, *self._limits, *chance]
        wait_us, now_us, epoch, flat = cast(
            "Any", self._grant(keys=self._keys, args=[*arguments, *self._windows_us])
        )
        if wait_us < 0:
            self._give_back(epoch.decode())
            return self._ask(ticket, lane)
        with self._memory:
            self._epoch = epoch.decode()
            if wait_us == 0:
                self._granted[ticket] = now_us
                while (old := next(iter(self._granted))) != ticket:  # they are in order of time
                    if self._granted[old] >= now_us - self._longest_us:
                        break
                    del self._granted[old]
        facts = self._remember(flat)
        if wait_us == 0:
            # The reply itself may have been slow to reach us.
            self._stamp_if_late(ticket, asked)
        return _Reply(wait_us / 1e6, now_us, facts)

    def _remember(self, flat: list[bytes]) -> PaceFacts | None:
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        with self._memory:
            self._remembered = {k: v for k, v in fields.items() if not k.startswith(b"sole")}
        return facts_of(fields) if fields else None

    def _report(
        self, answer: Answer, ticket: str, granted_us: int, cause: str, question: str
    ) -> bool:
        words = [answer.value, ticket, granted_us, cause, question, random.random()]  # noqa: S311
        try:
            _, flat = cast(
                "Any",
                self._judge(
                    keys=[self._state, self._story], args=[*words, *self._policy.arguments()]
                ),
            )
        except redis.RedisError as error:
            # Nothing more is granted before Redis is back; the next answers will say the same.
            log.warning("the budget of %s could not be told (%s): %s", self.domain, answer, error)
            return False
        facts = self._remember(flat)
        return facts is not None and facts.state is PaceState.BANNED

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
                if (state := self._remembered.get(b"state")) and self._client.hsetnx(
                    self._state, "state", state.decode()
                ):
                    self._client.hset(self._state, mapping=cast("Any", self._remembered))
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
            self._client.zrem(self._keys[2 if lane is Lane.BULK else 1], ticket)
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
        ban_deadline: float = math.inf,
    ) -> Permit:
        """Grant at once."""
        del lane, deadline, alive, ban_deadline
        return Permit(0.0)
