"""The keys of bars as numbers, which sort as ``(symbol, end_at)`` does and compare in no time."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from market.bars import Dataset

Ints = npt.NDArray[np.int64]

_ENDS = 1 << 36  # epoch seconds stay below it for 2,000 years


def key_numbers(dataset: Dataset, *tables: pa.Table) -> list[Ints]:
    """One number for each bar of each table, comparable between the tables.

    Args:
        dataset: Whose bars.
        tables: In the dataset's schema, in any order.
    """
    both = pa.chunked_array(
        [chunk for table in tables for chunk in table[dataset.key].chunks],
        pa.dictionary(pa.int32(), pa.string()),
    ).unify_dictionaries()
    owners = np.concatenate([_ranks(chunk) for chunk in both.chunks] or [np.empty(0, np.int64)])
    numbers, start = [], 0
    for table in tables:
        stop = start + table.num_rows
        numbers.append(owners[start:stop] * _ENDS + numbers_of(table, "end_at"))
        start = stop
    return numbers


def numbers_of(bars: pa.Table, name: str) -> Ints:
    """A column of whole numbers, dates or instants."""
    return np.asarray(bars[name].cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)


def ascending(keys: Ints) -> bool:
    """Whether each is greater than the one before."""
    return bool((keys[1:] > keys[:-1]).all())


def _ranks(coded: pa.DictionaryArray) -> Ints:
    """The place of each row's text among those of the dictionary, which may name one twice."""
    ranks = pc.rank(coded.dictionary, sort_keys="ascending", tiebreaker="dense").to_numpy()
    return np.asarray(ranks.astype(np.int64)[coded.indices.to_numpy(zero_copy_only=False)])
