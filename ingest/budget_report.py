"""What a budget in Redis says of itself: state, pace, use, who waits, and how it came about."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from ingest.rates import RateWindow, sustained_rate
from ingest.throttling import PaceState
from market.clock import EXCHANGE_TZ

if TYPE_CHECKING:
    import redis


@dataclass(frozen=True, slots=True)
class PaceFacts:
    """The state that all processes share. Instants are Redis's, in Shanghai time.

    Attributes:
        state: How the upstream bears us.
        pace: Share of the permitted rate that is used, above 0.
        since: Begin of the ban, or of the state after one; None: never banned.
        cause: The latest sign, in words.
        signs: Signs with no answer between them.
        next_probe: When the next probe of a ban is due.
        probe_interval_s: The longest wait from the last answer to that probe.
        granted: Permits, in all.
        signs_total: Signs, in all.
        bans: Bans, in all.
        probes: Probes sent, in all.
    """

    state: PaceState
    pace: float
    since: datetime | None
    cause: str | None
    signs: int
    next_probe: datetime | None
    probe_interval_s: float | None
    granted: int
    signs_total: int
    bans: int
    probes: int


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of state or pace, at Redis's instant in Shanghai time."""

    at: datetime
    before: PaceState
    after: PaceState
    pace: float
    cause: str


@dataclass(frozen=True, slots=True)
class BudgetReport:
    """All that can be said of one budget.

    Attributes:
        used: Permits granted within each window until now, by the window's text.
        waiting: Callers in the queue, by lane.
        story: The latest changes, oldest first.
    """

    domain: str
    egress: str
    windows: tuple[RateWindow, ...]
    facts: PaceFacts
    used: dict[str, int]
    waiting: dict[str, int]
    story: tuple[Transition, ...]

    @property
    def permitted_rate(self) -> float:
        """Requests per second that the windows permit in the long run."""
        return sustained_rate(self.windows)

    @property
    def effective_rate(self) -> float:
        """Requests per second that can be counted on now: none in a ban."""
        banned = self.facts.state is PaceState.BANNED
        return 0.0 if banned else self.permitted_rate * self.facts.pace


def facts_of(fields: Mapping[bytes, bytes]) -> PaceFacts:
    """Read the hash that ``throttling.lua`` keeps; an empty one is that of an unused budget."""
    held = {name.decode(): value.decode() for name, value in fields.items()}
    interval = held.get("probe_interval")
    return PaceFacts(
        state=PaceState(held.get("state", PaceState.OPEN)),
        pace=float(held.get("pace", 1)),
        since=_instant(held.get("since")),
        cause=held.get("cause"),
        signs=int(held.get("signs", 0)),
        next_probe=_instant(held.get("next_probe")),
        probe_interval_s=None if interval is None else float(interval) / 1e6,
        granted=int(held.get("granted", 0)),
        signs_total=int(held.get("signs_total", 0)),
        bans=int(held.get("bans", 0)),
        probes=int(held.get("probes", 0)),
    )


def read_report(
    client: "redis.Redis",
    *,
    domain: str,
    egress: str,
    windows: Sequence[RateWindow],
    keys: tuple[str, str, str, str, str],
) -> BudgetReport:
    """Read a budget's keys (state, story, grants, live and bulk queue) without changing them.

    Raises:
        redis.RedisError: Redis is away.
    """
    state, story, grants, live, bulk = keys
    seconds, micros = cast("Any", client.time())
    now = int(seconds) * 1_000_000 + int(micros)
    with client.pipeline(transaction=False) as asked:
        asked.hgetall(state)
        asked.lrange(story, 0, -1)
        asked.zcard(live)
        asked.zcard(bulk)
        for window in windows:
            asked.zcount(grants, now - window.seconds * 1e6, now)
        fields, told, waiting_live, waiting_bulk, *counts = cast("Any", asked.execute())
    return BudgetReport(
        domain,
        egress,
        tuple(windows),
        facts_of(fields),
        {str(window): int(count) for window, count in zip(windows, counts, strict=True)},
        {"live": waiting_live, "bulk": waiting_bulk},
        tuple(_transition(json.loads(text)) for text in told),
    )


def _transition(told: dict[str, Any]) -> Transition:
    at = _instant(told["at"])
    assert at is not None
    before, after = PaceState(told["from"]), PaceState(told["to"])
    return Transition(at, before, after, float(told["pace"]), told["cause"])


def _instant(micros: str | None) -> datetime | None:
    if micros is None:
        return None
    return datetime.fromtimestamp(0, EXCHANGE_TZ) + timedelta(microseconds=float(micros))
