"""`vfeat export`: what is read back is the dataset, whatever happened in between."""

from __future__ import annotations

import csv
import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

import vfeat
from tests.engine.commands import run, start, wait_until
from tests.tables.world import World
from tests.train.head.generated import random_videos, recipe_of, write_dataset
from vfeat.errors import JobError
from vfeat.export import row_source
from vfeat.export.export import Export, Format
from vfeat.export.npy_files import safe_name
from vfeat.export.selection import Selection
from vfeat.storage.root import Root

WIDTH = 24
NAMES = ["b/x.mp4", "a/x.mp4", "a/X.mp4", "z äöü/näh 1.mp4", "q.mp4"]
NAMES += [f"n{i}.mp4" for i in range(20)]
TABLES: tuple[Format, ...] = ("parquet", "hf")
HAS_LANCE = importlib.util.find_spec("lance") is not None
NEEDS_LANCE = pytest.mark.skipif(
    not HAS_LANCE, reason="pylance is not installed: pip install 'vfeat[lance]' (217 MB)"
)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def out(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / request.param
    recipe = recipe_of(WIDTH, dtype=request.param)
    videos = dict(random_videos(NAMES, lambda name: 3 + len(name) * 7, WIDTH))
    return write_dataset(folder, videos, WIDTH, recipe, {"q.mp4": [1]}, videos_per_shard=4)


def export(out: Path | str, to: Path | str, format: Format, **options: Any) -> Export:
    work = Export(str(out), str(to), format, **options)
    for _ in work.run():
        pass
    return work


def expected(out: Path) -> pa.Table:
    """The rows of a dataset in the order of an export, read without vfeat."""
    files = [f for name in ("features", "predictions") for f in (out / name).glob("*.parquet")]
    table = pa.concat_tables([pq.read_table(f).replace_schema_metadata(None) for f in files])
    index = "clip_index" if "clip_index" in table.column_names else "prediction_index"
    return table.sort_by([("uri", "ascending"), ("video_id", "ascending"), (index, "ascending")])


def tables_of(folder: Path) -> pa.Table:
    files = sorted(folder.rglob("*.parquet"))
    return pa.concat_tables([pq.read_table(f).replace_schema_metadata(None) for f in files])


@pytest.mark.parametrize("format", TABLES)
def test_parts_hold_the_rows_in_order(out: Path, tmp_path: Path, format: Format) -> None:
    work = export(out, tmp_path / "to", format, part_megabytes=1)
    found, wanted = tables_of(tmp_path / "to"), expected(out)
    assert found.schema.types == wanted.schema.types  # half precision stays
    assert found.equals(wanted)
    assert json.loads((tmp_path / "to" / "vfeat-export-proof.json").read_text())["proven"]
    assert work.files == 1


def test_few_row_groups_are_held_and_every_row_comes(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for two of many row groups, and tables of a few rows."""
    limit = 2 * max(
        table.nbytes for f in (out / "features").iterdir() for table in [pq.read_table(f)]
    )
    monkeypatch.setattr(row_source, "_CACHE_BYTES", limit)
    monkeypatch.setattr(row_source, "BATCH_BYTES", 4096)
    monkeypatch.setattr(row_source, "_OPEN_FILES", 1)
    selection = Selection(Root(str(out)))
    source = row_source.RowSource(selection)
    found = []
    for table in source.batches(selection.videos()):
        assert sum(held.nbytes for held in source._groups.values()) <= limit
        found.append(table.replace_schema_metadata(None))
    assert len(found) > 10
    assert pa.concat_tables(found).equals(expected(out))


def test_a_video_in_pieces_of_several_plans_is_one_run_of_clips(tmp_path: Path) -> None:
    luck = random.Random(4)
    world = World.at(tmp_path / "out")
    world.plan_new([9, 14, 30, 25], 2, unit_clips=6)
    finish(world, luck)
    failed = [(v, clip, clip) for v, one in world.expected().items() for clip in one["errors"]]
    world.plan_again(failed, 3)
    finish(world, luck)
    mended = [one for one in world.expected().values() if len(one["pieces"]) > 2]
    assert mended, "no video stands in several files"
    wanted = expected(tmp_path / "out")
    export(tmp_path / "out", tmp_path / "to", "parquet")
    assert tables_of(tmp_path / "to").equals(wanted)
    assert wanted.group_by(["video_id", "clip_index"]).aggregate([]).num_rows == wanted.num_rows


def finish(world: World, luck: random.Random) -> None:
    """Commit what is planned, and the follow-up plans."""
    while world.pending() or world.orphans():
        for shard in world.pending():
            world.commit(shard, luck)
        for shard in world.orphans():
            world.follow_up(shard)


def test_npy_files_hold_vectors_and_times_under_safe_unique_names(
    out: Path, tmp_path: Path
) -> None:
    export(out, tmp_path / "to", "npy")
    with (tmp_path / "to" / "videos.csv").open(newline="") as file:
        rows = {row["uri"]: row for row in csv.DictReader(file)}
    names = [row["file"] for row in rows.values()]
    assert len({name.casefold() for name in names}) == len(NAMES)
    assert all(name.isascii() and " " not in name and "/" not in name for name in names)
    for one in vfeat.open(str(out)).sequences():
        name = rows[one.uri]["file"]
        vectors = np.load(tmp_path / "to" / name)
        assert vectors.dtype == one.embeddings.dtype
        np.testing.assert_array_equal(vectors, one.embeddings)
        times = np.load(tmp_path / "to" / "times" / name)
        np.testing.assert_array_equal(times, np.stack([one.start_s, one.end_s], axis=1))


def test_tokens_go_into_npy_files_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    videos = {"a.mp4": rng.normal(size=(5, 4, WIDTH)).astype(np.float32)}
    write_dataset(tmp_path / "out", videos, WIDTH, recipe_of(WIDTH, tokens="frame"))
    export(tmp_path / "out", tmp_path / "to", "npy", column="frame_tokens")
    np.testing.assert_array_equal(np.load(tmp_path / "to" / "a.npy"), videos["a.mp4"])
    for wrong in ("labels", "patch_tokens"):
        with pytest.raises(JobError, match="column"):
            Export(str(tmp_path / "out"), str(tmp_path / "other"), "npy", wrong)


@pytest.mark.parametrize(
    "format", ["parquet", "npy", "hf", pytest.param("lance", marks=NEEDS_LANCE)]
)
def test_an_export_that_was_cut_off_ends_like_an_undisturbed_one(
    out: Path, tmp_path: Path, format: Format
) -> None:
    rows = expected(out).num_rows
    few = {"part_megabytes": 1}
    work = Export(str(out), str(tmp_path / "cut"), format, **few)  # type: ignore[arg-type]
    work._about["part_rows"] = rows // 5
    work.parts = work.selection.parts(rows // 5)
    work._writer = work._make_writer()
    steps = work.run()
    while next(steps).rows < rows // 2:
        pass
    steps.close()  # what a kill leaves: whole files, and no proof
    assert not (tmp_path / "cut" / "vfeat-export-proof.json").exists()
    again = export(out, tmp_path / "cut", format, **few)
    assert again.resumed and again.destination.root.exists("vfeat-export-proof.json")
    if format == "lance":
        assert lance_rows(tmp_path / "cut").equals(expected(out))
        return
    export(out, tmp_path / "whole", format, **few)
    if format == "npy":
        for path in (tmp_path / "whole").rglob("*.npy"):
            other = tmp_path / "cut" / path.relative_to(tmp_path / "whole")
            assert other.read_bytes() == path.read_bytes()
        return
    assert len(list((tmp_path / "cut").rglob("*.parquet"))) >= 5
    assert tables_of(tmp_path / "cut").equals(tables_of(tmp_path / "whole"))


def test_a_killed_command_is_finished_by_the_same_command(tmp_path: Path) -> None:
    videos = random_videos([f"v{n:03d}.mp4" for n in range(300)], lambda _: 40, WIDTH)
    write_dataset(tmp_path / "out", dict(videos), WIDTH, videos_per_shard=100)
    words = ("export", tmp_path / "out", "--to", tmp_path / "to", "--format", "npy")
    process = start(*words)
    wait_until(lambda: any((tmp_path / "to").glob("*.npy")), 120, "a first file")
    process.kill()
    process.communicate(timeout=60)
    done = run(*words, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) | {"to": ""} == {
        "to": "", "format": "npy", "videos": 300, "rows": 12000, "files": 600, "resumed": True,
        "proven": True,
    }  # fmt: skip
    assert len(list((tmp_path / "to").glob("*.npy"))) == 300
    assert not list((tmp_path / "to").rglob(".tmp*"))


def spoil(path: Path, how: str) -> None:
    if how == "lost":
        path.unlink()
    elif how == "short" and path.suffix == ".npy":
        path.write_bytes(path.read_bytes()[:-8])
    elif how == "short":
        pq.write_table(pq.read_table(path).slice(1), path)
    else:
        table = pq.read_table(path)
        pq.write_table(pa.concat_tables([table.slice(0, 1), table.slice(0, len(table) - 1)]), path)


@pytest.mark.parametrize(
    ("format", "how", "sentence"),
    [
        ("parquet", "short", "missing"),
        ("parquet", "doubled", "has more than"),
        ("npy", "short", "expected"),
    ],
)
def test_rows_that_differ_are_no_proof(
    out: Path, tmp_path: Path, format: Format, how: str, sentence: str
) -> None:
    to = tmp_path / "to"
    export(out, to, format)
    path = next(p for p in sorted(to.iterdir()) if p.suffix in (".npy", ".parquet"))
    spoil(path, how)
    again = run("export", out, "--to", to, "--format", format)
    assert again.returncode == 5 and sentence in again.stderr and path.name in again.stderr
    path.unlink()  # as the message asks for
    export(out, to, format)


def test_a_foreign_folder_and_another_export_are_refused(out: Path, tmp_path: Path) -> None:
    (tmp_path / "deep" / "below").mkdir(parents=True)
    (tmp_path / "deep" / "below" / "thesis.tex").write_text("mine")
    refused = run("export", out, "--to", tmp_path / "deep")
    assert refused.returncode == 2 and "thesis.tex" in refused.stderr
    assert [p.name for p in (tmp_path / "deep").rglob("*.*")] == ["thesis.tex"]
    export(out, tmp_path / "to", "parquet")
    with pytest.raises(JobError, match="another export"):
        Export(str(out), str(tmp_path / "to"), "npy")
    with pytest.raises(JobError, match="holds no committed rows"):
        World.at(tmp_path / "empty")
        Export(str(tmp_path / "empty"), str(tmp_path / "x"), "parquet")


def test_a_dry_run_writes_nothing(out: Path, tmp_path: Path) -> None:
    done = run("export", out, "--to", tmp_path / "to", "--format", "npy", "--dry-run")
    assert done.returncode == 0 and "nothing written" in done.stdout
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("format", ["parquet", "npy", "hf"])
def test_an_export_to_s3_is_the_same(bucket: str, tmp_path: Path, format: Format) -> None:
    videos = dict(random_videos(NAMES[:6], lambda name: 3 + len(name), WIDTH))
    write_dataset(tmp_path / "out", videos, WIDTH)
    export(tmp_path / "out", tmp_path / "local", format)
    export(tmp_path / "out", f"{bucket}/to", format)
    assert export(tmp_path / "out", f"{bucket}/to", format).resumed
    remote = Root(f"{bucket}/to")
    for path in (tmp_path / "local").rglob("*"):
        if path.suffix in (".parquet", ".npy", ".csv", ".md"):
            key = path.relative_to(tmp_path / "local").as_posix()
            assert remote.read_bytes(key) == path.read_bytes()
    with pytest.raises(JobError, match="not empty"):
        Export(str(tmp_path / "out"), bucket, format)


def test_datasets_reads_the_folder(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets", reason="the package datasets is not installed")
    export(out, tmp_path / "to", "hf")
    code = (
        "import json, sys, datasets\n"
        "rows = datasets.load_dataset(sys.argv[1], split='train')\n"
        "print(json.dumps([rows.column_names, rows.with_format('numpy')[:]['embedding'].tolist()]))"
    )
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "to")], capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names, vectors = json.loads(done.stdout.splitlines()[-1])
    wanted = expected(out)
    assert names == wanted.column_names
    np.testing.assert_array_equal(
        np.array(vectors, np.float32), np.array(wanted.column("embedding").to_pylist(), np.float32)
    )


def lance_rows(folder: Path) -> pa.Table:
    import lance

    return lance.dataset(folder / "features.lance").to_table()


@NEEDS_LANCE
def test_lance_reads_the_table(out: Path, tmp_path: Path) -> None:
    export(out, tmp_path / "to", "lance")
    assert lance_rows(tmp_path / "to").equals(expected(out))


@pytest.mark.parametrize(
    "uri", ["/a/b.mp4", "s3://x/ü?*.mp4", "/a/.mp4", "/a/", "/a/" + "x" * 400, "/..", "/a\n;b"]
)
def test_a_file_name_is_safe_whatever_the_video_is_called(uri: str) -> None:
    name = safe_name(uri)
    assert name and name[0] != "." and len(name) <= 120
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def test_pads_reads_all_parts_as_one(out: Path, tmp_path: Path) -> None:
    export(out, tmp_path / "to", "parquet")
    parts = pads.dataset([str(p) for p in sorted((tmp_path / "to").glob("*.parquet"))])
    assert parts.count_rows() == expected(out).num_rows
