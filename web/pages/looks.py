"""What many pages look at at once: read for all of them, and kept for a moment."""

from datetime import date

from market.clock import SystemClock
from pipeline.forecasting import Foreseen, forecast
from pipeline.lateness import Freshness, read_freshness
from pipeline.pacing_reading import Pacing, read_pacing
from pipeline.progress import Meter
from pipeline.runtime import Runtime
from pipeline.symbol_search import read_named
from web.snapshots import Snapshot

_FRESHNESS_S, _SCHEDULE_S, _PACING_S, _NAMED_S = 5.0, 60.0, 1.0, 10.0
DAY_H = 24


class Looks:
    """Made once by :func:`web.pages.assembly.install`; found at ``request.app.state.looks``.

    Attributes:
        freshness: The latest settled session, and how far each dataset and period has come.
        pacing: The request budgets.
        schedule: What begins within a day.
        named: Symbols and boards, to be found by their codes and names.
        meter: How long runs still take.
    """

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.settings

        def freshness() -> tuple[date, list[Freshness]]:
            return read_freshness(runtime, settings.quantsync_upstream)

        def schedule() -> list[Foreseen]:
            return forecast(settings, SystemClock().now(), DAY_H)

        def pacing() -> Pacing:
            return read_pacing(settings)

        self.freshness = Snapshot(freshness, _FRESHNESS_S, "how far the data have come")
        self.schedule = Snapshot(schedule, _SCHEDULE_S, "the schedule")
        self.pacing = Snapshot(pacing, _PACING_S, "the budgets")
        self.named = Snapshot(lambda: read_named(runtime), _NAMED_S, "symbols and boards")
        self.meter = Meter()
