"""The one rule by which bars of the same key meet, for the lake; the warehouse says it in SQL.

A fetch of a key ``(symbol, end_at)`` *outranks* another if it is ``final`` and the other is
``provisional``, or if both are the same and its ``fetched_at`` is later. Two *agree* if state and
all values are equal, an ``open`` or ``turnover_rate`` that one does not know left aside.

1. The values and the state of the one that outranks the other stand. So a ``final`` bar never gives
   way to a ``provisional`` one, and a late message never to a newer one.
2. An ``open`` or ``turnover_rate`` that the standing bar does not know comes from the other: a
   missing value never replaces a known one.
3. ``fetched_at`` and ``source`` are those of the standing bar; if both agree, of the earlier one.
   So a later fetch of the same values changes nothing at all.
4. A final bar whose known values another final one replaces is a revision. The warehouse keeps it,
   and every other bar that gave way or came too late to stand, each fetch once: so what was known
   at any instant can be told (:mod:`storage.as_of`).

Fetches in any order, however often repeated, end in the same bars, ``fetched_at`` and ``source``
included, as long as values move on (a bar does not return to values it had before) and a nullable
column that is sometimes missing has one value. What is given up: if a bar goes from X to Y and back
to X, *and* the fetch of Y is stored last of the three, Y stands until the next fetch, for rule 3
does not record the second X. Recording it would rewrite every bar at every re-fetch.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from market.bars import VALUE_COLUMNS, BarState, Dataset, bar_schema
from storage.keys import Ints, ascending, key_numbers, numbers_of

NULLABLE_COLUMNS = ("open", "turnover_rate")
"""Value columns that a source may leave out."""

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Merge:
    """What came of a merge.

    Attributes:
        bars: All bars that stand now, sorted by key.
        inserted: Keys that are new.
        updated: Keys whose values or state changed.
        unchanged: Keys that came in and changed neither.
        revisions: Final bars as they were before different final ones replaced them.
        changed: Whether ``bars`` differ from before in any column.
    """

    bars: pa.Table
    inserted: int
    updated: int
    unchanged: int
    revisions: pa.Table
    changed: bool

    @property
    def revised(self) -> int:
        """How many final bars were replaced by different final ones."""
        return int(self.revisions.num_rows)


@dataclass(frozen=True, slots=True)
class _Meeting:
    """Bars that met others of the same keys; masks are as long as these, ``rows`` as ``touched``.

    Attributes:
        touched: Where any column changes.
        changed: Where values or state change.
        revised: Where a final bar gives way to a different final one.
        rows: The bars that stand where ``touched``.
    """

    touched: _Mask
    changed: _Mask
    revised: _Mask
    rows: pa.Table


def merge_bars(dataset: Dataset, existing: pa.Table | None, incoming: pa.Table) -> Merge:
    """Merge bars by key.

    Args:
        dataset: Whose bars.
        existing: Bars held; None if there are none.
        incoming: Bars in the dataset's schema, in any order, keys repeated or not.
    """
    schema = bar_schema(dataset)
    held = schema.empty_table() if existing is None else existing.select(schema.names).cast(schema)
    fresh = incoming.select(schema.names).cast(schema)
    held_keys, fresh_keys = key_numbers(dataset, held, fresh)
    mended = not ascending(held_keys)  # somebody else wrote the file
    held, held_keys = _one_per_key(held, held_keys)
    fresh, fresh_keys = _one_per_key(fresh, fresh_keys)

    follows = not len(held_keys) or not len(fresh_keys) or held_keys[-1] < fresh_keys[0]
    if follows and not mended:
        return _appended(held, fresh)
    at, known = _places(held_keys, fresh_keys)
    old, new = _rows(held, at[known]), _rows(fresh, np.flatnonzero(known))
    meeting = _meet(old, new)
    inserted, updated = int((~known).sum()), int(meeting.changed.sum())
    bars = _replace(held, at[known][meeting.touched], meeting.rows)
    if inserted:
        bars = pa.concat_tables([bars, fresh.filter(pa.array(~known))]).unify_dictionaries()
        order = np.argsort(np.concatenate([held_keys, fresh_keys[~known]]), kind="stable")
        bars = bars.take(pa.array(order)).cast(schema).combine_chunks()
    return Merge(
        bars=bars,
        inserted=inserted,
        updated=updated,
        unchanged=int(known.sum()) - updated,
        revisions=old.filter(pa.array(meeting.revised)),
        changed=bool(inserted or meeting.touched.any() or mended),
    )


def _appended(held: pa.Table, fresh: pa.Table) -> Merge:
    """All bars that came in stand behind those held."""
    bars = pa.concat_tables([held, fresh]).unify_dictionaries() if held.num_rows else fresh
    return Merge(
        bars=bars.combine_chunks(),
        inserted=fresh.num_rows,
        updated=0,
        unchanged=0,
        revisions=fresh.slice(0, 0),
        changed=bool(fresh.num_rows),
    )


def one_per_key(dataset: Dataset, bars: pa.Table) -> pa.Table:
    """Bars sorted by key, those that share one merged by the rule."""
    return merge_bars(dataset, None, bars).bars


def _one_per_key(bars: pa.Table, keys: Ints) -> tuple[pa.Table, Ints]:
    """Bars sorted by key; those that share one meet in ascending rank."""
    if ascending(keys):
        return bars, keys
    order = np.argsort(keys, kind="stable")
    if ascending(keys[order]):
        return bars.combine_chunks().take(pa.array(order)), keys[order]
    order = np.lexsort((numbers_of(bars, "fetched_at"), _is_final(bars), keys))
    bars, keys = bars.take(pa.array(order)), keys[order]
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    nth = np.arange(len(keys)) - np.repeat(first, np.diff(np.append(first, len(keys))))
    standing, standing_keys = bars.take(pa.array(first)), keys[first]
    for round_ in range(1, int(nth.max()) + 1):
        at, _ = _places(standing_keys, keys[nth == round_])
        meeting = _meet(standing.take(pa.array(at)), bars.filter(pa.array(nth == round_)))
        standing = _replace(standing, at[meeting.touched], meeting.rows)
    return standing, standing_keys


def _meet(old: pa.Table, new: pa.Table) -> _Meeting:
    """Apply the rule to two tables with the same keys in the same places."""
    old_final, new_final = _is_final(old), _is_final(new)
    old_at, new_at = numbers_of(old, "fetched_at"), numbers_of(new, "fetched_at")
    outranks = (new_final & ~old_final) | ((new_final == old_final) & (new_at > old_at))
    agrees, fills = new_final == old_final, np.zeros(old.num_rows, bool)
    for name in VALUE_COLUMNS:
        same = _mask(pc.equal(old[name], new[name]))
        if name in NULLABLE_COLUMNS:
            unknown = _mask(pc.is_null(old[name]))
            fills |= unknown & _mask(pc.is_valid(new[name]))
            same |= unknown | _mask(pc.is_null(new[name]))
        agrees &= same
    changed = (outranks & ~agrees) | fills
    touched = changed | (agrees & (new_at < old_at))
    stamped = np.where(agrees, new_at < old_at, outranks)
    return _Meeting(
        touched=touched,
        changed=changed,
        revised=outranks & ~agrees & old_final & new_final,
        rows=_standing(
            old.filter(pa.array(touched)),
            new.filter(pa.array(touched)),
            outranks[touched],
            stamped[touched],
        ),
    )


def _standing(old: pa.Table, new: pa.Table, outranks: _Mask, stamped: _Mask) -> pa.Table:
    """The bars that stand: values of whoever outranks, stamps where ``stamped`` of the new ones."""
    if not old.num_rows:
        return old
    both = pa.concat_tables([old, new]).unify_dictionaries()
    row = np.arange(old.num_rows)
    winner, loser = row + len(row) * outranks, row + len(row) * ~outranks
    stamp = row + len(row) * stamped
    columns = []
    for name in old.column_names:
        chosen = both[name].take(pa.array(stamp if name in ("fetched_at", "source") else winner))
        if name in NULLABLE_COLUMNS:
            chosen = pc.coalesce(chosen, both[name].take(pa.array(loser)))
        columns.append(chosen)
    return pa.table(columns, schema=old.schema)


def _replace(bars: pa.Table, at: Ints, rows: pa.Table) -> pa.Table:
    """Bars with those at some places replaced."""
    if not len(at):
        return bars
    source = np.arange(bars.num_rows)
    source[at] = bars.num_rows + np.arange(len(at))
    return pa.concat_tables([bars, rows]).unify_dictionaries().take(pa.array(source))


def _places(held_keys: Ints, keys: Ints) -> tuple[Ints, _Mask]:
    """Where each key is, or would go, among those held; and whether it is there."""
    at = np.searchsorted(held_keys, keys)
    known = np.zeros(len(keys), bool)
    inside = at < len(held_keys)
    known[inside] = held_keys[at[inside]] == keys[inside]
    return at, known


def _rows(bars: pa.Table, at: Ints) -> pa.Table:
    """Rows at ascending places; without a copy where they lie side by side."""
    if len(at) and at[-1] - at[0] == len(at) - 1:
        return bars.slice(at[0], len(at))
    return bars.take(pa.array(at))


def _is_final(bars: pa.Table) -> _Mask:
    masks = [np.empty(0, bool)]
    for chunk in bars["state"].chunks:
        final = pc.equal(chunk.dictionary, BarState.FINAL.value).to_numpy(zero_copy_only=False)
        masks.append(np.asarray(final, bool)[chunk.indices.to_numpy(zero_copy_only=False)])
    return np.concatenate(masks)


def _mask(values: pa.ChunkedArray) -> _Mask:
    """A mask; what cannot be compared is false."""
    known = pc.fill_null(values, False)  # noqa: FBT003  (pyarrow's own signature)
    return np.asarray(known.to_numpy(zero_copy_only=False), bool)
