"""The codes that symbols have borne, and bars under the present one.

Every reader and writer of bars translates: a symbol is one series in both stores, under its present
code, whichever code it was fetched under.
"""

from collections.abc import Collection, Mapping

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, select

from market.bars import Dataset
from storage.database import Database
from storage.identity_tables import symbol_alias
from storage.merging import merge_bars
from storage.tables import symbol

Aliases = Mapping[str, str]
"""From every code that is no longer borne to the present one."""


def aliases_within(connection: Connection) -> dict[str, str]:
    """All codes that are no longer borne, inside the caller's transaction."""
    query = (
        select(symbol_alias.c.code, symbol.c.symbol)
        .join(symbol, symbol.c.id == symbol_alias.c.symbol_id)
        .where(symbol_alias.c.valid_to.is_not(None), symbol_alias.c.code != symbol.c.symbol)
    )
    return {old: present for old, present in connection.execute(query)}  # noqa: C416  (Rows)


def read_aliases(database: Database) -> dict[str, str]:
    """All codes that are no longer borne.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.reading() as connection:
        return aliases_within(connection)


def all_codes(names: Collection[str], aliases: Aliases) -> set[str]:
    """Symbols under every code they have borne, whichever of them they are named by."""
    present = {aliases.get(name, name) for name in names}
    return present | {old for old, new in aliases.items() if new in present}


def bears_old_code(bars: pa.Table, aliases: Aliases) -> bool:
    """Whether any bar stands under a code that is no longer borne."""
    if not aliases or not bars.num_rows:
        return False
    codes = pc.unique(bars[Dataset.KLINE.key].cast(pa.string())).to_pylist()
    return any(code in aliases for code in codes)


def under_present_codes(bars: pa.Table, aliases: Aliases) -> pa.Table:
    """Stock bars under present codes, sorted, one a key by the rule of :mod:`storage.merging`.

    Args:
        bars: In the schema of stock bars.
        aliases: Which codes are no longer borne.
    """
    if not bears_old_code(bars, aliases):
        return bars
    key = Dataset.KLINE.key
    codes = bars[key].cast(pa.string()).combine_chunks().dictionary_encode()
    texts = [aliases.get(code, code) for code in codes.dictionary.to_pylist()]
    named = pa.array(texts, pa.string()).take(codes.indices)
    place = bars.schema.get_field_index(key)
    renamed = bars.set_column(
        place, bars.schema.field(place), named.cast(bars.schema.field(place).type)
    )
    return merge_bars(Dataset.KLINE, None, renamed).bars
