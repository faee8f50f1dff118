"""CSV and Parquet lists of videos: read whole, checked, before any work."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import parquet

from vfeat.corpus.csv_file import read_csv
from vfeat.corpus.types import FixedType, fitted, inferred, storable
from vfeat.errors import JobError
from vfeat.storage.failures import FolderFound, MissingObject
from vfeat.storage.listing import find_object, list_objects
from vfeat.storage.source import is_local, open_source
from vfeat.storage.uris import local_path

URI = "uri"
_TEXT = (
    *(pa.string(), pa.large_string(), pa.string_view()),
    *(pa.binary(), pa.large_binary(), pa.binary_view(), pa.null()),
)
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class VideoList:
    """The rows of one list.

    Attributes:
        source: the list's file or folder.
        uris: binary, as they stand in the list; null in rows without one.
        extras: the further columns, in their types for the dataset.
    """

    source: str
    uris: pa.ChunkedArray
    extras: pa.Table


def read_list(source: str, fixed: Mapping[str, FixedType]) -> VideoList:
    """Read a list whole.

    Args:
        source: a CSV file, a Parquet file, or a folder of Parquet files as Spark writes it.
        fixed: types that columns already have.

    Raises:
        JobError: it is not a list of videos, has no row, or a column does not fit.
        StorageError: it cannot be read.
    """
    is_csv = source.lower().endswith(".csv")
    table = _read_csv(source) if is_csv else _read_parquet(source)
    names = table.column_names
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise JobError(f"{source}: more than one column is named {repeated[0]!r}; rename them")
    if URI not in names:
        found = ", ".join(names)
        raise JobError(f"{source}: a list needs a column named uri; found: {found}")
    if not table.num_rows:
        raise JobError(f"{source}: the list is empty: it has a header and no row")
    columns = {}
    for name in names:
        if name != URI:
            column = table.column(name)
            if not is_csv:
                column = storable(column, name, source)
            elif name not in fixed or not pa.types.is_string(fixed[name].type):
                column = inferred(column)
            columns[name] = fitted(column, name, source, fixed.get(name))
    return VideoList(source, _uris(table.column(URI), source), pa.table(columns))


def _uris(column: pa.ChunkedArray, source: str) -> pa.ChunkedArray:
    """Return the URIs as bytes; each row may or may not be valid text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.type not in _TEXT:
        raise JobError(f"{source}: the column uri is of type {column.type}; expected text")
    return column.cast(pa.binary())


def _read_csv(source: str) -> pa.Table:
    return read_csv(_content(source), source, exact=URI)


def _read_parquet(source: str) -> pa.Table:
    files = _folder_files(source)
    try:
        if files is None:
            return _parquet(source)
        tables = [_with_partitions(_parquet(file), source, file) for file in files]
        return pa.concat_tables(tables, promote_options="default")
    except pa.ArrowException as error:
        raise JobError(f"{source}: not a readable list: {error}") from None


def _parquet(file: str) -> pa.Table:
    # One thread: no thread of Arrow's may hold a Python buffer when the interpreter ends.
    return parquet.read_table(pa.BufferReader(_content(file)), use_threads=False, pre_buffer=False)


def _content(source: str) -> bytes:
    """Return the bytes of a list, whole."""
    try:
        found = find_object(source)
        with open_source(source, found.size_bytes or None) as file:
            return bytes(file.read())
    except MissingObject:
        raise JobError(f"{source}: no such list") from None
    except FolderFound as error:
        raise JobError(f"{error}; expected a list as one CSV file") from None


def _folder_files(source: str) -> list[str] | None:
    """List the Parquet files of a folder, without Spark's markers; None for a file."""
    try:
        find_object(source)
        return None
    except MissingObject:
        raise JobError(f"{source}: no such list") from None
    except FolderFound:
        found = [item.uri for item in list_objects(source)]
    files = sorted(uri for uri in found if uri.lower().endswith(".parquet"))
    files = [uri for uri in files if not posixpath.basename(uri).startswith("_")]
    if not files:
        raise JobError(f"{source}: the list is empty: the folder holds no .parquet file")
    return files


def _with_partitions(table: pa.Table, source: str, file: str) -> pa.Table:
    """Add the columns that Hive and Spark keep in folder names: `.../label=cat/part-0.parquet`."""
    folder = local_path(source) if is_local(source) else source
    for part in file.removeprefix(folder).split("/")[:-1]:
        name, found, value = part.partition("=")
        if found and name not in table.column_names:
            cell = None if value == _HIVE_NULL else unquote(value)
            cells = pa.array([cell] * table.num_rows, pa.string())
            table = table.append_column(unquote(name), cells)
    return table
