"""What the request budgets of this installation say, if the Redis that keeps them can be asked."""

from dataclasses import dataclass

from ingest.budget_report import BudgetReport
from ingest.causes import plain_cause
from ingest.domains import EASTMONEY
from pipeline.embedded_redis import redis_socket, redis_url
from pipeline.settings import Settings


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
    if settings.is_embedded and settings.budget_redis_url is None:
        if not redis_socket(settings.home).exists():
            return Pacing((), "no Redis runs; commands that fetch start it, with all it knew")
        settings = settings.model_copy(update={"budget_redis_url": redis_url(settings.home, 2)})
    import redis  # noqa: PLC0415  (commands that find no Redis need not wait for its import)

    from pipeline.budgets import BUDGETS, SIMULATOR, open_budget  # noqa: PLC0415

    configured = EASTMONEY if settings.quantsync_upstream == "live" else SIMULATOR
    try:
        reports = [open_budget(settings, name).report() for name in BUDGETS]
    except redis.RedisError as error:
        return Pacing((), f"no Redis can be reached ({plain_cause(error)})")
    return Pacing(tuple(r for r in reports if r.facts.granted or r.domain == configured))
