"""The request budgets of this installation, opened as its settings say."""

from dataclasses import dataclass

import redis

from ingest.budget_report import BudgetReport
from ingest.causes import plain_cause
from ingest.domains import EASTMONEY, SINA, TENCENT
from ingest.pacing import RedisBudget
from ingest.throttling import BanPolicy
from pipeline.settings import Settings

SIMULATOR = "simulator"


def plain_redis_url(url: str) -> str:
    """Celery's spelling of a Redis URL in redis-py's: ``redis+socket://…?virtual_host=2``."""
    if url.startswith("redis+socket://"):
        return url.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=")
    return url


def budget_name(domain: str, *, is_simulated: bool) -> str:
    """The name of a risk domain's budget: a simulated upstream has its own, as the real ones do."""
    if not is_simulated:
        return domain
    return SIMULATOR if domain == EASTMONEY else f"{SIMULATOR}:{domain}"


BUDGETS = {
    budget_name(domain, is_simulated=simulated): (domain, SIMULATOR if simulated else "live")
    for simulated in (False, True)
    for domain in (EASTMONEY, SINA, TENCENT)
}
"""Risk domain and kind of upstream of every budget, by its name."""


def open_budget(settings: Settings, name: str) -> RedisBudget:
    """A budget for this installation's address; nothing is connected yet."""
    client = redis.Redis.from_url(
        plain_redis_url(settings.budget_url),
        # Or a Redis that stands still would hold a thread for ever.
        socket_timeout=10,
        socket_connect_timeout=5,
        health_check_interval=15,
    )
    return RedisBudget(
        client,
        domain=name,
        egress=settings.egress_id,
        windows=settings.windows_of(*BUDGETS[name]),
        jitter=settings.budget_jitter,
        policy=BanPolicy(
            signs=settings.ban_after_signs,
            floor=settings.pace_floor,
            recovery_s=settings.pace_recovery_s,
            probe_s=settings.ban_probe_s,
            probe_longest_s=settings.ban_probe_longest_s,
            # Connecting, silence, a body that trickles, and its parsing.
            right_s=settings.connect_timeout_s + 2 * settings.read_timeout_s + 5,
        ),
    )


@dataclass(frozen=True, slots=True)
class Pacing:
    """What the budgets of this installation say.

    Attributes:
        reports: A budget each that was ever used, and that of the configured upstream.
        unreachable: Why none can be asked; None: they were.
    """

    reports: tuple[BudgetReport, ...]
    unreachable: str | None = None


def read_pacing(settings: Settings) -> Pacing:
    """Ask all budgets; a Redis that is away is said, for commands that only read do not need it."""
    if settings.is_embedded:
        from pipeline.embedded import EmbeddedStack  # noqa: PLC0415  (only where it is wanted)

        stack = EmbeddedStack(settings)
        if not stack.socket.exists():
            return Pacing((), "no Redis runs: commands that fetch bring their own, with its memory")
        settings = settings.model_copy(update=stack.overrides)
    configured = EASTMONEY if settings.quantsync_upstream == "live" else SIMULATOR
    try:
        reports = [open_budget(settings, name).report() for name in BUDGETS]
    except redis.RedisError as error:
        return Pacing((), f"no Redis can be reached ({plain_cause(error)})")
    return Pacing(tuple(r for r in reports if r.facts.granted or r.domain == configured))
