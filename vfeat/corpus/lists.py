"""CSV and Parquet lists of videos: streamed, and checked as a whole before any work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from vfeat.addresses import public
from vfeat.corpus.list_file import URI, CsvFile, ListFile, ParquetFiles
from vfeat.corpus.types import Conversion, FixedType, decoded_type, inferred
from vfeat.errors import JobError

SIZES = ("size_bytes", "size")
ETAG = "etag"
_STRINGS = (pa.string(), pa.large_string(), pa.string_view(), pa.null())
_TEXT = (*_STRINGS, pa.binary(), pa.large_binary(), pa.binary_view())


@dataclass(frozen=True)
class ListRows:
    """Some rows of a list.

    Attributes:
        first_row: rows of the list before these.
        uris: binary, as they stand in the list; null in rows without one.
        sizes: int64; None when the list has no sizes and etags.
        etags: strings, or None.
        extras: the further columns, in their types for the dataset.
    """

    first_row: int
    uris: pa.Array
    sizes: pa.Array | None
    etags: pa.Array | None
    extras: dict[str, pa.Array]

    def __len__(self) -> int:
        return len(self.uris)

    def slice(self, start: int, length: int) -> ListRows:
        """Return a part of the rows."""
        return ListRows(
            self.first_row + start,
            self.uris.slice(start, length),
            None if self.sizes is None else self.sizes.slice(start, length),
            None if self.etags is None else self.etags.slice(start, length),
            {name: column.slice(start, length) for name, column in self.extras.items()},
        )


class VideoList:
    """One list, open for reading; each pass over its rows begins anew.

    Args:
        source: a CSV file, a Parquet file, or a folder of Parquet files as Spark writes it.
        fixed: types that columns already have.

    Attributes:
        extras: names and types of the further columns, as stored.

    Raises:
        JobError: it is not a list of videos, has no row, or a column does not fit.
        StorageError: it cannot be read.
    """

    def __init__(self, source: str, fixed: Mapping[str, FixedType]) -> None:
        self.source = source
        is_csv = public(source).lower().endswith(".csv")
        self._file: ListFile = CsvFile(source) if is_csv else ParquetFiles(source)
        self._check_names()
        kinds = self._kinds(fixed)
        self._known = self._known_columns(kinds)
        self._conversions = [
            Conversion.of(name, source, kind, fixed.get(name))
            for name, kind in kinds.items()
            if name not in (self._known or ()) or name in fixed
        ]
        self.extras = pa.schema([(c.name, c.kind) for c in self._conversions])
        self._check_values()

    def rows(self) -> Iterator[ListRows]:
        """Read the rows from the beginning, batch by batch."""
        first_row = 0
        for batch in self._file.batches():
            extras = {c.name: c(batch.column(c.name)) for c in self._conversions}
            sizes = etags = None
            if self._known:
                size, etag = self._known
                sizes = _decoded(batch.column(size)).cast(pa.int64(), safe=False)
                etags = _decoded(batch.column(etag)).cast(pa.string())
            uris = _decoded(batch.column(URI)).cast(pa.binary())
            yield ListRows(first_row, uris, sizes, etags, extras)
            first_row += batch.num_rows

    def _check_names(self) -> None:
        source, names = self.source, self._file.schema.names
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise JobError(f"{source}: more than one column is named {repeated[0]!r}; rename them")
        if URI not in names:
            found = ", ".join(names)
            raise JobError(f"{source}: a list needs a column named uri; found: {found}")
        if self._file.is_empty:
            raise JobError(f"{source}: the list is empty: it has a header and no row")
        kind = decoded_type(self._file.schema.field(URI).type)
        if kind not in _TEXT:
            raise JobError(f"{source}: the column uri is of type {kind}; expected text")

    def _kinds(self, fixed: Mapping[str, FixedType]) -> dict[str, pa.DataType]:
        """Return the types of all columns but the URIs, before any is fitted to the dataset."""
        fields = [field for field in self._file.schema if field.name != URI]
        if not self._file.is_text:
            return {field.name: decoded_type(field.type) for field in fields}
        text = {name for name, kind in fixed.items() if pa.types.is_string(kind.type)}
        text -= set(SIZES)
        kinds = inferred(self._file.batches, [f.name for f in fields if f.name not in text])
        return {f.name: kinds.get(f.name, pa.string()) for f in fields}

    def _known_columns(self, kinds: Mapping[str, pa.DataType]) -> tuple[str, str] | None:
        """Return the columns of sizes and etags, if there are both; one alone spares no request."""
        size = next((n for n in SIZES if n in kinds and pa.types.is_integer(kinds[n])), None)
        if size is None or ETAG not in kinds:
            return None
        return (size, ETAG) if self._file.is_text or kinds[ETAG] in _STRINGS else None

    def _check_values(self) -> None:
        """Read all rows once, unless no value of these types can be lost."""
        doubtful = [c for c in self._conversions if not self._file.is_text or c.given != c.kind]
        first_row = 0
        for batch in self._file.batches() if doubtful else ():
            for conversion in doubtful:
                column = batch.column(conversion.name)
                conversion.check(column, first_row, storable=not self._file.is_text)
            first_row += batch.num_rows


def _decoded(column: pa.Array) -> pa.Array:
    while pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column
