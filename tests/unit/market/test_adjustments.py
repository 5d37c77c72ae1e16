"""Ex-rights: the exchange's reference price, and the lines that adjust a price."""

import pickle
from datetime import date

import pytest

from market.adjustments import (
    Adjustment,
    AdjustMethod,
    ExRight,
    InvalidExRightError,
    one_per_session,
    steps_of,
)

DAY, LATER = date(2021, 6, 23), date(2022, 6, 6)


@pytest.mark.parametrize(
    ("numbers", "reference"),
    [
        # Recorded ex-rights of 000001, 601012, 600188, 601236: previous close and what was given.
        ({"previous_close": 17.21, "cash": 0.145}, 17.07),
        ({"previous_close": 109.70, "cash": 0.25, "bonus": 0.4}, 78.18),
        ({"previous_close": 27.09, "rights": 0.3, "rights_price": 4.65}, 21.91),
        ({"previous_close": 33.87, "cash": 4.3, "bonus": 0.5}, 19.71),
        ({"previous_close": 30.0, "bonus": 1.0}, 15.0),
        # Half a cent rounds up: (1.01 - 0.005) / 1 = 1.005.
        ({"previous_close": 1.01, "cash": 0.005}, 1.01),
    ],
)
def test_the_reference_price_is_the_exchanges(numbers: dict[str, float], reference: float) -> None:
    assert ExRight("601012.SH", DAY, **numbers).reference_price == reference


@pytest.mark.parametrize(
    "numbers",
    [
        {"cash": 10.0},
        {"bonus": -1.0},
        {"cash": float("nan")},
    ],
)
def test_an_event_that_leaves_nothing_of_a_share_is_refused_with_its_name(
    numbers: dict[str, float],
) -> None:
    with pytest.raises(InvalidExRightError, match=r"601012\.SH on 2021-06-23") as caught:
        ExRight("601012.SH", DAY, 10.0, **numbers)
    assert pickle.loads(pickle.dumps(caught.value)).context["symbol"] == "601012.SH"


def test_two_events_of_one_day_make_one_reference_price() -> None:
    """Cash and bonus that come as two records are what they would be as one, rights too."""
    cash = ExRight("601012.SH", DAY, 20.0, cash=0.5)
    bonus = ExRight("601012.SH", DAY, 20.0, bonus=0.2)
    rights = ExRight("601012.SH", DAY, 20.0, rights=0.3, rights_price=5.0)

    (one,) = one_per_session([bonus, rights, cash])

    assert one.reference_price == 14.0  # (20 - 0.5 + 0.3 * 5) / 1.5
    both = ExRight("601012.SH", DAY, 20.0, cash=0.5, bonus=0.2, rights=0.3, rights_price=5.0)
    assert one == both


def test_a_withdrawn_event_adjusts_nothing() -> None:
    void = ExRight("601012.SH", DAY, 20.0)

    assert void.is_void
    assert steps_of([void], Adjustment.QFQ, AdjustMethod.RATIO).slopes == (1.0,)


@pytest.mark.parametrize("method", list(AdjustMethod))
def test_forward_prices_end_raw_and_back_prices_begin_raw(method: AdjustMethod) -> None:
    events = [
        ExRight("601012.SH", LATER, 80.0, cash=0.26, bonus=0.4),
        ExRight("601012.SH", DAY, 110.0, cash=0.25, bonus=0.4),
    ]
    qfq = steps_of(events, Adjustment.QFQ, method)
    hfq = steps_of(events, Adjustment.HFQ, method)

    assert qfq.sessions == hfq.sessions == (DAY, LATER)
    assert (qfq.slopes[-1], qfq.intercepts[-1]) == (1.0, 0.0)
    assert (hfq.slopes[0], hfq.intercepts[0]) == (1.0, 0.0)


@pytest.mark.parametrize("adjustment", [Adjustment.QFQ, Adjustment.HFQ])
@pytest.mark.parametrize("method", list(AdjustMethod))
def test_the_previous_close_and_the_reference_price_are_worth_the_same(
    adjustment: Adjustment, method: AdjustMethod
) -> None:
    """That is what an adjustment is: over the ex-right nothing is gained or lost."""
    event = ExRight("601012.SH", DAY, 110.0, cash=0.25, rights=0.3, rights_price=60.0, bonus=0.1)
    steps = steps_of([event], adjustment, method)
    before, after = (
        steps.slopes[i] * price + steps.intercepts[i]
        for i, price in enumerate((event.previous_close, event.reference_price))
    )
    # The affine lines know nothing of the rounding of the reference price to 0.01.
    tolerance = 1e-12 if method is AdjustMethod.RATIO else 0.005 * max(steps.slopes)
    assert before == pytest.approx(after, abs=tolerance + 1e-9)
