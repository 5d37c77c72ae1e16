"""What a schedule needs, in numbers: when it fits and when it is refused."""

import pytest

from ingest.rates import parse_windows
from scheduling.steady_need import (
    ScheduleTooDenseError,
    nightly_need,
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


def test_ticks_that_come_half_as_often_may_need_twice_as_much() -> None:
    """Every ten minutes 215 symbols fit, and the message counts in tens."""
    steady_need(5_500, 215, LIVE, 600).check()
    with pytest.raises(ScheduleTooDenseError, match=r"10-minute sync .* in 10 minutes"):
        steady_need(5_500, 216, LIVE, 600).check()


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


RUNS = ("stocks_5m", "stocks_daily", "stocks_5m_final", "concepts_daily", "industries_daily")
BOARDS = {"concepts_daily": 480, "industries_daily": 90}


def test_the_runs_after_the_close_end_before_the_next_session() -> None:
    """Lists are small beside the symbols that are fetched singly: 6,400 of 38,880 requests."""
    need = nightly_need(RUNS, listed=5_500, boards=BOARDS, members_by_page=False, windows=LIVE)
    need.check()

    assert dict(need.requests) == {
        "stocks_daily": 155,
        "stocks_5m_final": 5_500,
        "concepts_daily": 5 + 55 + 480,
        "industries_daily": 1 + 55 + 90,
    }
    assert need.permitted == 38_880


def test_a_night_that_is_too_short_is_refused_with_what_would_help() -> None:
    """A request every 12 seconds; without minute bars it would do."""
    slow = parse_windows("1/12s")
    known = {"listed": 5_500, "boards": BOARDS, "members_by_page": False, "windows": slow}
    with pytest.raises(ScheduleTooDenseError, match="SCHEDULE=stocks_5m_final=off"):
        nightly_need(RUNS, **known).check()  # type: ignore[arg-type]

    nightly_need([r for r in RUNS if r != "stocks_5m_final"], **known).check()  # type: ignore[arg-type]


def test_members_by_page_cost_two_requests_a_board_and_unknown_boards_are_assumed() -> None:
    need = nightly_need(
        ["concepts_daily"],
        listed=0,
        boards={"concepts_daily": 0},
        members_by_page=True,
        windows=LIVE,
    )

    assert dict(need.requests) == {"concepts_daily": 6 + 1_200 + 600}
