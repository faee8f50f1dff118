"""Further columns of lists: one type and one published name each, over all plans."""

from __future__ import annotations

import pyarrow as pa

from vfeat.tables.schema import VIDEOS

_PREFIX = "list_"


def public_name(column: str) -> str:
    """Return a list column's name in `videos.parquet`: a name of ours gets `list_` before it.

    So does what would then collide, `list_status` beside `status`: no two names become one.
    """
    own = column
    while own.startswith(_PREFIX):
        own = own.removeprefix(_PREFIX)
    return f"{_PREFIX}{column}" if own in VIDEOS.names else column


def as_type(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Cast the values of one plan to the column's type; print what has no cast to text."""
    if values.type == kind:
        return values
    try:
        return values.cast(kind, safe=False)
    except pa.ArrowException:
        printed = [None if value is None else str(value) for value in values.to_pylist()]
        return pa.chunked_array([pa.array(printed, pa.string())]).cast(kind)


def common_type(types: list[pa.DataType]) -> pa.DataType:
    """Return the type of a column that older plans gave several types."""
    if len(types) < 2:
        return types[0] if types else pa.null()
    if any(map(pa.types.is_unsigned_integer, types)):
        return pa.string()  # Arrow would promote a mixture to signed integers
    try:
        schemas = [pa.schema([("column", kind)]) for kind in types]
        kind = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
        for other in types:
            pa.array([], other).cast(kind)
    except pa.ArrowException:
        return pa.string()
    return kind
