"""Faults on demand: what can go wrong with an upstream, when, and how often.

A fault is a flat set of words, the same on the command line and over HTTP::

    latency:seconds=0.3,jitter=0.1,path=kline
    {"name": "http_status", "status": 429, "secid": "1.600519", "count": 3, "probability": 0.5}

``name`` is one of :data:`FAULTS`; ``path``, ``fs``, ``host``, ``secid``, ``board``, ``klt``,
``fqt``, ``pn`` and ``client`` say which requests it meets (``path``, ``fs`` and ``host`` by a part
of them, the others as a whole); ``count`` how many, ``skip`` how many matching ones pass before,
``probability`` how likely; the rest belongs to the fault. ``host`` also takes the name of an
upstream: ``drop:host=eastmoney`` is Eastmoney switched off, and nobody else.
"""

import random
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from ingest.simulator.draws import key_of
from market.errors import UsageError

FAULTS: dict[str, dict[str, float]] = {
    "drop": {},
    "ban": {"per_second": 5, "per_minute": 200, "per_5_minutes": 300, "seconds": 60},
    "latency": {"seconds": 0.2, "jitter": 0.0},
    "http_status": {"status": 429},
    "captcha": {},
    "data_null": {},
    "empty_success": {},
    "half_bars": {},
    "wrong_units": {"factor": 100},
    "other_symbol": {},
    "adjusted_prices": {"fqt": 1},
    "short_page": {"keep": 0.5},
    "short_list": {"rows": 200},
    "empty_page": {},
    "no_concepts": {},
    "stale_page": {},
    "moving_order": {"spread": 12},
    "truncated_body": {"keep": 0.5},
    "cut_connection": {"keep": 0.5},
    "slow_loris": {"chunk": 1, "interval": 0.1},
}
"""Names of the faults, with their own settings and the defaults of these.

=================  ================================================================================
drop               the connection is closed without a response
ban                as ``drop``, for ``seconds``, once a client reaches ``per_second``,
                   ``per_minute`` or ``per_5_minutes`` requests; a limit of 0 is off
latency            the answer waits ``seconds``, and up to ``jitter`` more
http_status        an error page with ``status``: 429, 403, 502 …
captcha            an HTML page with status 200
data_null          ``{"rc": 0, …, "data": null}``
empty_success      ``dktotal: 0, klines: []``; no trends; a list with a total of 0
half_bars          the latest session as it was at 10:32, though it is over
wrong_units        volumes times ``factor``: 100 gives shares instead of lots, 0.01 the reverse
other_symbol       the answer of another symbol (or board) to a question for klines
adjusted_prices    klines adjusted as ``fqt`` says (1 qfq, 2 hfq), whatever was asked for
short_page         a list page has ``keep`` of its rows; the total is right
short_list         a list ends after ``rows`` rows, and its total agrees
empty_page         ``diff: []`` with the right total
no_concepts        a list page names no concepts (f103 empty in every row)
stale_page         a list page shows the session before the latest
moving_order       rows of a list that is sorted by a price field move up to ``spread`` places
                   between requests, so that pages repeat some and miss others
truncated_body     a whole response whose JSON ends after ``keep`` of it
cut_connection     the connection closes after ``keep`` of the length that was promised
slow_loris         the body trickles: ``chunk`` bytes every ``interval`` seconds
=================  ================================================================================
"""

_MATCHED_BY_PART = ("path", "fs", "host")
_MATCHED_WHOLE = ("secid", "board", "klt", "fqt", "pn", "client")
_WORDS = ("name", "count", "skip", "probability", *_MATCHED_BY_PART, *_MATCHED_WHOLE)


class InvalidFaultError(UsageError):
    """A fault that does not exist, or with settings it does not have."""


@dataclass(slots=True)
class Fault:
    """One fault that is set.

    Attributes:
        id: For deleting it.
        name: One of :data:`FAULTS`.
        match: What a request must be for the fault to meet it.
        settings: The fault's own.
        probability: That it happens to a request it matches.
        skip: Matching requests that pass before it begins.
        count: How often it may still happen; None for ever.
        met: How often it has happened.
    """

    id: int
    name: str
    match: dict[str, str]
    settings: dict[str, float]
    probability: float = 1.0
    skip: int = 0
    count: int | None = None
    met: int = 0
    draw: random.Random = field(default_factory=random.Random)

    def matches(self, facts: Mapping[str, str]) -> bool:
        """Whether a request is one that the fault is meant for."""
        for word, wanted in self.match.items():
            have = facts.get(word, "")
            if wanted not in have if word in _MATCHED_BY_PART else wanted != have:
                return False
        return True

    def happens(self) -> bool:
        """Whether it happens to a request that matches; counts if so."""
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.count == 0 or self.draw.random() >= self.probability:
            return False
        if self.count is not None:
            self.count -= 1
        self.met += 1
        return True

    def as_json(self) -> dict[str, object]:
        """As it was set, with its number and how often it has happened."""
        return {
            "id": self.id,
            "name": self.name,
            **self.match,
            **self.settings,
            "probability": self.probability,
            "skip": self.skip,
            "count": self.count,
            "met": self.met,
        }


