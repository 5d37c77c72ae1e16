"""Pictures show what they are given: rising red, falling green, held sessions whole."""

from datetime import date, timedelta

import pytest

from admin_tasks.figures import DOWN, FLAT, UP, Pen, draw_boards, draw_chart, draw_coverage
from admin_tasks.report_facts import BoardHeat, Candle, Chart, Freshness
from market.bars import Dataset
from market.boards import BoardKind
from market.periods import Period

DAY = date(2025, 12, 1)
HELD = "#3d7ea6"


def chart(*bodies: tuple[float, float]) -> str:
    """The picture of candles that open and close so."""
    candles = tuple(
        Candle(DAY + timedelta(days=at), opened, 12.0, 8.0, closed, 1000)
        for at, (opened, closed) in enumerate(bodies)
    )
    return draw_chart(Chart("600519.SH", None, candles)).decode()


@pytest.mark.parametrize(
    ("opened", "closed", "colour"), [(9.0, 11.0, UP), (11.0, 9.0, DOWN), (10.0, 10.0, FLAT)]
)
def test_a_candle_is_red_if_it_rose_and_green_if_it_fell(
    opened: float, closed: float, colour: str
) -> None:
    """Wick, body and volume alike."""
    picture = chart((opened, closed))

    assert colour in picture
    assert all(other not in picture for other in {UP, DOWN, FLAT} - {colour})


def test_the_same_facts_make_the_same_picture() -> None:
    assert chart((9.0, 11.0), (11.0, 10.0)) == chart((9.0, 11.0), (11.0, 10.0))


def test_a_session_that_is_held_whole_looks_unlike_one_that_is_not() -> None:
    def coverage(held: int, due: int) -> str:
        row = Freshness(
            Dataset.KLINE, Period.DAILY, 2, held, 0, due - held, 0, None, None, 0, 0, 0,
            days=((DAY, held, due),),
        )  # fmt: skip
        return draw_coverage([row]).decode()

    assert HELD in coverage(2, 2)
    assert HELD not in coverage(1, 2)
    assert HELD not in coverage(0, 0)


def test_a_tile_is_shaded_by_its_change_and_has_outlines_for_letters() -> None:
    """So the picture needs no font to be seen."""
    heat = BoardHeat(
        "BK0001", "a name that is far too long for one tile", BoardKind.CONCEPT, 0.1, 1
    )

    picture = draw_boards([heat], Pen()).decode()

    assert UP in picture
    assert "<text" not in picture
    assert "<path" in picture
