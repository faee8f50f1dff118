"""Reading the Parquet files of a dataset root: the only place that opens them.

Arrow reads a Python file object on threads of its own. Such a thread may let go of the last
buffer, a Python object, while the interpreter ends, and then aborts the process after its whole
output (exit code 134, apache/arrow#34314). So no thread of Arrow ever holds one here: a file of
this machine is opened by Arrow itself, and a remote one is read by the calling thread alone.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from vfeat.errors import StorageError
from vfeat.storage.failures import explain
from vfeat.storage.root import Root


class ParquetReader:
    """One open Parquet file.

    Attributes:
        metadata: the footer, with the key-value pairs.
        schema: Arrow's schema of the columns.
    """

    def __init__(self, file: pa.NativeFile | io.IOBase, *, checked: bool = False) -> None:
        """Read the footer.

        Args:
            file: Arrow's own file, or a seekable Python one.
            checked: compare every page that is read with its checksum.
        """
        self._threads = isinstance(file, pa.NativeFile)
        self._file = pq.ParquetFile(file, page_checksum_verification=checked, pre_buffer=False)
        self.metadata: pq.FileMetaData = self._file.metadata
        self.schema: pa.Schema = self._file.schema_arrow

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read all rows; of `columns`, in their order, where given.

        Raises:
            KeyError: the file has no such column.
        """
        table = self._file.read(columns, use_threads=self._threads)
        return table if columns is None else table.select(columns)

    def read_row_group(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Read some columns of one row group."""
        return self._file.read_row_group(group, columns, use_threads=self._threads)

    def batches(
        self, rows: int, columns: Sequence[str], groups: Sequence[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read some columns, at most `rows` rows at a time; of some row groups, where given."""
        yield from self._file.iter_batches(
            rows, row_groups=groups, columns=columns, use_threads=self._threads
        )


def open_reader(root: Root, key: str, *, checked: bool = False) -> ParquetReader:
    """Open a file of a root that is held open for long; its reader's end closes it.

    Raises:
        StorageError: the file is not there, or may not be read.
        OSError, ValueError: its bytes are not Parquet.
    """
    return ParquetReader(_open(root, key), checked=checked)


@contextmanager
def opened(root: Root, key: str, *, checked: bool = False) -> Iterator[ParquetReader]:
    """Open a file of a root for a while; errors are those of `open_reader`."""
    with _open(root, key) as file:
        yield ParquetReader(file, checked=checked)


@contextmanager
def reading(root: Root, key: str) -> Iterator[None]:
    """Turn errors on the damaged bytes of a committed file into one sentence.

    Raises:
        StorageError: what is read here is not as it was written.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(
            f"{root.url(key)} cannot be read ({' '.join(str(error).split())[:500]}); delete the "
            "file and run the command that wrote it again to have it redone"
        ) from None


def read_table(root: Root, key: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a whole file of a root, or some of its columns."""
    with opened(root, key) as reader:
        return reader.read(columns)


def parse_table(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table from the bytes of a Parquet file."""
    return ParquetReader(io.BytesIO(data)).read(columns)


def _open(root: Root, key: str) -> pa.NativeFile | io.IOBase:
    path = root.local_path(key)
    if path is None:
        return root.open_input(key)
    try:
        return pa.OSFile(os.fsencode(path))
    except OSError as error:
        raise explain(error, root.url(key)) from error
