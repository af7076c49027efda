"""Tables as Parquet: every column with its type, and its unit in the metadata of its field."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pandas as pd


def parquet_bytes(table: pd.DataFrame, units: Mapping[str, str]) -> bytes:
    """Return a table as a Parquet file; `pyarrow.parquet.read_schema(file).field(name).metadata` has units.

    Args:
        units: by the name of the column.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    found = pa.Table.from_pandas(table, preserve_index=False)
    fields = []
    for field in found.schema:
        kind = pa.string() if pa.types.is_null(field.type) else field.type
        unit = units.get(field.name)
        fields.append(pa.field(field.name, kind, metadata=None if unit is None else {"unit": unit}))
    stream = io.BytesIO()
    pq.write_table(found.cast(pa.schema(fields, metadata=found.schema.metadata)), stream, compression="zstd")
    return stream.getvalue()
