"""What is to be done about an error: never in the words of who asked."""

import re
from collections.abc import Mapping
from typing import Any

_ANY = "/api/v1/openapi.json says what it takes"

# Code, and what `repr` quotes; an apostrophe within or behind a word opens nothing.
_QUOTED = re.compile(r"""`[^`]*`|(?<!\w)'(?:[^'\\]|\\.)*'|(?<!\w)"(?:[^"\\]|\\.)*\"""")

_BY_TYPE = {
    "missing": "give it",
    "extra_forbidden": "leave it out",
    "json_invalid": "send one JSON document in UTF-8",
    "greater_than_equal": "give {ge} or more",
    "less_than_equal": "give {le} or less",
    "string_pattern_mismatch": "write it so that it matches {pattern}",
    "string_too_short": "give {min_length} characters or more",
    "string_too_long": "give {max_length} characters or fewer",
    "too_short": "give {min_length} or more",
    "too_long": "give {max_length} or fewer",
    "enum": "use {expected}",
    "literal_error": "use {expected}",
    "value_error": "{error}",
}
_BY_BEGINNING = {
    "date_": "write it as 2025-12-31",
    "bool_": "give 1 or 0",
    "int_": "give a whole number",
    "string_": "give a text",
    "list_": "give a list",
    "model_": "send a JSON object",
    "dict_": "send a JSON object",
}


def told_remedy(sentence: str) -> str | None:
    """What a sentence says is to be done: the part after its last colon.

    None: there is none, or what stands there quotes what was asked with, which is nobody's advice.
    """
    masked = _QUOTED.sub(_mask, sentence)
    at = masked.rfind(": ")
    if at < 0 or "\0" in masked[at:]:
        return None
    return sentence[at + 2 :]


def _mask(found: re.Match[str]) -> str:
    return ("_" if found[0].startswith("`") else "\0") * len(found[0])


def remedy_of(error: Mapping[str, Any]) -> str:
    """What is to be done about an error of Pydantic's."""
    kind, about = str(error["type"]), error.get("ctx") or {}
    if kind in _BY_TYPE:
        return _BY_TYPE[kind].format_map(about)
    begun = (said for start, said in _BY_BEGINNING.items() if kind.startswith(start))
    return next(begun, _ANY)


def any_remedy(status: int, path: str) -> str | None:
    """What helps where a sentence names nothing better: the description of the API."""
    return _ANY if status in (400, 422) and path.startswith("/api/") else None
