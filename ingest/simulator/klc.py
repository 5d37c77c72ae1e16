"""Sina's packed bars ("klc"): the encoder to the decoder that its pages, and AKShare, bring along.

A body is a stream of bits, lowest first, six to a character of the base64 alphabet. It begins with
the number of its layout (3466: daily bars with amounts) and a version, then holds one record a bar:
numbers of fixed widths, most of them differences from the bar before. A record may begin with a
change of what holds from then on (widths, the day); one that changes nothing is the end.

Prices are hundredths, volumes shares, amounts whole CNY. A bar is taken to be of the weekday after
the one before it; where it is not, its record names the day, counted from 1990-12-19.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BITS = 6
_LAYOUT, _VERSION = 3466, 63
_EPOCH = date(1990, 12, 19)
_SATURDAY = 5
_UNIT = 3
"""Widths are given in steps of three bits."""
_DEFAULT_STEPS = (3, 3, 3, 3, 5, 5)
_SIGNED = (True, False, False, True, True, True)
"""Open, high, low, close, volume, amount: the two extremes are distances from the open."""
_END = "11000"


@dataclass(frozen=True, slots=True)
class PackedBar:
    """One daily bar in the layout's units.

    Attributes:
        session: Its day, not before 1990-12-19.
        open: Hundredths of a CNY, as are high, low and close.
        volume: Shares.
        amount: CNY.
    """

    session: date
    open: int
    high: int
    low: int
    close: int
    volume: int
    amount: int


def pack_bars(bars: Sequence[PackedBar]) -> str:
    """Ascending daily bars as Sina packs them; what the decoder gives back is equal to them."""
    rows = _differences(bars)
    columns = zip(*rows, strict=True)
    steps = [_steps(column, signed=s) for column, s in zip(columns, _SIGNED, strict=True)]
    parts = [_number(_LAYOUT, 12), _number(_VERSION, 6)]
    before: date | None = None
    for bar, row in zip(bars, rows, strict=True):
        if before is None:
            parts.append(_first_head(bar.session, steps))
        else:
            parts.append(_head(before, bar.session))
        parts += (_number(value, n * _UNIT) for value, n in zip(row, steps, strict=True))
        before = bar.session
    return _characters("".join(parts) + _END)


def _differences(bars: Sequence[PackedBar]) -> list[tuple[int, ...]]:
    rows: list[tuple[int, ...]] = []
    close = volume = amount = 0
    for bar in bars:
        rows.append(
            (
                bar.open - close,
                bar.high - bar.open,
                bar.open - bar.low,
                bar.close - bar.open,
                bar.volume - volume,
                bar.amount - amount,
            )
        )
        close, volume, amount = bar.close, bar.volume, bar.amount
    return rows


def _steps(column: Sequence[int], *, signed: bool) -> int:
    """The width that holds every number of a column, in steps of three bits."""
    longest = max(value.bit_length() if value >= 0 else (~value).bit_length() for value in column)
    return max(1, -(-(longest + signed) // _UNIT))


def _first_head(session: date, steps: Sequence[int]) -> str:
    # Big change, flags among it: amounts as they are instead of as corrections of mean x volume.
    flags = "11" + "1" + "1" + "1000" + "0" + "000"
    widths = "1" + "".join(
        "1" + _change(n - default) if n != default else "0"
        for n, default in zip(steps, _DEFAULT_STEPS, strict=True)
    )
    return flags + widths + "1" + _day(session) + "0"


def _head(before: date, session: date) -> str:
    following = before + timedelta(days=1)
    while following.weekday() >= _SATURDAY:
        following += timedelta(days=1)
    return "0" if session == following else "10" + "111" + _day(session)


def _day(session: date) -> str:
    return _number(1, 3) + _number((session - _EPOCH).days, 18)


def _number(value: int, width: int) -> str:
    """A number's bits, lowest first; a negative one in two's complement."""
    return format(value & ((1 << width) - 1), f"0{width}b")[::-1]


def _change(by: int) -> str:
    """A change that is not zero: its sign, then its size in ones."""
    return ("1" if by > 0 else "0") + "1" * (abs(by) - 1) + "0"


def _characters(bits: str) -> str:
    padded = bits + "0" * (-len(bits) % _BITS)
    return "".join(
        _ALPHABET[int(padded[at : at + _BITS][::-1], 2)] for at in range(0, len(padded), _BITS)
    )
