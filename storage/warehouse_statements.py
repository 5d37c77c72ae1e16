"""The SQL of one kline table: the rule of :mod:`storage.merging`, in words both databases share."""

from collections.abc import Iterable
from datetime import datetime, time

from market.bars import VALUE_COLUMNS, BarState, Dataset
from market.clock import EXCHANGE_TZ
from market.periods import Period
from market.sessions import Window
from storage.merging import NULLABLE_COLUMNS
from storage.tables import KLINE_TABLES

_LOCKS = 7_215_002
_STAMPS = ("fetched_at", "source")
_CARRIED = (*VALUE_COLUMNS, "state", "source", "fetched_at")
_FINAL = BarState.FINAL.value


class Statements:
    """Statements that merge the temporary table ``incoming`` into one kline table.

    In all of them ``t`` is the bar held and ``i`` (in the upsert ``excluded``) the one coming in.

    Args:
        dataset: Whose bars.
        period: Length of the bars.
        is_sqlite: SQLite; PostgreSQL otherwise.
    """

    def __init__(self, dataset: Dataset, period: Period, *, is_sqlite: bool) -> None:
        self.owner = dataset.key
        self.code = "symbol" if dataset is Dataset.KLINE else "code"
        self.name = KLINE_TABLES[dataset, period].name
        self.table = f'"{self.name}"'
        self._dataset, self._period = dataset, period
        self._false = "0" if is_sqlite else "false"
        self._no_limit = "LIMIT -1" if is_sqlite else "OFFSET 0"

    @property
    def lock(self) -> str:
        """Wait for every other transaction that writes the table (PostgreSQL)."""
        number = list(KLINE_TABLES).index((self._dataset, self._period))
        return f"SELECT pg_advisory_xact_lock({_LOCKS}, {number})"

    def add_named_owners(self, codes: Iterable[str]) -> str:
        """Give each new one of some codes an id; sorted, so that two writers never deadlock."""
        flag = "listed" if self._dataset is Dataset.KLINE else "active"
        listed = ", ".join(f"({quoted(code)})" for code in sorted(codes))
        return (
            f"INSERT INTO {self.owner} ({self.code}, {flag}) "  # noqa: S608
            f"SELECT column1, {self._false} FROM (VALUES {listed}) i WHERE column1 NOT IN "
            f"(SELECT {self.code} FROM {self.owner}) ORDER BY column1 ON CONFLICT DO NOTHING"
        )

    def owner_ids(self, codes: Iterable[str]) -> str:
        """Code and id of some owners."""
        listed = ", ".join(quoted(code) for code in codes)
        return f"SELECT {self.code}, id FROM {self.owner} WHERE {self.code} IN ({listed})"  # noqa: S608

    def owners_with_bars(self, ids: Iterable[int], first: int, last: int) -> str:
        """Those of some ids that have a bar from one end to another: one look at the key each."""
        listed = ", ".join(f"({number})" for number in ids)
        return (
            f"SELECT column1 FROM (VALUES {listed}) i WHERE (SELECT 1 FROM {self.table} t "  # noqa: S608
            f"WHERE t.{self.owner}_id = i.column1 AND t.end_at BETWEEN {first} AND {last} "
            "LIMIT 1) IS NOT NULL"
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the table, in the order in which rows are given."""
        return (f"{self.owner}_id", "end_at", "session", *_CARRIED)

    @property
    def insert(self) -> str:
        """Insert one row that meets none (SQLite)."""
        return (
            f"INSERT INTO {self.table} ({', '.join(self.columns)}) "  # noqa: S608
            f"VALUES ({', '.join('?' * len(self.columns))})"
        )

    @property
    def count(self) -> str:
        """Rows; keys held; bars that any column, any value, or a known final value changes.

        Then those that differ from the one held, whichever of the two stands.
        """
        fills = " OR ".join(f"(t.{n} IS NULL AND i.{n} IS NOT NULL)" for n in NULLABLE_COLUMNS)
        both_final = f"i.state = '{_FINAL}' AND t.state = '{_FINAL}'"
        replaces = "outranks AND NOT agrees"
        sums = (
            f"(earlier AND agrees) OR ({replaces}) OR fills",
            f"({replaces}) OR fills",
            f"both_final AND {replaces}",
            "NOT agrees",
        )
        counted = ", ".join(
            f"sum(CASE WHEN held IS NOT NULL AND ({condition}) THEN 1 ELSE 0 END)"
            for condition in sums
        )
        # The limit keeps the columns from being compared anew for each of the sums.
        return (
            f"SELECT count(*), count(held), {counted} FROM "  # noqa: S608
            f"(SELECT t.end_at AS held, {_outranks('i')} AS outranks, {_agrees('i')} AS agrees, "
            f"({fills}) AS fills, ({both_final}) AS both_final, "
            f"(i.fetched_at < t.fetched_at) AS earlier {self._joined} {self._no_limit}) met"
        )

    @property
    def keep_replaced(self) -> str:
        """Keep the bars that are about to be replaced by different ones."""
        old = ", ".join(f"t.{name}" for name in _CARRIED)
        return self._keep(f"t.end_at, {old}, i.fetched_at", self._joined, self._replaced("i"))

    def keep_outranked(self, arrived: str = "incoming") -> str:
        """Keep the bars of a temporary table that came too late to stand; after the upsert."""
        late = ", ".join(f"i.{name}" for name in _CARRIED)
        joined = self._joined.replace("FROM incoming", f"FROM {arrived}")
        return self._keep(f"i.end_at, {late}, t.fetched_at", joined, self._outranked("i"))

    def _keep(self, values: str, joined: str, condition: str) -> str:
        return (
            "INSERT INTO kline_revision "
            f"(dataset, period, subject_id, end_at, {', '.join(_CARRIED)}, revised_at) "
            f"SELECT '{self._dataset.value}', '{self._period.value}', o.id, {values} "
            f"{joined} WHERE {condition} ORDER BY o.id, i.end_at, i.fetched_at "
            "ON CONFLICT DO NOTHING"
        )

    @property
    def upsert(self) -> str:
        """Insert what is new, change what differs."""
        values = ", ".join(f"i.{name}" for name in _CARRIED)
        standing = ", ".join(f"{name} = {self._standing(name)}" for name in _CARRIED)
        return (
            f"INSERT INTO {self.table} AS t "  # noqa: S608
            f"({self.owner}_id, end_at, session, {', '.join(_CARRIED)}) "
            f"SELECT o.id, i.end_at, i.session, {values} FROM incoming i "
            f"JOIN {self.owner} o ON o.{self.code} = i.owner WHERE true "
            f"ORDER BY o.id, i.end_at ON CONFLICT ({self.owner}_id, end_at) DO UPDATE "
            f"SET {standing} WHERE {self._touched('excluded')}"
        )

    def select(
        self,
        columns: Iterable[str],
        *,
        names: Iterable[str] | None = None,
        window: Window | None = None,
    ) -> str:
        """Some columns of the bars of some owners (None: all) in a closed window, and their key.

        A bar ends within its session. So a window of some owners is a stretch of the key; only one
        of all owners needs the index on sessions.
        """
        wanted = dict.fromkeys([self.owner, "end_at", *columns])
        chosen = ", ".join(
            f"o.{self.code} AS {self.owner}" if name == self.owner else f"k.{name}"
            for name in wanted
        )
        conditions = []
        if names is not None:
            listed = ", ".join(quoted(name) for name in sorted(names))
            conditions.append(f"o.{self.code} IN ({listed or 'NULL'})")
        if window is not None and names is None:
            conditions.append(f"k.session BETWEEN '{window.start}' AND '{window.end}'")
        elif window is not None:
            first = datetime.combine(window.start, time.min, EXCHANGE_TZ)
            last = datetime.combine(window.end, time.max, EXCHANGE_TZ)
            span = f"{int(first.timestamp())} AND {int(last.timestamp())}"
            conditions.append(f"k.end_at BETWEEN {span}")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return (
            f"SELECT {chosen} FROM {self.table} k "  # noqa: S608
            f"JOIN {self.owner} o ON o.id = k.{self.owner}_id{where}"
        )

    @property
    def _joined(self) -> str:
        return (
            f"FROM incoming i JOIN {self.owner} o ON o.{self.code} = i.owner "
            f"LEFT JOIN {self.table} t ON t.{self.owner}_id = o.id AND t.end_at = i.end_at"
        )

    def _standing(self, name: str) -> str:
        """The value of a column that stands when ``excluded`` meets ``t``."""
        if name in _STAMPS:
            earlier = "excluded.fetched_at < t.fetched_at"
            new = f"CASE WHEN {_agrees('excluded')} THEN {earlier} ELSE {_outranks('excluded')} END"
            return f"CASE WHEN {new} THEN excluded.{name} ELSE t.{name} END"
        new, old = f"excluded.{name}", f"t.{name}"
        if name in NULLABLE_COLUMNS:
            new, old = f"COALESCE({new}, {old})", f"COALESCE({old}, {new})"
        return f"CASE WHEN {_outranks('excluded')} THEN {new} ELSE {old} END"

    def _touched(self, i: str) -> str:
        restamped = f"({i}.fetched_at < t.fetched_at AND {_agrees(i)})"
        return f"({restamped} OR {self._changed(i)})"

    def _changed(self, i: str) -> str:
        fills = (f"(t.{n} IS NULL AND {i}.{n} IS NOT NULL)" for n in NULLABLE_COLUMNS)
        changes = f"({_outranks(i)} AND NOT {_agrees(i)}) OR {' OR '.join(fills)}"
        return f"(t.end_at IS NOT NULL AND ({changes}))"

    def _replaced(self, i: str) -> str:
        return f"(t.end_at IS NOT NULL AND {_outranks(i)} AND NOT {_agrees(i)})"

    def _outranked(self, i: str) -> str:
        return f"(t.end_at IS NOT NULL AND NOT {_outranks(i)} AND NOT {_agrees(i)})"


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _outranks(i: str) -> str:
    return (
        f"(({i}.state = '{_FINAL}' AND t.state <> '{_FINAL}') "
        f"OR ({i}.state = t.state AND {i}.fetched_at > t.fetched_at))"
    )


def _agrees(i: str) -> str:
    same = [f"{i}.state = t.state"]
    for name in VALUE_COLUMNS:
        equal = f"{i}.{name} = t.{name}"
        if name in NULLABLE_COLUMNS:
            equal = f"COALESCE({equal}, true)"  # one of them does not know it
        same.append(equal)
    return f"({' AND '.join(same)})"
