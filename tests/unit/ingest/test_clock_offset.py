"""An upstream's clock, read from a header that its answers carry anyway."""

import pytest

from ingest.clock_offset import clock_offset

NOON = 1_767_153_600.0  # 2025-12-31 04:00:00 UTC


@pytest.mark.parametrize(
    ("header", "off_s"),
    [
        ("Wed, 31 Dec 2025 04:00:00 GMT", 0.5),
        ("Wed, 31 Dec 2025 04:00:09 GMT", 9.5),
        ("Wed, 31 Dec 2025 03:58:00 GMT", -119.5),
        ("Wed, 31 Dec 2025 04:00:00 -0000", 0.5),
        ("yesterday", None),
        (None, None),
    ],
)
def test_the_header_date_tells_how_far_a_clock_is_off(
    header: str | None, off_s: float | None
) -> None:
    """Half a second of the header's whole second is added; nonsense tells nothing."""
    assert clock_offset(header, NOON) == off_s
