"""The request budgets of this installation, opened as its settings say."""

import redis

from ingest.pacing import RedisBudget
from ingest.throttling import BanPolicy
from pipeline.settings import Settings

EASTMONEY = "eastmoney"
SIMULATOR = "simulator"
DOMAINS = (EASTMONEY, SIMULATOR)
"""Risk domains that have a budget."""


def plain_redis_url(url: str) -> str:
    """Celery's spelling of a Redis URL in redis-py's: ``redis+socket://…?virtual_host=2``."""
    if url.startswith("redis+socket://"):
        return url.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=")
    return url


def open_budget(settings: Settings, domain: str) -> RedisBudget:
    """The budget of a risk domain for this installation's address; nothing is connected yet."""
    client = redis.Redis.from_url(
        plain_redis_url(settings.budget_url),
        # Or a Redis that stands still would hold a thread for ever.
        socket_timeout=10,
        socket_connect_timeout=5,
        health_check_interval=15,
    )
    return RedisBudget(
        client,
        domain=domain,
        egress=settings.egress_id,
        windows=settings.windows_for("live" if domain == EASTMONEY else domain),
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
