"""Bars as they are answered: read once, encoded once, for as long as the files stay the same."""

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa

from market.adjustments import Adjustment
from market.aggregation import AGGREGATED_FROM, Evidence
from market.clock import SystemClock
from market.sessions import Window
from pipeline.adjust_reading import Adjusting, adjust_notices, read_adjusting
from pipeline.kline_query import KlineQuery, NothingHeldError, read_bars, read_page
from pipeline.kline_reading import evidence_for, reader_for, what_to_sync
from pipeline.readiness import check_lake
from pipeline.runtime import Runtime
from storage.aliases import Aliases, read_aliases
from storage.errors import LakeUnreadableError, StorageError
from storage.ex_right import read_lake_ex_rights
from storage.lake import Lake
from storage.lake_slices import LakeSlices, days_of
from storage.queries import BarReader
from web.encoding import Form, encode
from web.snapshots import Snapshot

_ALIASES_FRESH_S = 1.0
_AWAY_S, _SILENT_S = 2.0, 10.0
_QUERIES, _QUERY_S = 4, 3.0
_AWAY_NOTICE = "the database is away: the ex-rights are those of the lake's copy"

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked for.

    Attributes:
        after: End of the last bar of the page before, epoch seconds; None: this is the first page.
        known: Entity tags that the client has.
    """

    query: KlineQuery
    limit: int
    form: Form
    after: int | None = None
    known: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Attributes:
        body: None: the client has it.
        more_after: Where the next page goes on; None: there is none.
    """

    etag: str
    body: bytes | None
    more_after: int | None = None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Adjusted:
    wanted: Adjusting
    notices: tuple[str, ...] = ()


