"""A hash of what bars say, the same for the same bars however they are stored."""

import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from market.bars import VALUE_COLUMNS, Dataset


def bars_digest(dataset: Dataset, bars: pa.Table) -> str:
    """SHA-256 over key, values, state and source of bars sorted by key; ``fetched_at`` apart.

    Chunks and dictionary encoding do not matter; every bit of a price does, but for the sign of a
    zero, which SQLite does not keep.
    """
    digest = hashlib.sha256()
    for name in (dataset.key, "end_at", "session", *VALUE_COLUMNS, "state", "source"):
        digest.update(name.encode())
        for part in _parts(bars[name].combine_chunks()):
            digest.update(part)
    return digest.hexdigest()


def _parts(column: pa.Array) -> Iterator[bytes]:
    if pa.types.is_dictionary(column.type) or pa.types.is_string(column.type):
        encoded = column.cast(pa.string()).dictionary_encode()
        order = pc.sort_indices(encoded.dictionary).to_numpy()
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        yield "\n".join(encoded.dictionary.take(pa.array(order)).to_pylist()).encode()
        yield rank[encoded.indices.to_numpy(zero_copy_only=False)].tobytes()
    elif pa.types.is_floating(column.type):
        yield column.is_valid().to_numpy(zero_copy_only=False).tobytes()
        values = pc.fill_null(column, 0.0).to_numpy(zero_copy_only=False)
        yield (values + 0.0).tobytes()  # -0.0 becomes 0.0
    else:
        whole = column.cast(pa.int32()) if pa.types.is_date(column.type) else column
        yield whole.cast(pa.int64()).to_numpy(zero_copy_only=False).tobytes()
