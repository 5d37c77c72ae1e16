"""Cells of Eastmoney's list rows, typed: what is neither a value nor its sign for none is drift.

A number is written in two ways here (``89585``, ``32711449.0``), none in one (``"-"``).
Nothing else is read as a number, and nothing is read as "none" that does not say so.
"""

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

from ingest.source import SchemaDriftError

NONE = "-"
"""What the upstream writes where there is no value."""

Row = dict[str, Any]

_NUMBERS = frozenset({int, float})


def texts(rows: Sequence[Row], field: str) -> list[str]:
    """A column of texts that every row must have.

    Raises:
        SchemaDriftError: A row has none, or something else.
    """
    values = [row.get(field) for row in rows]
    for row, value in zip(rows, values, strict=True):
        if not isinstance(value, str) or not value:
            raise _drift(row, field, value, "a text")
    return [str(value) for value in values]


def numbers(rows: Sequence[Row], field: str) -> list[float | None]:
    """A column of finite numbers; None where the upstream writes ``-``.

    Raises:
        SchemaDriftError: A row has no such field, or anything else in it.
    """
    values: list[Any] = [row.get(field) for row in rows]
    if set(map(type, values)) <= _NUMBERS and all(map(math.isfinite, values)):
        return values
    result: list[float | None] = []
    for row, value in zip(rows, values, strict=True):
        if value == NONE:
            result.append(None)
        elif type(value) in _NUMBERS and value is not None and math.isfinite(value):
            result.append(value)
        else:
            raise _drift(row, field, value, "a number")
    return result


def whole_numbers(rows: Sequence[Row], field: str, *, times: int = 1) -> list[int | None]:
    """A column of whole numbers, times a factor; None where the upstream writes ``-``.

    Raises:
        SchemaDriftError: As :func:`numbers`; or a number is not whole.
    """
    result: list[int | None] = []
    for row, value in zip(rows, numbers(rows, field), strict=True):
        if value is None:
            result.append(None)
        elif value == int(value):
            result.append(int(value) * times)
        else:
            raise _drift(row, field, value, "a whole number")
    return result


def days(rows: Sequence[Row], field: str) -> list[date | None]:
    """A column of days written ``20010827``; None where there is none, or no such field.

    Raises:
        SchemaDriftError: Anything else.
    """
    result: list[date | None] = []
    for row in rows:
        value = row.get(field, NONE)
        if value in (NONE, 0):
            result.append(None)
            continue
        try:
            if type(value) is not int:
                raise ValueError  # noqa: TRY301  (one refusal for both)
            result.append(date(value // 10_000, value // 100 % 100, value % 100))
        except ValueError:
            raise _drift(row, field, value, "a day such as 20010827") from None
    return result


def instants(rows: Sequence[Row], field: str) -> list[int | None]:
    """A column of Unix seconds; None where there is none, or no such field.

    Raises:
        SchemaDriftError: Anything else.
    """
    result: list[int | None] = []
    for row in rows:
        value = row.get(field, NONE)
        if value in (NONE, 0):
            result.append(None)
        elif type(value) is int and 0 < value < 1 << 33:
            result.append(value)
        else:
            raise _drift(row, field, value, "an instant in seconds")
    return result


def names(rows: Sequence[Row], field: str) -> list[str | None]:
    """A column of names; None where there is none, or no such field.

    Raises:
        SchemaDriftError: Anything but a text.
    """
    result: list[str | None] = []
    for row in rows:
        value = row.get(field, NONE)
        if not isinstance(value, str):
            raise _drift(row, field, value, "a name")
        result.append(None if value in (NONE, "") else value)
    return result


def _drift(row: Row, field: str, value: object, wanted: str) -> SchemaDriftError:
    of = row.get("f12", "a row without a code")
    return SchemaDriftError(
        f"the upstream's list gives {value!r} as {field} of {of}, where {wanted} or "
        f"{NONE!r} is due: nothing was taken",
        {"symbol": of, "field": field, "value": repr(value)},
    )
