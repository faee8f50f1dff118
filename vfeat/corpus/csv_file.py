"""A CSV list as columns of text in a temporary file."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

import pyarrow as pa

from vfeat.errors import JobError

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_CHUNK_ROWS = 10_000


def read_csv(file: BinaryIO, source: str, exact: str, target: str) -> None:
    """Write the columns of a CSV into an Arrow stream; empty cells are null.

    Quoted cells may hold line breaks. Bytes that are not UTF-8 become the replacement character in
    all columns but one.

    Args:
        file: the CSV, on a disk of this machine.
        source: name of the list, for messages.
        exact: name of the column that keeps its bytes; it is binary in the stream.
        target: path of the Arrow stream.

    Raises:
        JobError: rows of different lengths, quotes that do not close, another encoding.
    """
    if file.read(2) in _UTF16:
        raise JobError(f"{source} is UTF-16; save the list as UTF-8")
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    csv.field_size_limit(max(csv.field_size_limit(), size_bytes))
    # surrogates carry the bytes that are not UTF-8 through the parser
    text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
    rows = csv.reader(text, strict=True)
    try:
        header = next((row for row in rows if row), [])
        if not header:
            raise JobError(f"{source}: the list is empty: it has no header and no row")
        names = [_readable(name) for name in header]
        fields = [pa.field(name, pa.binary() if name == exact else pa.string()) for name in names]
        schema = pa.schema(fields)
        with pa.OSFile(target, "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
            checked = _checked(rows, names, source)
            while chunk := list(islice(checked, _CHUNK_ROWS)):
                cells = zip(names, zip(*chunk, strict=True), strict=True)
                columns = [_column(name == exact, c) for name, c in cells]
                stream.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    except csv.Error as error:
        raise JobError(
            f"{source}: not a readable list: {error} (the row that ends in line {rows.line_num}): "
            "is a quotation mark not closed, or not doubled within a cell?"
        ) from None
    finally:
        text.detach()


def _checked(rows: Iterator[list[str]], names: list[str], source: str) -> Iterator[list[str]]:
    for number, row in enumerate(filter(None, rows), 1):  # blank lines are empty rows
        if len(row) != len(names):
            raise JobError(
                f"{source}: not a readable list: row {number} has {len(row)} cells, the header "
                f"{len(names)}: {','.join(map(_readable, row))[:200]}"
            )
        yield row


def _column(exact: bool, cells: tuple[str, ...]) -> pa.Array:
    try:
        column = pa.array([c or None for c in cells], pa.string())
    except UnicodeEncodeError:  # some bytes were not UTF-8
        if exact:
            binary = [c.encode("utf-8", "surrogateescape") if c else None for c in cells]
            return pa.array(binary, pa.binary())
        return pa.array([_readable(c) if c else None for c in cells], pa.string())
    return column.cast(pa.binary()) if exact else column


def _readable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
