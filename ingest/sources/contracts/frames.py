"""A frame as plain data: its columns, order, labels, and whether they hold what was served."""

import datetime as dt
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ingest.sources.contracts.calls import Column

Facts = dict[str, object]
Truth = Mapping[str, Sequence[object]]
"""Served rows by their key: a kline's label, a list's code. Cells by :attr:`Column.number`."""

_FACTORS = (100.0, 0.01, 10.0, 0.1, 1e3, 1e-3, 1e4, 1e-4, 1e8, 1e-8)
_TOLERANCE = 1e-9
_INSTANTS = ("日期", "时间")


def frame_facts(
    frame: pd.DataFrame, key: str, columns: Mapping[str, Column], truth: Truth, served: int
) -> Facts:
    """What a frame holds.

    Args:
        frame: As AKShare gave it.
        key: Column that tells its rows apart.
        columns: Those that we read.
        truth: What was served, and perhaps more.
        served: How many rows were served.
    """
    facts: Facts = {
        "rows": _rows(len(frame), served),
        "columns": [
            f"{name}: {_kind(frame.iloc[:, place])}" for place, name in enumerate(frame.columns)
        ],
    }
    if frame.empty or key not in frame:
        return facts
    sorted_by = [key] if key in _INSTANTS else [key, "涨跌幅"]
    facts["order"] = {name: _order(frame[name]) for name in sorted_by if name in frame}
    if key in _INSTANTS:
        facts["labels"] = _labels(frame[key])
    rows = [truth.get(_label(value)) for value in frame[key]]
    facts["values"] = {
        name: _meaning(frame[name], rows, column)
        for name, column in columns.items()
        if name in frame
    }
    return facts


def _rows(found: int, served: int) -> str:
    if found != served:
        return f"{found} of the {served} served"
    return "all that were served" if served else "none, as none were served"


def _kind(values: pd.Series) -> str:
    """``int64``, ``float64``, ``text``, ``date``: texts are named alike by every pandas."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        return str(values.dtype)
    kinds = sorted({type(value).__name__ for value in values})
    return "text" if kinds == ["str"] else " or ".join(kinds) or "nothing"


def _order(values: pd.Series) -> str:
    known = values.dropna()
    if known.is_monotonic_increasing:
        return "ascending"
    return "descending" if known.is_monotonic_decreasing else "neither"


def _labels(values: pd.Series) -> Facts:
    """How instants are written, and at which the bars of the last session stand."""
    texts = [str(value) for value in values]
    last = [text for text in texts if text[:10] == texts[-1][:10]]
    facts: Facts = {"form": re.sub(r"\d", "0", texts[0])}
    times = [text[11:16] for text in last]
    if any(times):
        halves = [[t for t in times if t <= "12:00"], [t for t in times if t > "12:00"]]
        facts["bars of a session"] = len(times)
        facts["morning"], facts["afternoon"] = (
            f"{half[0]} … {half[-1]}" if half else "none" for half in halves
        )
    return facts


def _label(value: object) -> str:
    """A key as it was served: minute labels lost their seconds on the way."""
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d}" if value.time() == dt.time() else f"{value:%Y-%m-%d %H:%M}"
    text = str(value)
    return text[:16] if len(text) == len("2025-12-31 09:35:00") else text


def _meaning(values: pd.Series, rows: Sequence[Sequence[object] | None], column: Column) -> str:
    """The unit if the values are those served; else how they differ."""
    unknown = sum(row is None for row in rows)
    if unknown:
        return f"{unknown} of {len(rows)} rows stand under a key that was not served"
    wanted = [row[column.number] for row in rows if row is not None]
    if not pd.api.types.is_numeric_dtype(values.dtype):
        return column.unit if list(values) == wanted else f"not the {column.unit} served"
    found = values.to_numpy(dtype=float)
    truth = pd.to_numeric(pd.Series(wanted, dtype=object), errors="coerce").to_numpy(dtype=float)
    if _same(found, truth):
        return column.unit
    factor = next((f for f in _FACTORS if _same(found, f * truth)), None)
    return f"not the {column.unit} served" if factor is None else f"{factor:g} × {column.unit}"


def _same(found: np.ndarray, truth: np.ndarray) -> bool:
    return bool(np.allclose(found, truth, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True))
