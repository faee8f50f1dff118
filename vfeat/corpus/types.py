"""Types of a list's columns: inference from CSV text, and lossless conversion, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from vfeat.errors import JobError

_REFUSED = (pa.ArrowException, OverflowError, TypeError, ValueError)
_SAMPLE_ROWS = 64
# The values of these survive a conversion to Python and back, whatever they are.
_SAFE = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_float32,
    pa.types.is_float64,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_decimal,
    pa.types.is_null,
)
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)

Batches = Callable[[], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class FixedType:
    """The type that a column has in a dataset, or in an earlier list of the same command.

    Attributes:
        where: the dataset or list that fixed it, for messages.
    """

    type: pa.DataType
    where: str


def inferred(batches: Batches, names: Sequence[str]) -> dict[str, pa.DataType]:
    """Find the types of CSV columns: integers or floats if every value prints back the same.

    `00042`, `+3` and `1.10` are therefore text, and so is a whole column with one of them. A
    column without any value is of type null.

    Args:
        batches: gives the columns of text, each time from the beginning.
        names: columns to look at.
    """
    empty = _all_batches(batches, names, lambda text: text.null_count == len(text))
    left = [name for name in names if name not in empty]
    whole = _all_batches(batches, left, _prints_as_integer)
    left = [name for name in left if name not in whole]
    # Floats are written as `2` by some programs and as `2.0` by others.
    floating = _all_batches(batches, left, _prints_as_float)
    left = [name for name in left if name not in floating]
    floating |= _all_batches(batches, left, _prints_as_python_float)
    kinds = dict.fromkeys(names, pa.string())
    kinds |= dict.fromkeys(empty, pa.null()) | dict.fromkeys(whole, pa.int64())
    return kinds | dict.fromkeys(floating, pa.float64())


def _all_batches(
    batches: Batches, names: Sequence[str], holds: Callable[[pa.Array], bool]
) -> set[str]:
    """Return the columns for which something holds in each batch; ends as soon as none is left."""
    left = set(names)
    if left:
        for batch in batches():
            left = {name for name in left if holds(batch.column(name))}
            if not left:
                break
    return left


def _prints_as_integer(text: pa.Array) -> bool:
    try:
        return bool(text.cast(pa.int64()).cast(pa.string()).equals(text))
    except pa.ArrowInvalid:
        return False


def _prints_as_float(text: pa.Array) -> bool:
    numbers = _finite(text)
    return numbers is not None and bool(numbers.cast(pa.string()).equals(text))


def _prints_as_python_float(text: pa.Array) -> bool:
    numbers = _finite(text)
    if numbers is None:
        return False
    printed = [None if number is None else repr(number) for number in numbers.to_pylist()]
    return bool(text.equals(pa.array(printed, pa.string())))


def _finite(text: pa.Array) -> pa.Array | None:
    try:
        numbers = text.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    return numbers if pc.all(pc.is_finite(numbers)).as_py() is not False else None


@dataclass(frozen=True)
class Conversion:
    """The conversion of one column of a list to its type in the dataset.

    Attributes:
        name, source: column and list, for messages.
        given: the type as inferred or as it stands in the file, dictionaries decoded.
        kind: the type in the dataset.
        fixed: what fixed it, if anything did.
    """

    name: str
    source: str
    given: pa.DataType
    kind: pa.DataType
    fixed: FixedType | None

    @classmethod
    def of(cls, name: str, source: str, kind: pa.DataType, fixed: FixedType | None) -> Conversion:
        """Choose the conversion of a column of type `kind`."""
        given = decoded_type(kind)
        return cls(name, source, given, given if fixed is None else fixed.type, fixed)

    def __call__(self, column: pa.Array) -> pa.Array:
        """Convert the column's part in a batch that `check` has passed."""
        column = self._given(column)
        if column.type == self.kind:
            return column
        if column.null_count == len(column):
            return pa.nulls(len(column), self.kind)
        return column.cast(self.kind)

    def check(self, column: pa.Array, first_row: int, *, storable: bool) -> None:
        """Check that no value of a batch changes.

        Args:
            column: the column's part in the batch.
            first_row: rows of the list before this batch, for the message.
            storable: also check that the values survive a conversion to Python and back.

        Raises:
            JobError: some value would not be the same in the dataset's type.
        """
        column = self._given(column)
        if storable:
            self._check_storable(column)
        if column.type == self.kind or column.null_count == len(column):
            return
        assert self.fixed is not None
        if pa.types.is_null(self.kind) or _without_loss(column, self.kind) is None:
            raise JobError(
                f"{self.source}: column {self.name!r} holds {self.given} here "
                f"({_misfit(column, self.kind, first_row)}), and {self.kind} in "
                f"{self.fixed.where}, which came first; correct the values, give the column "
                "another name, or use another --out"
            )

    def _given(self, column: pa.Array) -> pa.Array:
        while pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if column.null_count == len(column):
            return pa.nulls(len(column), self.given)
        return column if column.type == self.given else column.cast(self.given)

    def _check_storable(self, column: pa.Array) -> None:
        """Raise for values that a text or a time of Python's could not hold.

        Values of most types always survive: of these some are tried, and text is validated.
        """
        try:
            column.validate(full=True)
            if _is_safe(column.type):
                column = column.slice(0, _SAMPLE_ROWS)
            values = column.to_pylist()
            again = pa.array(values, column.type)
            # NaN is not equal to itself, but prints the same
            if again.equals(column) or repr(again.to_pylist()) == repr(values):
                return
            reason = "its values change on the way"
        except _REFUSED as error:
            reason = " ".join(str(error).split())
        raise JobError(
            f"{self.source}: column {self.name!r} is of type {column.type}, which cannot travel "
            f"into videos.parquet ({reason}); leave the column out, or write it as text"
        )


def decoded_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column's values, which a dictionary may hold."""
    while pa.types.is_dictionary(kind):
        kind = kind.value_type
    return kind


def _is_safe(kind: pa.DataType) -> bool:
    if any(is_kind(kind) for is_kind in _LISTS):
        return _is_safe(kind.value_type)
    if pa.types.is_struct(kind):
        return all(_is_safe(kind.field(place).type) for place in range(kind.num_fields))
    return any(is_kind(kind) for is_kind in _SAFE)


def _without_loss(column: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        cast = column.cast(kind)
        back = cast.cast(column.type)
    except pa.ArrowException:
        return None
    return cast if _same(back, column) else None


def _same(one: pa.Array, other: pa.Array) -> bool:
    if one.equals(other):
        return True
    # NaN is not equal to itself, but prints the same
    return one.to_pylist() == other.to_pylist() or repr(one.to_pylist()) == repr(other.to_pylist())


def _misfit(column: pa.Array, kind: pa.DataType, first_row: int) -> str:
    """Describe the first value that does not fit, with its row."""
    for row in range(len(column)):
        value = column.slice(row, 1)
        if value.null_count == 0 and _without_loss(value, kind) is None:
            return f"row {first_row + row + 1}: {str(value[0].as_py())[:60]!r}"
    return "its values together"
