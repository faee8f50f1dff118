"""Reading Parquet of a root: the same from a path and from a remote file, with our errors."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vfeat.errors import StorageError
from vfeat.storage.failures import MissingObject
from vfeat.storage.root import Root
from vfeat.tables.parquet import open_reader, parse_table, read_table

TABLE = pa.table({"a": [3, 1, 2], "b": ["x", None, "z"], "c": [[1.5], [], [2.5, 3.5]]})


@pytest.fixture(params=["", "local://"], ids=["path", "remote file"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Root:
    # row groups of one row, so that more than one is read
    pq.write_table(TABLE, tmp_path / "t.parquet", row_group_size=1, write_page_checksum=True)
    return Root(f"{request.param}{tmp_path}")


def test_rows_and_columns_come_in_the_order_asked_for(root: Root) -> None:
    assert read_table(root, "t.parquet").equals(TABLE)
    assert read_table(root, "t.parquet", ["c", "a"]).equals(TABLE.select(["c", "a"]))
    with pytest.raises(KeyError, match="nothing"):
        read_table(root, "t.parquet", ["nothing"])
    assert parse_table(root.read_bytes("t.parquet"), ["b"]).equals(TABLE.select(["b"]))


def test_parts_are_the_whole(root: Root) -> None:
    reader = open_reader(root, "t.parquet", checked=True)
    groups = [reader.read_row_group(n, ["a"]) for n in range(reader.metadata.num_row_groups)]
    assert pa.concat_tables(groups).equals(TABLE.select(["a"]))
    batches = pa.Table.from_batches(reader.batches(2, ["a", "b"]))
    assert batches.equals(TABLE.select(["a", "b"]))
    assert reader.schema.equals(TABLE.schema)


def test_a_file_that_is_not_there_is_missing(root: Root) -> None:
    with pytest.raises(MissingObject, match=r"no\.parquet does not exist"):
        read_table(root, "no.parquet")


def test_damaged_bytes_are_noticed(root: Root, tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing else PAR1")
    with pytest.raises((OSError, ValueError)) as caught:
        read_table(root, "t.parquet")
    assert not isinstance(caught.value, StorageError)


def test_a_folder_with_any_name_is_read(tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"caf\xe9 [x]%20 \n")
    os.mkdir(folder)
    pq.write_table(TABLE, tmp_path / "t.parquet")
    os.rename(tmp_path / "t.parquet", os.path.join(folder, b"t.parquet"))
    assert read_table(Root(os.fsdecode(folder)), "t.parquet").equals(TABLE)
