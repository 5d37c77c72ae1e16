"""A hash of what bars say, the same for the same bars however they are stored."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from market.bars import VALUE_COLUMNS, Dataset


def bars_digest(dataset: Dataset, bars: pa.Table) -> str:
    """SHA-256 over key, values, state and source of bars sorted by key; ``fetched_at`` apart.

    Chunks and dictionary encoding do not matter; every bit of a price does.
    """
    digest = hashlib.sha256()
    for name in (dataset.key, "end_at", "session", *VALUE_COLUMNS, "state", "source"):
        digest.update(name.encode())
        digest.update(_bytes(bars[name].combine_chunks()))
    return digest.hexdigest()


def _bytes(column: pa.Array) -> bytes:
    if pa.types.is_dictionary(column.type) or pa.types.is_string(column.type):
        return "\n".join(column.cast(pa.string()).to_pylist()).encode()
    if pa.types.is_floating(column.type):
        present = column.is_valid().to_numpy(zero_copy_only=False)
        values = pc.fill_null(column, 0.0).to_numpy(zero_copy_only=False)
        return bytes(present.tobytes()) + np.ascontiguousarray(values, np.float64).tobytes()
    whole = column.cast(pa.int32()) if pa.types.is_date(column.type) else column
    numbers = whole.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return bytes(np.ascontiguousarray(numbers, np.int64).tobytes())
