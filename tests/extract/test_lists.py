"""Lists from the command to `videos.parquet`: types for the dataset's life, names, bad rows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.engine.commands import TINY_FLAGS, run, summary
from tests.engine.jobs import keys, tiny_job, tree, verified
from vfeat.errors import JobError
from vfeat.extract.run import run_job
from vfeat.tables.status import dataset_status, open_errors


@pytest.fixture
def video(own_clips: Path) -> Path:
    return own_clips / "one_frame.mp4"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([*lines, ""]))
    return path


def videos(out: Path) -> list[dict[str, Any]]:
    return pq.read_table(out / "videos.parquet").to_pylist()


def test_a_bad_row_is_an_error_row_of_the_command(video: Path, tmp_path: Path) -> None:
    (tmp_path / "show 1.mp4").write_bytes(video.read_bytes())
    bad = ["show [1080p].mp4", "foo://x/y.mp4", "gs://b/x.mp4", "zip://a.mp4::/no.zip", "*.mp4"]
    source = write(tmp_path / "list.csv", "uri,x", f"{video},0007", *(f"{u},1" for u in bad))
    source.write_bytes(source.read_bytes() + b"caf\xe9.mp4,caf\xe9\n")
    out = tmp_path / "out"
    flags = [*TINY_FLAGS, "--executor", "inline", "--json"]
    result = run("extract", source, "--out", out, *flags)
    assert result.returncode == 3, result.stderr
    assert summary(result)["errors"] == {"storage": 6}
    assert keys(out) == [("one_frame.mp4", 0)]
    found = {row["uri"].rpartition("/")[2]: row for row in videos(out)}
    assert [row["x"] for row in found.values()] == ["0007", *["1"] * 5, "caf\ufffd"]
    assert {row["status"] for name, row in found.items() if name != video.name} == {"failed"}
    listed = run("errors", out)
    assert listed.returncode == 0 and "gcsfs" in listed.stdout
    assert run("status", out, "--videos", "9").returncode == 0


@pytest.mark.parametrize("source", ["foo://x/", "gs://bucket/archive"])
def test_a_source_that_needs_a_package_exits_with_4(source: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("extract", source, "--out", out, *TINY_FLAGS, "--executor", "inline")
    assert result.returncode == 4
    assert "pip install" in result.stderr and "Traceback" not in result.stderr
    assert not out.exists()


def test_a_list_that_changes_a_columns_type_is_refused_before_any_work(
    video: Path, own_clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_job(tiny_job(out, write(tmp_path / "one.csv", "uri,label", f"{video},3")))
    before = tree(out)
    later = write(tmp_path / "two.csv", "uri,label", f"{own_clips / 'vp9.webm'},cat")
    result = run("extract", later, "--out", out, *TINY_FLAGS, "--executor", "inline")
    assert result.returncode == 2
    for part in ("two.csv", "'label'", "string", "int64", "'cat'", str(out)):
        assert part in result.stderr
    assert tree(out) == before
    fits = write(tmp_path / "two.csv", "uri,label", f"{own_clips / 'vp9.webm'},4")
    run_job(tiny_job(out, fits))
    assert [row["label"] for row in videos(out)] == [3, 4]


def test_numbers_are_text_where_text_came_first(
    video: Path, own_clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_job(tiny_job(out, write(tmp_path / "one.csv", "uri,label", f"{video},cat")))
    second = write(tmp_path / "two.csv", "uri,label", f"{own_clips / 'vp9.webm'},3")
    run_job(tiny_job(out, second))
    plans = [pq.read_schema(plan) for plan in sorted((out / "plans").iterdir())]
    assert [plan.field("extra.label").type for plan in plans] == [pa.string()] * 2
    assert [row["label"] for row in videos(out)] == ["cat", "3"]


def test_any_parquet_type_that_is_taken_reaches_the_snapshot(video: Path, tmp_path: Path) -> None:
    columns = {
        "uri": [str(video)],
        "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        "big": pa.array([2**64 - 1], pa.uint64()),
        "nested": [[{"a": [1, 2]}]],
        "large": pa.array(["x"], pa.large_string()),
        "nothing": pa.nulls(1),
    }
    source = tmp_path / "list.parquet"
    pq.write_table(pa.table(columns), source)
    out = tmp_path / "out"
    run_job(tiny_job(out, source))
    before = pq.read_table(source).drop("uri")
    assert pq.read_table(out / "videos.parquet").select(before.column_names).equals(before)
    assert run_job(tiny_job(out, source)).nothing_to_do
    assert dataset_status(str(out)).videos == {"complete": 1}


def replace_column(plan: Path, name: str, values: pa.Array) -> None:
    table = pq.read_table(plan)
    place = table.column_names.index(name)
    buffer = io.BytesIO()
    pq.write_table(table.set_column(place, name, values), buffer)
    plan.write_bytes(buffer.getvalue())


@pytest.mark.parametrize(
    ("other", "values"),
    [
        (pa.array(["cat"]), ["3", "cat"]),
        (pa.array([1.5]), [3.0, 1.5]),
        (pa.array([[{"a": 1}]]), ["3", "[{'a': 1}]"]),
        (pa.array([2**64 - 1], pa.uint64()), ["3", str(2**64 - 1)]),
        (pa.nulls(1), [3, None]),
    ],
)
def test_a_dataset_of_mixed_types_is_read(
    video: Path, own_clips: Path, tmp_path: Path, other: pa.Array, values: list[Any]
) -> None:
    """Versions before this one wrote such plans."""
    out = tmp_path / "out"
    for number, file in enumerate((video, own_clips / "web_page.mp4")):
        source = write(tmp_path / f"{number}.csv", "uri,label", f"{file},3")
        run_job(tiny_job(out, source))
    replace_column(out / "plans/p00002.parquet", "extra.label", other)
    (out / "videos.parquet").unlink()
    run_job(tiny_job(out, own_clips / "vp9.webm"))
    assert [row["label"] for row in videos(out)] == [*values, None]
    assert dataset_status(str(out)).videos == {"complete": 2, "failed": 1}
    assert [Path(error["uri"]).name for error in open_errors(str(out))] == ["web_page.mp4"]
    verified(out)


def test_columns_with_our_names_are_renamed_and_never_doubled(video: Path, tmp_path: Path) -> None:
    names = [
        "status",
        "list_status",
        "list_list_status",
        "clips",
        "etag",
        "video_id",
        "list_x",
        "x",
    ]
    source = write(
        tmp_path / "list.csv",
        ",".join(["uri", *names]),
        ",".join([str(video), *map(str, range(8))]),
    )
    out = tmp_path / "out"
    run_job(tiny_job(out, source))
    (row,) = videos(out)
    assert row["status"] == "complete" and row["uri"] == str(video)
    found = {name: value for name, value in row.items() if isinstance(value, int)}
    expected = {
        "list_status": 0,
        "list_list_status": 1,
        "list_list_list_status": 2,
        "list_clips": 3,
        "list_etag": 4,
        "list_video_id": 5,
        "list_x": 6,
        "x": 7,
    }
    assert {name: found[name] for name in expected} == expected
    assert dataset_status(str(out)).videos == {"complete": 1}


def test_repeated_rows_are_one_video_or_a_refusal(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    twice = write(tmp_path / "list.csv", "uri,label", f"{video},a", f"{video},a")
    run_job(tiny_job(out, twice))
    assert [row["label"] for row in videos(out)] == ["a"]
    differs = write(tmp_path / "list.csv", "uri,label", f"{video},a", f"{video},b")
    with pytest.raises(JobError, match=r"one_frame\.mp4 with label = 'b'"):
        run_job(tiny_job(tmp_path / "other", differs))
    assert not (tmp_path / "other").exists()


def test_an_empty_list_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"list\.csv: the list is empty"):
        run_job(tiny_job(tmp_path / "out", write(tmp_path / "list.csv", "uri,label")))
    assert not (tmp_path / "out").exists()
