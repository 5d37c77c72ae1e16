"""Arrow columns as the Python values that ``sqlite3`` takes, and back, fast."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

_PORTION = 8192  # as many Python values as stay in the processor's cache


def rows_of(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """The rows of a table of numbers and texts; a missing number becomes NULL."""
    portions = (table.slice(at, _PORTION) for at in range(0, table.num_rows, _PORTION))
    return chain.from_iterable(
        zip(*map(_values, portion.columns), strict=True) for portion in portions
    )


def _values(column: pa.ChunkedArray) -> list[Any]:
    kind = column.type
    if pa.types.is_floating(kind) or (pa.types.is_integer(kind) and not column.null_count):
        # NaN stands for what is missing, and SQLite stores it as NULL.
        values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return values
    coded = column if pa.types.is_dictionary(kind) else column.dictionary_encode()
    coded = coded.unify_dictionaries().combine_chunks()
    if isinstance(coded, pa.ChunkedArray) or coded.null_count:
        return column.to_pylist()  # type: ignore[no-any-return]
    # Each text is made once and then pointed at.
    texts = np.array(coded.dictionary.to_pylist(), dtype=object)
    return texts[coded.indices.to_numpy()].tolist()  # type: ignore[no-any-return]
