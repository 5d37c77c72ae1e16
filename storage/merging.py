"""The one rule by which bars of the same key meet, for the lake; the warehouse says it in SQL.

For one key ``(symbol, end_at)``:

1. A ``final`` bar never gives way to a ``provisional`` one.
2. Otherwise the later ``fetched_at`` wins, if a value or the state differs. With equal values the
   bar stays as it is, ``fetched_at`` and ``source`` included, and counts as unchanged.
3. A missing ``open`` or ``turnover_rate`` never replaces a known one.
4. A final bar replaced by a different final bar is a revision: the old one is kept apart.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from market.bars import VALUE_COLUMNS, BarState, Dataset, bar_schema

_NULLABLE = ("open", "turnover_rate")
_Ints = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Merge:
    """What came of a merge.

    Attributes:
        bars: All bars that stand now, sorted by key.
        inserted: Keys that are new.
        updated: Keys whose values or state changed.
        unchanged: Keys that came in and changed nothing.
        revised: Final bars that were replaced by different final ones.
    """

    bars: pa.Table
    inserted: int
    updated: int
    unchanged: int
    revised: int

    @property
    def changed(self) -> bool:
        """Whether anything differs from before."""
        return bool(self.inserted or self.updated)


def merge_bars(dataset: Dataset, existing: pa.Table | None, incoming: pa.Table) -> Merge:
    """Merge bars by key.

    Args:
        dataset: Whose bars.
        existing: Bars held, sorted by key, one per key; None if there are none.
        incoming: Bars in the dataset's schema, in any order, keys repeated or not.
    """
    schema = bar_schema(dataset)
    held = schema.empty_table() if existing is None else existing.select(schema.names)
    fresh = incoming.select(schema.names).cast(schema)
    held_keys, fresh_keys = _keys(dataset, held, fresh)
    fresh, fresh_keys = _latest_per_key(fresh, fresh_keys)
    at = np.searchsorted(held_keys, fresh_keys)
    known = np.zeros(len(fresh_keys), bool)
    inside = at < len(held_keys)
    known[inside] = held_keys[at[inside]] == fresh_keys[inside]
    old, new = held.take(pa.array(at[known])), fresh.filter(pa.array(known))
    new = _keep_known(new, old)
    wins = _outranks(new, old) & _differs(new, old)
    revised = int((wins & _is_final(old) & _is_final(new)).sum())
    inserted = int((~known).sum())
    if not inserted and not wins.any():
        return Merge(held, 0, 0, int(known.sum()), 0)
    keep = np.ones(held.num_rows, bool)
    keep[at[known][wins]] = False
    parts = [
        (held.filter(pa.array(keep)), held_keys[keep]),
        (new.filter(pa.array(wins)), fresh_keys[known][wins]),
        (fresh.filter(pa.array(~known)), fresh_keys[~known]),
    ]
    merged = pa.concat_tables([table for table, _ in parts]).unify_dictionaries()
    order = np.argsort(np.concatenate([keys for _, keys in parts]), kind="stable")
    return Merge(
        bars=merged.take(pa.array(order)).cast(schema).combine_chunks(),
        inserted=inserted,
        updated=int(wins.sum()),
        unchanged=int((~wins).sum()),
        revised=revised,
    )


def _keys(dataset: Dataset, held: pa.Table, fresh: pa.Table) -> tuple[_Ints, _Ints]:
    """Keys of both tables as numbers that sort as ``(symbol, end_at)`` does."""
    both = pa.concat_tables([held.select([dataset.key]), fresh.select([dataset.key])])
    encoded = both[dataset.key].cast(pa.string()).combine_chunks().dictionary_encode()
    rank = np.empty(len(encoded.dictionary), np.int64)
    rank[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(rank))
    names = rank[encoded.indices.to_numpy(zero_copy_only=False)]
    ends = np.concatenate([_epochs(held), _epochs(fresh)])
    keys = names * (1 << 36) + ends  # epoch seconds stay below 2**36 for 2,000 years
    return keys[: held.num_rows], keys[held.num_rows :]


def _epochs(bars: pa.Table) -> _Ints:
    return np.asarray(bars["end_at"].cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)


def _latest_per_key(fresh: pa.Table, keys: _Ints) -> tuple[pa.Table, _Ints]:
    """Sorted by key, and of each key the bar that outranks the others."""
    if len(keys) and (np.diff(keys) > 0).all():
        return fresh, keys
    fetched = fresh["fetched_at"].cast(pa.int64()).to_numpy(zero_copy_only=False)
    order = np.lexsort((fetched, _is_final(fresh), keys))
    ordered = keys[order]
    last = np.append(ordered[1:] != ordered[:-1], True) if len(ordered) else np.zeros(0, bool)
    return fresh.take(pa.array(order[last])), ordered[last]


def _is_final(bars: pa.Table) -> _Mask:
    mask = pc.equal(bars["state"].cast(pa.string()), BarState.FINAL.value)
    return np.asarray(mask.to_numpy(zero_copy_only=False), bool)


def _keep_known(new: pa.Table, old: pa.Table) -> pa.Table:
    for name in _NULLABLE:
        filled = pc.coalesce(new[name], old[name])
        new = new.set_column(new.schema.get_field_index(name), new.schema.field(name), filled)
    return new


def _outranks(new: pa.Table, old: pa.Table) -> _Mask:
    new_final, old_final = _is_final(new), _is_final(old)
    later = pc.greater(new["fetched_at"], old["fetched_at"]).to_numpy(zero_copy_only=False)
    return np.asarray((new_final & ~old_final) | ((new_final == old_final) & later), bool)


def _differs(new: pa.Table, old: pa.Table) -> _Mask:
    differs = _is_final(new) != _is_final(old)
    for name in VALUE_COLUMNS:
        same = pc.fill_null(pc.equal(new[name], old[name]), False)  # noqa: FBT003
        both_null = pc.and_(pc.is_null(new[name]), pc.is_null(old[name]))
        differs |= ~np.asarray(pc.or_(same, both_null).to_numpy(zero_copy_only=False), bool)
    return np.asarray(differs, bool)
