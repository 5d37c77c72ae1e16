"""Random numbers that depend on nothing but a key and an index.

Any process draws the same number for the same key and index, in any order and for any subset, and
with any release of numpy: the generator (splitmix64) is integer arithmetic written out here.
"""

from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from ingest.simulator.bars import Floats, Ints

Bits = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_QUARTER = np.uint64(0xFFFF)


def key_of(*parts: object) -> int:
    """A 64-bit key for a tuple of names and numbers."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def chance(*parts: object) -> float:
    """One number in [0, 1) for a tuple of names and numbers."""
    return (key_of(*parts) >> 11) * 2.0**-53


def whole(limit: int, *parts: object) -> int:
    """One whole number in [0, limit) for a tuple of names and numbers."""
    return key_of(*parts) % limit


def bits(key: int | Bits, index: Ints) -> Bits:
    """64 random bits for each index; a column of keys gives one row per key."""
    start = np.asarray(key, dtype=np.uint64)
    x: Bits = start + (index.astype(np.uint64) + np.uint64(1)) * _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


def uniform(key: int | Bits, index: Ints) -> Floats:
    """Numbers in [0, 1)."""
    result: Floats = (bits(key, index) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return result


def normal(key: int | Bits, index: Ints) -> Floats:
    """Nearly normal numbers, mean 0 and deviation 1: sums of four, exact in binary."""
    x = bits(key, index)
    total = x & _QUARTER
    for shift in (16, 32, 48):
        total = total + ((x >> np.uint64(shift)) & _QUARTER)
    result: Floats = (total.astype(np.float64) / 65536.0 - 1.99997) * 1.7320508
    return result
