"""The request budgets of this installation, opened as its settings say."""

import redis

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
