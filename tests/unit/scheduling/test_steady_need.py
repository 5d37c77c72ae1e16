"""What a schedule needs, in numbers: when it fits and when it is refused."""

import pytest

from ingest.rates import parse_windows
from scheduling.steady_need import (
    ScheduleTooDenseError,
    permits_within,
    seconds_for,
    steady_need,
)

LIVE = parse_windows("1/1s,180/300s")


def test_a_market_and_forty_symbols_fit_beside_a_backfill() -> None:
    """55 pages and 40 symbols of the 135 requests that the live lane has in any case."""
    need = steady_need(5_500, 40, LIVE)
    need.check()
    assert (need.requests, need.permitted, need.live) == (95, 180, 135)


@pytest.mark.parametrize(("listed", "assumed"), [(0, 55), (5_501, 56)])
def test_an_unknown_market_is_taken_for_a_whole_one(listed: int, assumed: int) -> None:
    """Nobody starts a schedule that fits an empty catalog only."""
    assert steady_need(listed, 0, LIVE).pages == assumed


def test_one_symbol_too_many_is_refused_with_the_number_that_fits() -> None:
    """80 fit, 81 do not."""
    steady_need(5_500, 80, LIVE).check()
    with pytest.raises(ScheduleTooDenseError, match="shorten WATCH_LIST to 80 symbols"):
        steady_need(5_500, 81, LIVE).check()


@pytest.mark.parametrize(
    ("requests", "seconds"),
    [
        (0, 0), (1, 0), (2, 1), (180, 179), (181, 300), (359, 478), (360, 479), (361, 600),
        (5_500, 30 * 300 + 99), (20_000, 111 * 300 + 19),
    ],
)  # fmt: skip
def test_requests_take_as_long_as_all_windows_together_say(requests: int, seconds: int) -> None:
    """A request a second until 180 are sent, then none before the next five minutes."""
    assert seconds_for(requests, LIVE) == seconds


def test_a_burst_that_one_window_permits_waits_for_the_other() -> None:
    """Three at once, then three each ten seconds, and no more than four in fifteen."""
    windows = parse_windows("3/10s,4/15s")
    assert [seconds_for(n, windows) for n in range(1, 9)] == [0, 0, 0, 10, 15, 15, 20, 25]


def test_permits_are_those_of_all_windows_together() -> None:
    """The narrowest decides."""
    assert permits_within(LIVE, 300) == 180
    assert permits_within(LIVE, 60) == 36