class Bars:
    """Shared by all requests and threads of a process.

    Attributes:
        codes: The codes that are no longer borne, as text: it changes when a symbol is renumbered.

    Args:
        runtime: The stores.
        most_bytes: For bars that are kept, as they were read and as they were answered.
    """

    def __init__(self, runtime: Runtime, most_bytes: int) -> None:
        self._runtime = runtime
        self._aliases = Snapshot(
            lambda: read_aliases(runtime.database), _ALIASES_FRESH_S, "the codes of symbols"
        )
        lake = Lake(runtime.settings.lake_path, aliases=self.aliases)
        self._slices = LakeSlices(lake, most_bytes * 3 // 4)
        self._answers = _Answers(most_bytes // 4)
        self._seen: Aliases | None = None
        self.codes = ""
        self._away_until = 0.0
        self._queries = ThreadPoolExecutor(_QUERIES, thread_name_prefix="bars")

    def aliases(self) -> Aliases:
        """The codes that are no longer borne.

        Raises:
            StorageError: They were never read, and the database is away.
        """
        aliases = self._aliases.get()
        if aliases is not self._seen:
            told = json.dumps(sorted(aliases.items()))
            if self.codes not in ("", told):
                self._slices.clear()  # a symbol was renumbered: its bars bear two codes
            self._seen, self.codes = aliases, told
        return aliases

    @property
    def aliases_are_fresh(self) -> bool:
        """Whether nothing is waited for to have them."""
        return self._aliases.is_fresh and self._aliases.value is not None

    def at_hand(self, ask: Ask) -> Answer | None:
        """The answer, if it is at hand without looking at any file; else None. Never waits."""
        query = ask.query
        is_plain = query.adjust is Adjustment.NONE and query.as_of is None
        if not is_plain or query.period in AGGREGATED_FROM:
            return None
        if not self._slices.is_at_hand(query.dataset, query.period):
            return None
        tag = self._tag(ask, _Adjusted({}))
        return self._known(ask, tag) or self._answers.get(tag)

    def answer(self, ask: Ask) -> Answer:
        """Read what is asked for; in a thread.

        Raises:
            NothingHeldError: There is none.
            StorageError: A store that is needed cannot be read.
        """
        query = ask.query
        adjusted = self._adjusted(query)
        changes_by_itself = query.as_of is not None or query.period in AGGREGATED_FROM
        tag = "" if changes_by_itself else self._tag(ask, adjusted)
        if tag:
            at_hand = self._known(ask, tag) or self._answers.get(tag)
            if at_hand is not None:
                return at_hand
        made = self._made(ask, adjusted, tag)
        if tag:
            self._answers.put(made)
            return made
        return self._known(ask, made.etag) or made

    def _made(self, ask: Ask, adjusted: _Adjusted, tag: str) -> Answer:
        query = ask.query
        reader: BarReader = self._slices
        if query.as_of is not None:
            reader = reader_for(self._runtime, query.as_of)
        evidence = self._evidence(query)

        def read(part: KlineQuery) -> pa.Table:
            return read_bars(part, reader, adjusted.wanted, evidence)

        seen = self._slices.partitions(query.dataset, query.fetched_period)
        files = self._slices.partitions(query.dataset, query.fetched_period, query.window)
        page = read_page(query, read, [days_of(each) for each in files], ask.limit, ask.after)
        if not page.bars.num_rows:
            self._check_lake(query, is_seen=bool(seen))
            if ask.after is None:
                raise _nothing(query)
        notices = (*adjusted.notices, *self._told(query, page.bars, adjusted))
        about = {
            "symbol": query.name,
            "period": query.period.value,
            "adjust": query.adjust.value,
            "method": query.method.value if query.adjust is not Adjustment.NONE else None,
            "as_of": query.as_of.isoformat() if query.as_of else None,
            "next": None if page.more_after is None else str(page.more_after),
            "notices": list(notices),
        }
        body = encode(page.bars, ask.form, about)
        return Answer(tag or _etag(body), body, page.more_after, notices)

    def _tag(self, ask: Ask, adjusted: _Adjusted) -> str:
        """The entity tag of an answer that changes with the files alone."""
        query = ask.query
        version = self._slices.version(query.dataset, query.fetched_period, query.window)
        events = sorted(map(repr, adjusted.wanted.get("events", ())))
        asked = (repr(query), ask.limit, ask.after, ask.form)
        parts = [version, self.codes, asked, events, adjusted.notices]
        return _etag(json.dumps(parts, default=str).encode())

    def _check_lake(self, query: KlineQuery, *, is_seen: bool) -> None:
        """Bars that could not be reached when they were read are not to be fetched again."""
        runtime, series = self._runtime, (query.dataset, query.fetched_period)
        manifest = runtime.lake_manifest
        check_lake(runtime, lambda: self._by_database(manifest.has_bars, lambda: True))
        if not is_seen and Lake(runtime.settings.lake_path).partitions(*series):
            raise LakeUnreadableError("the lake came back this very moment: ask again")

    @staticmethod
    def _known(ask: Ask, tag: str) -> Answer | None:
        return Answer(tag, None) if tag in ask.known else None

    def _adjusted(self, query: KlineQuery) -> _Adjusted:
        """How to adjust; where the database is away, by the ex-rights that the lake has."""
        given = (query.dataset, query.name, query.adjust, query.method)
        if query.adjust is Adjustment.NONE:
            return _Adjusted({})
        if query.as_of is not None:
            return _Adjusted(read_adjusting(self._runtime, *given, query.as_of))

        def from_lake() -> _Adjusted:
            events = read_lake_ex_rights(self._runtime.lake.root, [query.name])
            wanted: Adjusting = {"adjust": query.adjust, "method": query.method, "events": events}
            return _Adjusted(wanted, (_AWAY_NOTICE,))

        return self._by_database(
            lambda: _Adjusted(read_adjusting(self._runtime, *given)), from_lake
        )

    def _evidence(self, query: KlineQuery) -> Evidence | None:
        if query.period not in AGGREGATED_FROM:
            return None
        given = (query.dataset, query.name, query.period, query.as_of)
        settled_at, calendar = self._runtime.settings.settled_at, self._runtime.calendar
        return self._by_database(
            lambda: evidence_for(self._runtime, *given),
            lambda: Evidence(SystemClock().now(), settled_at=settled_at, calendar=calendar),
        )

    def _told(self, query: KlineQuery, bars: pa.Table, adjusted: _Adjusted) -> tuple[str, ...]:
        def notices() -> tuple[str, ...]:
            told = adjust_notices(self._runtime, query.name, bars, adjusted.wanted, query.as_of)
            return tuple(told)

        return self._by_database(notices, tuple) if adjusted.wanted else ()

    def _by_database(self, read: Callable[[], Found], otherwise: Callable[[], Found]) -> Found:
        """Read from the database; where it was away a moment ago, it is not waited for again."""
        if time.monotonic() < self._away_until:
            return otherwise()
        try:
            return self._queries.submit(read).result(_QUERY_S)
        except StorageError:
            self._away_until = time.monotonic() + _AWAY_S
        except TimeoutError:
            self._away_until = time.monotonic() + _SILENT_S  # asking again costs more
        return otherwise()

    def close(self) -> None:
        """Read no more."""
        self._aliases.close()
        self._slices.close()
        self._queries.shutdown(wait=False, cancel_futures=True)


class _Answers:
    """Bodies by their entity tags; the longest unused goes first."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Answer] = OrderedDict()
        self._bytes = 0

    def get(self, tag: str) -> Answer | None:
        with self._lock:
            found = self._kept.get(tag)
            if found is not None:
                self._kept.move_to_end(tag)
            return found

    def put(self, answer: Answer) -> None:
        if answer.body is None or len(answer.body) > self._most // 4:
            return
        with self._lock:
            before = self._kept.pop(answer.etag, None)
            self._bytes += len(answer.body) - len((before and before.body) or b"")
            self._kept[answer.etag] = answer
            while self._bytes > self._most:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= len(gone.body or b"")


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def _nothing(query: KlineQuery) -> NothingHeldError:
    when = f"were held at {query.as_of:%Y-%m-%d %H:%M:%S}" if query.as_of else "are held"
    return NothingHeldError(
        f"no {query.period.value} bars of {query.name} {when}{_within(query.window)}: "
        f"{what_to_sync(query.period)}",
        {"symbol": query.name, "period": query.period.value},
    )


def _within(window: Window | None) -> str:
    return "" if window is None else f" from {window.start} to {window.end}"
