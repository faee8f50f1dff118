"""The dataset is good to have: other tools read it without vfeat and find the contract."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

import vfeat
from tests.engine.jobs import keys, tiny_job
from vfeat.errors import JobError
from vfeat.extract.run import run_job

COLUMNS = [
    "video_id", "uri", "clip_index", "start_s", "end_s", "embedding", "labels", "shard",
]  # fmt: skip
VIDEOS = ("cfr25_bframes.mp4", "vp9.webm", "vfr.mp4")


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def out(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset") / request.param
    clips = Path(__file__).parents[1] / "clips"
    sources = [clips / name for name in VIDEOS]
    run_job(tiny_job(folder, *sources, dtype=request.param, shard_minutes=1e-4, batch_size=2))
    return folder


def glob(out: Path) -> str:
    return f"{out}/features/*.parquet"


def test_pyarrow_finds_columns_types_and_order(out: Path) -> None:
    table = pads.dataset(out / "features", format="parquet").to_table()
    assert table.column_names == COLUMNS
    item = pa.float16() if out.name == "bfloat16" else pa.float32()
    expected = {
        "video_id": pa.string(),
        "uri": pa.string(),
        "clip_index": pa.int32(),
        "start_s": pa.float64(),
        "end_s": pa.float64(),
        "embedding": pa.list_(item, 16),
        "labels": pa.list_(pa.struct([("label", pa.string()), ("score", pa.float32())])),
        "shard": pa.string(),
    }
    assert {f.name: f.type for f in table.schema} == expected
    for file in (out / "features").iterdir():
        rows = pq.read_table(file, columns=["video_id", "clip_index", "shard"]).to_pylist()
        order = [(row["video_id"], row["clip_index"]) for row in rows]
        assert order == sorted(order)
        assert {row["shard"] for row in rows} == {file.stem}


def test_vectors_have_no_dictionary_and_the_right_encoding(out: Path) -> None:
    file = next((out / "features").iterdir())
    group = pq.read_metadata(file).row_group(0)
    column = next(
        c for c in map(group.column, range(group.num_columns))
        if c.path_in_schema.startswith("embedding")
    )  # fmt: skip
    assert not column.has_dictionary_page
    assert ("BYTE_STREAM_SPLIT" in column.encodings) == (out.name == "float32")


def test_duckdb_gives_cosine_similarity_in_one_line(out: Path) -> None:
    rows = duckdb.sql(
        "SELECT a.uri, a.clip_index, list_cosine_similarity(a.embedding::FLOAT[], "
        "b.embedding::FLOAT[]) AS s "
        f"FROM '{glob(out)}' a, (SELECT * FROM '{glob(out)}' ORDER BY uri, clip_index LIMIT 1) b "
        "ORDER BY s DESC"
    ).fetchall()
    assert len(rows) == len(keys(out))
    assert rows[0][2] == pytest.approx(1.0, abs=1e-3)
    first = sorted((r[0], r[1]) for r in rows)[0]
    assert first in {(r[0], r[1]) for r in rows if r[2] > 0.999}


def test_polars_and_pandas_see_the_same_vectors(out: Path) -> None:
    arrow = pads.dataset(out / "features", format="parquet").to_table()
    wanted = np.stack([np.asarray(v, np.float32) for v in arrow.column("embedding").to_pylist()])
    polars = pl.read_parquet(glob(out))
    found = np.stack([np.asarray(v, np.float32) for v in polars["embedding"].to_list()])
    np.testing.assert_array_equal(found, wanted)
    frame = pd.concat([pd.read_parquet(f) for f in sorted((out / "features").iterdir())])
    assert sorted(frame.groupby(["video_id", "clip_index"]).size().unique()) == [1]
    found = np.stack([np.asarray(v, np.float32) for v in frame["embedding"]])
    np.testing.assert_array_equal(found, wanted)


def test_one_row_a_clip_with_its_window(out: Path) -> None:
    [rows] = duckdb.sql(
        "SELECT count(*), count(DISTINCT (video_id, clip_index)), "
        f"max(abs(start_s - clip_index)), max(abs(end_s - start_s - 1)) FROM '{glob(out)}'"
    ).fetchall()
    assert rows[0] == rows[1] == len(keys(out))
    assert rows[2] == rows[3] == 0


def test_open_gives_tables_frames_sequences_and_tensors(out: Path) -> None:
    dataset = vfeat.open(str(out))
    table = dataset.to_arrow()
    assert table.num_rows == len(keys(out)) == len(dataset.to_pandas())
    sequences = list(dataset.sequences())
    assert {Path(s.uri).name for s in sequences} == set(VIDEOS)
    for sequence in sequences:
        assert (np.diff(sequence.clip_index) > 0).all()
        assert sequence.embeddings.shape == (len(sequence.clip_index), 16)
        one = table.filter(pa.compute.equal(table.column("video_id"), sequence.video_id))
        one = one.sort_by("clip_index")
        np.testing.assert_array_equal(
            sequence.embeddings.astype(np.float32),
            np.stack([np.asarray(v, np.float32) for v in one.column("embedding").to_pylist()]),
        )
    items = list(dataset.to_torch())
    assert [tuple(item["embeddings"].shape) for item in items] == [
        s.embeddings.shape for s in sequences
    ]
    assert "files=" in repr(dataset)


def test_open_says_what_is_not_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"no dataset\.json"):
        vfeat.open(str(tmp_path))
