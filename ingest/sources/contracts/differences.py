"""What differs between the contract recorded and the AKShare installed, and whom it concerns."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, cast

from ingest.sources.contracts.calls import CALLS, RESERVES, SEAMS, Call

MISSING = "missing"
NOTHING = "nothing"
_UNREAD = "nothing of ours reads it"
_ALL = "everything that is fetched through AKShare"
_REQUESTS = "the budget counts every request, and the simulator answers these"
_SENT = ("requests", "past the wire")

_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that is not as recorded.

    Attributes:
        function: AKShare's function, or the attribute that we replace.
        what: The fact.
        expected: As recorded.
        found: Of the AKShare installed.
        relied_on_by: What of ours is concerned.
    """

    function: str
    what: str
    expected: str
    found: str
    relied_on_by: str


@dataclass(frozen=True, slots=True)
class _Changed:
    path: _Path
    expected: object
    found: object


def compare(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[Difference]:
    """All differences, in the order of the contract."""
    differences = []
    if recorded["akshare"] != found["akshare"]:
        differences.append(
            Difference("akshare", "version", recorded["akshare"], found["akshare"], _ALL)
        )
    for part, tell in (("functions", _of_function), ("seams", _of_seam)):
        old, new = recorded[part], found[part]
        for name in dict.fromkeys([*old, *new]):
            changed = _walk((), old.get(name), new.get(name))
            differences += [tell(name, each) for each in changed]
    return differences


def _walk(path: _Path, old: object, new: object) -> Iterator[_Changed]:
    """The smallest parts that differ."""
    if old == new:
        return
    if isinstance(old, dict) and new == MISSING:
        yield _Changed(path, "there", MISSING)
        return
    if isinstance(old, dict) and isinstance(new, dict):
        if "raises" in new.keys() - old.keys():
            # Without a frame all that it held differs; the cause is enough.
            yield _Changed((*path, "gives"), str(old.get("rows")), f"raises {new['raises']}")
            old, new = ({name: each.get(name) for name in _SENT} for each in (old, new))
        for name in dict.fromkeys([*old, *new]):
            yield from _walk((*path, name), old.get(name), new.get(name))
        if old.keys() == new.keys() and list(old) != list(new):
            yield _Changed((*path, "order of"), list(old), list(new))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _walk_list(path, old, new)
    else:
        yield _Changed(path, old, new)


def _walk_list(path: _Path, old: Sequence[object], new: Sequence[object]) -> Iterator[_Changed]:
    marks = [json.dumps(each, sort_keys=True) for each in old]
    others = [json.dumps(each, sort_keys=True) for each in new]
    for tag, a, b, c, d in SequenceMatcher(None, marks, others, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        if b - a == d - c:
            for at in range(b - a):
                place = str(a + at + 1)
                yield from _walk((*path, place), old[a + at], new[c + at])
        else:
            yield _Changed((*path, str(a + 1)), list(old[a:b]) or None, list(new[c:d]) or None)


def _of_function(name: str, changed: _Changed) -> Difference:
    path = changed.path
    calls = [call for call in CALLS if call.function == name]
    users = [call.ours for call in calls] + [r.ours for r in RESERVES if r.function == name]
    concerned = "; ".join(dict.fromkeys(users)) or _UNREAD
    what = "the function"
    if path[:1] == ("signature",):
        what = " ".join(("signature:", *path[1:]))
    elif path[:1] == ("calls",):
        call = next((call for call in calls if call.name == path[1]), None)
        what = _told(path[1:])
        concerned = _concerned(call, path[2:], changed) if call else concerned
    elif path:
        what = _told(path)
    return Difference(name, what, _text(changed.expected), _text(changed.found), concerned)


def _of_seam(name: str, changed: _Changed) -> Difference:
    ours = next((seam.ours for seam in SEAMS if str(seam) == name), _UNREAD)
    what = _told(changed.path) if changed.path else "what it is"
    return Difference(name, what, _text(changed.expected), _text(changed.found), ours)


def _told(path: _Path) -> str:
    """``raw: requests 1, query fqt``."""
    first, *rest = path
    words = " ".join(rest).replace(" query ", ", query ").replace("values ", "values of ")
    return f"{first}: {words}" if rest else first


def _concerned(call: Call, path: _Path, changed: _Changed) -> str:
    if path[:1] == ("values",) and len(path) > 1:
        column = call.columns.get(path[1])
        return f"{call.ours}: {column.ours}" if column else _UNREAD
    if path[:1] == ("columns",):
        named = _columns(changed.expected) | _columns(changed.found)
        read = [f"{n} → {c.ours}" for n, c in call.columns.items() if n in named]
        if call.key in named and call.key not in call.columns:
            read.append(f"{call.key} → session and end_at")
        return f"{call.ours}: {', '.join(read)}" if read else f"{call.ours}: {_UNREAD}"
    if path[:1] == ("labels",):
        return f"{call.ours}: session and end_at (bars are labelled at their end)"
    if path[:1] == ("requests",):
        return f"{call.ours}: {_REQUESTS}"
    return call.ours


def _columns(value: object) -> set[str]:
    """Names of columns written as ``name: type``."""
    texts = value if isinstance(value, list) else [value]
    return {str(text).rpartition(": ")[0] for text in texts if text is not None}


def _text(value: object) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, dict):
        request = cast("dict[str, Any]", value)
        if "to" in request:
            return f"{request['to']}?{_query(request['query'])}"
        if "again" in request:
            return f"again, with {_query(request['again']) or 'nothing changed'}"
        return ", ".join(f"{name} {_text(each)}" for name, each in request.items())
    if isinstance(value, list):
        return "; ".join(_text(each) for each in value)
    return str(value)


def _query(query: Mapping[str, str]) -> str:
    return "&".join(f"{name}={value}" for name, value in query.items())
