"""A Parquet file that is written table by table, with the encodings of the published tables."""

from __future__ import annotations

from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

_NAMES = ("video_id", "uri", "shard", "head", "labels.list.element.label")


class StreamedFile:
    """A file at a local path, open for writing; it is whole at the end of the `with`.

    Vector columns carry no dictionary; float32 is byte-stream split, float16 is not, because
    DuckDB cannot read it so encoded.

    Args:
        path: local path.
        schema: columns, with the metadata of the file.
    """

    def __init__(self, path: str, schema: pa.Schema) -> None:
        vectors = {field.name: _depth(field.type) for field in schema if _depth(field.type)}
        split = [
            name + ".list.element" * depth
            for name, depth in vectors.items()
            if _item(schema.field(name).type) == pa.float32()
        ]
        known = [name for name in _NAMES if name.partition(".")[0] in schema.names]
        self._writer = pq.ParquetWriter(
            path, schema, compression="zstd", use_dictionary=known or False,
            use_byte_stream_split=split or False, write_page_checksum=True,
        )  # fmt: skip

    def __enter__(self) -> StreamedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._writer.close()

    def write(self, table: pa.Table) -> None:
        """Write a table as one row group."""
        self._writer.write_table(table, row_group_size=max(1, len(table)))


def _depth(kind: pa.DataType) -> int:
    """Return how many lists a type of numbers is nested in; 0 for anything else."""
    depth = 0
    while pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
        kind, depth = kind.value_type, depth + 1
    return depth if pa.types.is_floating(kind) else 0


def _item(kind: pa.DataType) -> pa.DataType:
    while pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
        kind = kind.value_type
    return kind