class FaultBook:
    """The faults that are set now.

    Args:
        seed: Decides every random choice, together with a fault's number.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._bans: dict[int, BanBook] = {}
        self._next = 1

    def add(self, words: Mapping[str, object]) -> Fault:
        """Set a fault.

        Raises:
            InvalidFaultError: No such fault, or a word or value it does not take.
        """
        with self._lock:
            fault = _fault(words, self._next, self._seed)
            self._next += 1
            if fault.name == "ban":
                self._bans[fault.id] = BanBook(fault.settings)
            self._faults = [*self._faults, fault]
        return fault

    def remove(self, fault_id: int) -> bool:
        """Take a fault away; False if there is none of that number."""
        with self._lock:
            kept = [fault for fault in self._faults if fault.id != fault_id]
            found = len(kept) < len(self._faults)
            self._faults = kept
            self._bans.pop(fault_id, None)
        return found

    def clear(self) -> None:
        """Take all faults away, and with them all bans."""
        with self._lock:
            self._faults = []
            self._bans = {}

    def meeting(self, facts: Mapping[str, str], at: float) -> list[Fault]:
        """The faults that happen to a request, in the order in which they were set.

        Args:
            facts: What the request is, by the words that faults match on.
            at: Monotonic seconds of its arrival.
        """
        if not self._faults:
            return []
        with self._lock:
            return [f for f in self._faults if f.matches(facts) and self._happens(f, facts, at)]

    def as_json(self, at: float) -> list[dict[str, object]]:
        """All faults; of a ban, also the clients banned and for how many more seconds."""
        with self._lock:
            return [{**fault.as_json(), **self._banned(fault.id, at)} for fault in self._faults]

    def _happens(self, fault: Fault, facts: Mapping[str, str], at: float) -> bool:
        if fault.name == "ban" and not self._bans[fault.id].hit(facts.get("client", ""), at):
            return False
        return fault.happens()

    def _banned(self, fault_id: int, at: float) -> dict[str, object]:
        bans = self._bans.get(fault_id)
        return {} if bans is None else {"banned": bans.banned(at)}


class BanBook:
    """Counts each client's requests and bans it at the upstream's thresholds.

    Args:
        settings: ``per_second``, ``per_minute``, ``per_5_minutes`` (0: no limit), ``seconds``.
    """

    def __init__(self, settings: Mapping[str, float]) -> None:
        limits = ((1, "per_second"), (60, "per_minute"), (300, "per_5_minutes"))
        self._limits = [(span, int(settings[name])) for span, name in limits if settings[name] > 0]
        self._seconds = settings["seconds"]
        self._arrivals: dict[str, deque[float]] = {}
        self._until: dict[str, float] = {}

    def hit(self, client: str, at: float) -> bool:
        """Count a request; True if it falls into a ban, or brings one about."""
        if at < self._until.get(client, float("-inf")):
            return True
        arrivals = self._arrivals.setdefault(client, deque())
        arrivals.append(at)
        if arrivals[0] <= at - 300:
            while arrivals[0] <= at - 300:
                arrivals.popleft()
        for span, limit in self._limits:
            if len(arrivals) >= limit and arrivals[-limit] > at - span:
                self._until[client] = at + self._seconds
                arrivals.clear()  # a new count begins after the ban
                return True
        return False

    def banned(self, at: float) -> dict[str, float]:
        """Clients that are banned, and for how many more seconds."""
        return {c: round(until - at, 3) for c, until in self._until.items() if until > at}


def parse_fault(text: str) -> dict[str, object]:
    """Read ``NAME`` or ``NAME:key=value,key=value`` into the words of a fault.

    A comma inside a value is kept where what follows it is no ``key=``, as in list selectors.

    Raises:
        InvalidFaultError: A part is no ``key=value``.
    """
    name, _, rest = text.partition(":")
    words: dict[str, object] = {"name": name.strip()}
    latest = ""
    for part in rest.split(",") if rest else []:
        key, equals, value = part.partition("=")
        if equals:
            latest = key.strip()
            words[latest] = value.strip()
        elif latest:
            words[latest] = f"{words[latest]},{part}"
        else:
            raise InvalidFaultError(
                f"{part!r} in fault {text!r} is not key=value: write e.g. latency:seconds=0.3"
            )
    return words


def _fault(words: Mapping[str, object], fault_id: int, seed: int) -> Fault:
    name = str(words.get("name", ""))
    if name not in FAULTS:
        raise InvalidFaultError(f"{name!r} is not a fault: use one of {', '.join(FAULTS)}")
    own = FAULTS[name]
    unknown = sorted(set(words) - set(own) - set(_WORDS))
    if unknown:
        takes = ", ".join((*own, *_WORDS[1:]))
        raise InvalidFaultError(
            f"fault {name!r} does not take {', '.join(unknown)}: it takes {takes}"
        )
    count = words.get("count")
    return Fault(
        id=fault_id,
        name=name,
        match={w: str(words[w]) for w in (*_MATCHED_BY_PART, *_MATCHED_WHOLE) if w in words},
        settings={key: _number(name, key, words.get(key, value)) for key, value in own.items()},
        probability=_number(name, "probability", words.get("probability", 1.0)),
        skip=int(_number(name, "skip", words.get("skip", 0))),
        count=None if count is None else int(_number(name, "count", count)),
        draw=random.Random(key_of(seed, fault_id, name)),
    )


def _number(name: str, key: str, value: object) -> float:
    try:
        result = float(str(value))
    except ValueError:
        raise InvalidFaultError(
            f"{key} of fault {name!r} must be a number, not {value!r}"
        ) from None
    if not 0 <= result < float("inf"):
        raise InvalidFaultError(f"{key} of fault {name!r} must not be negative, but is {value!r}")
    return result
