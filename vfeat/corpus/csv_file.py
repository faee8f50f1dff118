"""A CSV list as a table of text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice

import pyarrow as pa

from vfeat.errors import JobError

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_CHUNK_ROWS = 50_000


def read_csv(data: bytes, source: str, exact: str) -> pa.Table:
    """Read a whole CSV; empty cells are null.

    Quoted cells may hold line breaks. Bytes that are not UTF-8 become the replacement character in
    all columns but one.

    Args:
        data: content of the file.
        source: name of the file, for messages.
        exact: name of the column that keeps its bytes; it is binary in the table.

    Raises:
        JobError: rows of different lengths, quotes that do not close, another encoding.
    """
    if data.startswith(_UTF16):
        raise JobError(f"{source} is UTF-16; save the list as UTF-8")
    # surrogates carry the bytes that are not UTF-8 through the parser
    text = data.decode("utf-8-sig", "surrogateescape")
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next((row for row in rows if row), [])
        if not header:
            raise JobError(f"{source}: the list is empty: it has no header and no row")
        names = [_readable(name) for name in header]
        tables = []
        while chunk := list(islice(_checked(rows, names, source), _CHUNK_ROWS)):
            cells = zip(names, zip(*chunk, strict=True), strict=True)
            tables.append(pa.table([_column(name == exact, c) for name, c in cells], names))
    except csv.Error as error:
        raise JobError(
            f"{source}: not a readable list: {error} (the row that ends in line {rows.line_num}): "
            "is a quotation mark not closed, or not doubled within a cell?"
        ) from None
    kinds = [pa.binary() if name == exact else pa.string() for name in names]
    schema = pa.schema(list(zip(names, kinds, strict=True)))
    return pa.concat_tables(tables) if tables else schema.empty_table()


def _checked(rows: Iterator[list[str]], names: list[str], source: str) -> Iterator[list[str]]:
    for number, row in enumerate(filter(None, rows), 1):  # blank lines are empty rows
        if len(row) != len(names):
            raise JobError(
                f"{source}: not a readable list: row {number} has {len(row)} cells, the header "
                f"{len(names)}: {','.join(map(_readable, row))[:200]}"
            )
        yield row


def _column(exact: bool, cells: tuple[str, ...]) -> pa.Array:
    if exact:
        binary = [c.encode("utf-8", "surrogateescape") if c else None for c in cells]
        return pa.array(binary, pa.binary())
    return pa.array([_readable(c) if c else None for c in cells], pa.string())


def _readable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
