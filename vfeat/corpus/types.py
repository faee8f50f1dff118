"""Types of a list's columns: inference from CSV text, and lossless conversion."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from vfeat.errors import JobError

_REFUSED = (pa.ArrowException, OverflowError, TypeError, ValueError)


@dataclass(frozen=True)
class FixedType:
    """The type that a column has in a dataset, or in an earlier list of the same command.

    Attributes:
        where: the dataset or list that fixed it, for messages.
    """

    type: pa.DataType
    where: str


def inferred(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Convert a CSV column to integers or floats if every value prints back the same.

    `00042`, `+3` and `1.10` are therefore text, and so is a whole column with one of them.
    """
    if text.null_count == len(text):
        return pa.chunked_array([pa.nulls(len(text))])
    for kind in (pa.int64(), pa.float64()):
        try:
            numbers = text.cast(kind)
        except pa.ArrowInvalid:
            continue
        # Floats are written as `2` by some programs and as `2.0` by others.
        printed = [numbers.cast(pa.string())]
        if pa.types.is_floating(kind):
            values = numbers.to_pylist()
            printed.append(pa.array([None if v is None else repr(v) for v in values], pa.string()))
        finite = pc.all(pc.is_finite(numbers)).as_py()
        if finite and any(_same(text, other) for other in printed):
            return numbers
    return text


def fitted(
    column: pa.ChunkedArray, name: str, source: str, fixed: FixedType | None
) -> pa.ChunkedArray:
    """Convert the column to the type that is fixed for it, if any.

    Args:
        column: the column's values.
        name, source: column and list, for messages.
        fixed: the fixed type; None if there is none.

    Raises:
        JobError: some value would not be the same in that type.
    """
    if fixed is None or column.type == fixed.type:
        return column
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), fixed.type)])
    if pa.types.is_null(fixed.type) or (cast := _without_loss(column, fixed.type)) is None:
        raise JobError(
            f"{source}: column {name!r} holds {column.type} here ({_misfit(column, fixed.type)}), "
            f"and {fixed.type} in {fixed.where}, which came first; correct the "
            "values, give the column another name, or use another --out"
        )
    return cast


def storable(column: pa.ChunkedArray, name: str, source: str) -> pa.ChunkedArray:
    """Convert a Parquet column to a type that `videos.parquet` stores without loss.

    Raises:
        JobError: its values do not survive a conversion to Python and back.
    """
    while pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        values = column.to_pylist()
        again = pa.chunked_array([pa.array(values, column.type)])
        # NaN is not equal to itself, but prints the same
        if again.equals(column) or repr(again.to_pylist()) == repr(values):
            return column
        reason = "its values change on the way"
    except _REFUSED as error:
        reason = " ".join(str(error).split())
    raise JobError(
        f"{source}: column {name!r} is of type {column.type}, which cannot travel into "
        f"videos.parquet ({reason}); leave the column out, or write it as text"
    )


def _without_loss(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    try:
        cast = column.cast(kind)
        back = cast.cast(column.type)
    except pa.ArrowException:
        return None
    return cast if _same(back, column) else None


def _same(one: pa.ChunkedArray | pa.Array, other: pa.ChunkedArray | pa.Array) -> bool:
    return one.to_pylist() == other.to_pylist() or repr(one.to_pylist()) == repr(other.to_pylist())


def _misfit(column: pa.ChunkedArray, kind: pa.DataType) -> str:
    """Describe the first value that does not fit, with its row."""
    for row in range(len(column)):
        value = column.slice(row, 1)
        if value.null_count == 0 and _without_loss(value, kind) is None:
            return f"row {row + 1}: {str(value[0].as_py())[:60]!r}"
    return "its values together"
