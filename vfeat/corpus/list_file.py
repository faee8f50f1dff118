"""The files of a list, as a stream of record batches that can be read more than once."""

from __future__ import annotations

import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import parquet

from vfeat.corpus.csv_file import read_csv
from vfeat.corpus.types import decoded_type
from vfeat.errors import JobError
from vfeat.storage.failures import FolderFound, MissingObject, explain
from vfeat.storage.listing import find_object, list_objects
from vfeat.storage.source import is_local, open_source
from vfeat.storage.uris import local_path

URI = "uri"
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_BATCH_ROWS = 16_384
_BLOCK_BYTES = 1 << 20
_COPY_BYTES = 8 << 20
_DAMAGED = (pa.ArrowException, OSError, UnicodeDecodeError)  # the last for names of columns


class CsvFile:
    """A CSV list; its text is parsed once, into a temporary file.

    Raises:
        JobError: it is not there, or not a readable CSV.
    """

    is_text = True

    def __init__(self, source: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="vfeat-list-")
        self._columns = os.path.join(self._folder.name, "columns.arrow")
        try:
            with _LocalCopy(source, find_list(source), self._folder.name).open() as file:
                read_csv(file, source, URI, self._columns)
        except FolderFound as error:
            raise JobError(f"{error}; expected a list as one CSV file") from None
        except OSError as error:
            raise explain(error, self._folder.name) from error
        with pa.OSFile(self._columns, "rb") as stream, pa.ipc.open_stream(stream) as batches:
            self.schema: pa.Schema = batches.schema
            self.is_empty = next(iter(batches), None) is None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read the rows from the beginning."""
        with pa.OSFile(self._columns, "rb") as stream, pa.ipc.open_stream(stream) as batches:
            yield from batches


class ParquetFiles:
    """A Parquet list: one file, or a folder of them as Spark writes it.

    Nothing but a row group's current pages is in memory; remote files are copied to a temporary
    folder first.

    Raises:
        JobError: it is not there, or not readable Parquet.
    """

    is_text = False

    def __init__(self, source: str) -> None:
        self._source = source
        self._folder = tempfile.TemporaryDirectory(prefix="vfeat-list-")
        files = _folder_files(source)
        try:
            self._files = [
                (_LocalCopy(file, size, self._folder.name), _partitions(source, file))
                for file, size in files
            ]
            schemas = []
            rows = 0
            for file, partitions in self._files:
                with file.open() as opened, _parquet(opened) as data:
                    schemas.append(_with_partitions(data.schema_arrow, partitions))
                    rows += data.metadata.num_rows
            self.schema: pa.Schema = _unified(schemas)
            self.is_empty = rows == 0
        except _DAMAGED as error:
            raise self._unreadable(error) from None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read the rows from the beginning."""
        try:
            for file, partitions in self._files:
                with file.open() as opened, _parquet(opened) as data:
                    for batch in data.iter_batches(_BATCH_ROWS, use_threads=False):
                        yield self._completed(batch, partitions)
        except _DAMAGED as error:
            raise self._unreadable(error) from None

    def _completed(
        self, batch: pa.RecordBatch, partitions: dict[str, str | None]
    ) -> pa.RecordBatch:
        """Bring a batch of one file into the schema of all files."""
        if batch.schema.equals(self.schema):
            return batch
        columns = []
        for field in self.schema:
            if field.name in batch.schema.names:
                column = batch.column(field.name)
                while pa.types.is_dictionary(column.type):
                    column = column.dictionary_decode()
                columns.append(column.cast(field.type))
            else:
                cell = pa.scalar(partitions.get(field.name), field.type)
                columns.append(pa.repeat(cell, batch.num_rows))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _unreadable(self, error: BaseException) -> JobError:
        return JobError(f"{self._source}: not a readable list: {' '.join(str(error).split())}")


ListFile = CsvFile | ParquetFiles


class _LocalCopy:
    """A file on a disk of this machine: the file itself, or its copy in a temporary folder."""

    def __init__(self, uri: str, size_bytes: int, folder: str) -> None:
        self._uri = uri
        if is_local(uri):
            self._path = Path(local_path(uri))
            return
        descriptor, name = tempfile.mkstemp(dir=folder)
        self._path = Path(name)
        with open_source(uri, size_bytes or None) as source, open(descriptor, "wb") as copy:
            shutil.copyfileobj(source, copy, _COPY_BYTES)

    def open(self) -> BinaryIO:
        try:
            return self._path.open("rb")
        except OSError as error:
            raise explain(error, self._uri) from error


def _parquet(file: BinaryIO) -> parquet.ParquetFile:
    # Arrow's own threads are off: none may hold a Python file when the interpreter ends.
    return parquet.ParquetFile(file, pre_buffer=False, buffer_size=_BLOCK_BYTES)


def find_list(source: str) -> int:
    """Return the size of a list's file.

    Raises:
        JobError: there is none.
        FolderFound: it is a folder.
    """
    try:
        return find_object(source).size_bytes
    except MissingObject:
        raise JobError(f"{source}: no such list") from None


def _folder_files(source: str) -> list[tuple[str, int]]:
    """List the Parquet files of a folder, without Spark's markers; of a file that file."""
    try:
        return [(source, find_list(source))]
    except FolderFound:
        found = sorted((item.uri, item.size_bytes) for item in list_objects(source))
    files = [(uri, size) for uri, size in found if uri.lower().endswith(".parquet")]
    files = [(uri, size) for uri, size in files if not posixpath.basename(uri).startswith("_")]
    if not files:
        raise JobError(f"{source}: the list is empty: the folder holds no .parquet file")
    return files


def _partitions(source: str, file: str) -> dict[str, str | None]:
    """Return the columns that Hive keeps in folder names: `.../label=cat/part-0.parquet`."""
    folder = local_path(source) if is_local(source) else source
    parts = [part.partition("=") for part in file.removeprefix(folder).split("/")[:-1]]
    return {
        unquote(name): None if value == _HIVE_NULL else unquote(value)
        for name, found, value in parts
        if found
    }


def _with_partitions(schema: pa.Schema, partitions: dict[str, str | None]) -> pa.Schema:
    for name in partitions:
        if name not in schema.names:
            schema = schema.append(pa.field(name, pa.string()))
    return schema


def _unified(schemas: list[pa.Schema]) -> pa.Schema:
    if len(schemas) == 1:
        return schemas[0].remove_metadata()
    plain = [
        pa.schema([pa.field(field.name, decoded_type(field.type)) for field in schema])
        for schema in schemas
    ]
    return cast(pa.Schema, pa.unify_schemas(plain, promote_options="default"))
