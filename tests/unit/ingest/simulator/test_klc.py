"""Sina's packed bars: what the simulator packs, AKShare's own decoder unpacks to the last digit."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.simulator.klc import PackedBar, pack_bars

Decoder = Callable[[str], list[dict[str, Any]]]
FIRST = date(1990, 12, 19)


@pytest.fixture(scope="module")
def decode() -> Decoder:
    """The script that Sina's pages bring along, as AKShare runs it."""
    import py_mini_racer  # noqa: PLC0415  (a V8 in a library, as is pandas: only where it is used)
    from akshare.stock.cons import hk_js_decode  # noqa: PLC0415

    script = py_mini_racer.MiniRacer()
    script.eval(hk_js_decode)
    return lambda text: list(script.call("d", text))


@st.composite
def series(draw: st.DrawFn) -> list[PackedBar]:
    """Bars of any day of the week, gaps of any length, prices and volumes of any size."""
    day = FIRST + timedelta(days=draw(st.integers(0, 9_000)))
    bars = []
    for _ in range(draw(st.integers(1, 12))):
        opened, close = (draw(st.integers(1, 5_000_000)) for _ in range(2))
        bars.append(
            PackedBar(
                day,
                opened,
                max(opened, close) + draw(st.integers(0, 90_000)),
                draw(st.integers(1, min(opened, close))),
                close,
                draw(st.integers(0, 10**11)),
                draw(st.integers(0, 10**12)),
            )
        )
        day += timedelta(days=draw(st.sampled_from([1, 1, 1, 2, 3, 9, 400])))
    return bars


def unpacked(rows: list[dict[str, Any]]) -> list[PackedBar]:
    """What the decoder gave, in the layout's units."""
    return [
        PackedBar(
            date.fromisoformat(row["date"][:10]),
            **{name: round(row[name] * 100) for name in ("open", "high", "low", "close")},
            volume=row["volume"],
            amount=row["amount"],
        )
        for row in rows
    ]


@settings(max_examples=60)
@given(bars=series())
def test_packed_bars_come_back_equal_from_the_decoder(
    decode: Decoder, bars: list[PackedBar]
) -> None:
    assert unpacked(decode(pack_bars(bars))) == bars
