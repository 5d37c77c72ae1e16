"""Bars as bytes: JSON, CSV, an Arrow stream, Parquet. All by Arrow, never row by row in Python."""

import io
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from market.bars import PRICE_COLUMNS


class Form(StrEnum):
    """How bars can be given."""

    JSON = "json"
    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"


MEDIA_TYPES = {
    Form.JSON: "application/json",
    Form.CSV: "text/csv",
    Form.ARROW: "application/vnd.apache.arrow.stream",
    Form.PARQUET: "application/vnd.apache.parquet",
}
_NUMBERS = (*PRICE_COLUMNS, "volume", "amount")
_INSTANT = "%Y-%m-%dT%H:%M:%S+08:00"  # the exchange's time has had no other offset since 1991


def encode(bars: pa.Table, form: Form, about: Mapping[str, Any]) -> bytes:
    """Bars in a form.

    Args:
        bars: ``end_at``, prices, ``volume``, ``amount``, ``state``.
        form: Which.
        about: What JSON says beside the bars; Arrow and Parquet keep it as metadata.
    """
    if form is Form.JSON:
        return _json(bars, about)
    if form is Form.CSV:
        return _csv(bars)
    told = {key: json.dumps(value, ensure_ascii=False) for key, value in about.items()}
    plain = bars.set_column(
        bars.schema.get_field_index("state"), "state", bars["state"].cast(pa.string())
    ).replace_schema_metadata(told)
    sink = io.BytesIO()
    if form is Form.ARROW:
        with pa.ipc.new_stream(sink, plain.schema) as stream:
            stream.write_table(plain)
    else:
        parquet.write_table(plain, sink, compression="zstd", compression_level=1)
    return sink.getvalue()


def _instants(bars: pa.Table) -> pa.Array:
    return pc.strftime(pc.local_timestamp(bars["end_at"].combine_chunks()), format=_INSTANT)


def _json(bars: pa.Table, about: Mapping[str, Any]) -> bytes:
    head = json.dumps(dict(about), ensure_ascii=False, separators=(",", ":"))
    parts: list[Any] = ['{"end_at":"', _instants(bars), '"']
    for name in _NUMBERS:
        parts += [f',"{name}":', _number(bars[name].combine_chunks())]
    parts += [',"state":"', bars["state"].combine_chunks().cast(pa.string()), '"}']
    rows = pc.binary_join_element_wise(*parts, "", null_handling="replace", null_replacement="null")
    whole = pc.binary_join(pa.ListArray.from_arrays([0, len(rows)], rows), ",")[0]
    return b"".join((f'{head[:-1]},"bars":['.encode(), whole.as_buffer(), b"]}"))


def _number(values: pa.Array) -> pa.Array:
    """Numbers as JSON has them; what is no finite number becomes null."""
    if pa.types.is_floating(values.type):
        finite = pc.is_finite(values)
        if pc.all(pc.fill_null(finite, fill_value=True)).as_py() is False:
            values = pc.if_else(finite, values, pa.scalar(None, values.type))
    return values.cast(pa.string())


def _csv(bars: pa.Table) -> bytes:
    at = bars.schema.get_field_index("end_at")
    plain = bars.set_column(at, "end_at", _instants(bars))
    at = plain.schema.get_field_index("state")
    plain = plain.set_column(at, "state", plain["state"].cast(pa.string()))
    sink = io.BytesIO()
    csv.write_csv(plain, sink, csv.WriteOptions(quoting_style="needed"))
    return sink.getvalue()
