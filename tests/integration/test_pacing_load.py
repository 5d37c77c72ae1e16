"""The budget under load, by the upstream's own log: almost all of the rate, never more."""

import pytest

from ingest.rates import RateWindow
from pipeline.bench.redis_server import RedisServer
from tests.pacing_load import put_load

pytestmark = [pytest.mark.alone, pytest.mark.lengthy]


def test_workers_together_use_the_permitted_rate_and_exceed_no_window(
    redis_server: RedisServer,
) -> None:
    """Four processes of eight threads with the wire; a ban lies one request beyond a window."""
    windows = (RateWindow(40, 1.0), RateWindow(120, 8.0))
    ban = {"per_second": 41, "per_minute": 0, "per_5_minutes": 0}

    load = put_load(redis_server.url(), windows, 17.0, ban)

    assert load.banned == 0
    assert load.violations == 0, load.busiest
    assert load.used >= 0.97
