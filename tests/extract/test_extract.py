"""What `vfeat extract` promises, on real files, with every stage run in this process."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import torch

import vfeat
from tests.engine.jobs import keys, tiny_job, tree, verified
from vfeat.engine.watch import Totals, Watch
from vfeat.engine.worker_protocol import Progress
from vfeat.errors import CircuitOpen, EnvironmentMissing, JobError
from vfeat.extract.run import ExtractRun, run_job
from vfeat.models import create_model


@pytest.fixture
def corpus(own_clips: Path, tmp_path: Path) -> Path:
    """Two healthy videos and two broken ones, in a folder with a file that is no video."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("cfr25_bframes.mp4", "vp9.webm", "truncated_faststart.mp4", "web_page.mp4"):
        shutil.copy(own_clips / name, folder)
    (folder / "notes.txt").write_text("not a video")
    return folder


def test_one_row_for_each_clip_or_an_error_in_its_place(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = run_job(tiny_job(out, corpus))
    assert summary.exit_code == 3
    assert set(summary.errors) == {"undecodable", "unreadable"}
    report = verified(out)
    assert report.pending_shards == 0
    assert len(keys(out)) == len(set(keys(out))) == report.rows
    errors = pq.read_table(out / "errors.parquet").to_pylist()
    assert {Path(e["uri"]).name for e in errors} == {"truncated_faststart.mp4", "web_page.mp4"}
    for error in errors:
        assert error["uri"] in error["message"]
    status = {
        Path(v["uri"]).name: v["status"] for v in pq.read_table(out / "videos.parquet").to_pylist()
    }
    assert status == {
        "cfr25_bframes.mp4": "complete",
        "vp9.webm": "complete",
        "truncated_faststart.mp4": "partial",
        "web_page.mp4": "failed",
    }


def test_videos_name_the_rows_of_each_video(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_job(tiny_job(out, corpus))
    for video in pq.read_table(out / "videos.parquet").to_pylist():
        rows = [
            row
            for piece in video["files"]
            for row in pq.read_table(out / piece["file"])
            .slice(piece["first_row"], piece["rows"])
            .to_pylist()
        ]
        assert len(rows) == video["clips"]
        assert {row["video_id"] for row in rows} <= {video["video_id"]}
        counted = video["clips"] + video["empty_clips"] + video["error_clips"]
        assert counted == video["planned_clips"]


def test_a_second_run_does_nothing_and_writes_nothing(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_job(tiny_job(out, corpus))
    before = tree(out)
    again = run_job(tiny_job(out, corpus))
    assert again.nothing_to_do
    assert again.exit_code == 0
    assert tree(out) == before


class StopAfter(Watch):
    """Interrupts a run once so many shards are committed."""

    def __init__(self, shards: int) -> None:
        self.shards = shards
        self.run: ExtractRun | None = None

    def advanced(self, totals: Totals, workers: tuple[Progress, ...]) -> None:
        if totals.shards_done >= self.shards and self.run is not None:
            self.run.interrupt()


def test_an_interrupted_run_resumes_to_the_same_table(own_clips: Path, tmp_path: Path) -> None:
    videos = [own_clips / n for n in ("cfr25_bframes.mp4", "vp9.webm", "vfr.mp4", "av1.mp4")]
    # a shard is a few clips: a megabyte cannot be the limit of so small a model
    fields = {"shard_minutes": 1e-4}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_job(tiny_job(whole, *videos, **fields))
    watch = StopAfter(1)
    run = ExtractRun(tiny_job(parts, *videos, **fields), watch)
    watch.run = run
    first = run.run()
    assert first.exit_code == 130
    done = len(list((parts / "features").iterdir()))
    assert 0 < done < len(list((whole / "features").iterdir()))
    assert verified(parts).pending_shards > 0
    second = run_job(tiny_job(parts, *videos, **fields))
    assert second.exit_code == 0
    assert keys(parts) == keys(whole)
    assert len(list((parts / "features").iterdir())) == len(list((whole / "features").iterdir()))
    columns = ["video_id", "clip_index", "start_s", "end_s"]
    tables = [vfeat.open(str(o)).to_arrow(columns).sort_by("video_id") for o in (whole, parts)]
    assert tables[0].equals(tables[1])


def test_keys_do_not_depend_on_the_shards(own_clips: Path, tmp_path: Path) -> None:
    videos = [own_clips / n for n in ("cfr25_bframes.mp4", "vfr_gap.mp4", "rotated_90.mp4")]
    run_job(tiny_job(tmp_path / "a", *videos))
    run_job(tiny_job(tmp_path / "b", *videos, shard_minutes=1e-4, batch_size=1))
    assert keys(tmp_path / "a") == keys(tmp_path / "b")
    assert len(list((tmp_path / "b/features").iterdir())) >= 1


def test_new_changed_and_deleted_videos_become_a_delta(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_job(tiny_job(out, corpus))
    rows = len(keys(out))
    shutil.copy(corpus / "vp9.webm", corpus / "more.webm")
    (corpus / "cfr25_bframes.mp4").unlink()
    os.utime(corpus / "vp9.webm", ns=(1, 1))  # changed: another etag, another video
    summary = run_job(tiny_job(out, corpus))
    assert summary.plans == ("p00002",)
    verified(out)
    videos = pq.read_table(out / "videos.parquet").to_pylist()
    by_status: dict[str, list[str]] = {}
    for video in videos:
        by_status.setdefault(video["status"], []).append(Path(video["uri"]).name)
    assert sorted(by_status["gone"]) == ["cfr25_bframes.mp4", "vp9.webm"]
    assert sorted(by_status["complete"]) == ["more.webm", "vp9.webm"]
    assert len(keys(out)) > rows  # nothing that was written is taken away


def test_another_folder_does_not_make_the_first_one_gone(own_clips: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(own_clips / "one_frame.mp4", tmp_path / name / f"{name}.mp4")
    out = tmp_path / "out"
    run_job(tiny_job(out, tmp_path / "a"))
    run_job(tiny_job(out, tmp_path / "b"))
    status = pq.read_table(out / "videos.parquet").column("status").to_pylist()
    assert status == ["complete", "complete"]


def test_retrying_errors_plans_what_failed_and_only_that(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_job(tiny_job(out, corpus))
    rows, errors = keys(out), pq.read_table(out / "errors.parquet").to_pylist()
    again = run_job(tiny_job(out, corpus, retry_errors=["unreadable"]))
    assert again.plans == ("p00002",)
    assert again.totals.planned_clips == 1
    # it failed again: the new error stands in the old one's place, and counts all attempts
    for error in errors:
        error["attempts"] += error["error_class"] == "unreadable"
    assert (keys(out), pq.read_table(out / "errors.parquet").to_pylist()) == (rows, errors)
    assert run_job(tiny_job(out, corpus)).nothing_to_do
    verified(out)


def test_a_retry_that_succeeds_closes_the_error(
    own_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    shutil.copy(own_clips / "cfr25_bframes.mp4", folder)
    shutil.copy(own_clips / "vp9.webm", folder)
    video = folder / "vp9.webm"
    content, times = video.read_bytes(), video.stat()
    video.write_bytes(bytes(len(content)))  # unreadable for now, with the same size and mtime
    os.utime(video, ns=(times.st_atime_ns, times.st_mtime_ns))
    out = tmp_path / "out"
    assert run_job(tiny_job(out, folder)).exit_code == 3
    video.write_bytes(content)
    os.utime(video, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert run_job(tiny_job(out, folder, retry_errors=["all"])).exit_code == 0
    assert pq.read_table(out / "errors.parquet").num_rows == 0
    assert ("vp9.webm", 1) in keys(out)
    assert run_job(tiny_job(out, folder, retry_errors=["all"])).nothing_to_do
    verified(out)


def test_another_recipe_is_refused_field_by_field(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_job(tiny_job(out, corpus))
    with pytest.raises(JobError, match=r"clip\.clip_s: the dataset has 1\.0, this job 2\.0") as e:
        run_job(tiny_job(out, corpus, clip_seconds=2.0))
    assert e.value.exit_code == 2


def test_columns_of_a_list_travel_into_videos(own_clips: Path, tmp_path: Path) -> None:
    rows = {
        "uri": [str(own_clips / "one_frame.mp4"), str(own_clips / "vp9.webm"), "no/such/file.mp4"],
        "title": ["one", "two", "three"],
        "year": [1999, 2001, 2010],
    }
    pacsv.write_csv(pa.table(rows), tmp_path / "list.csv")
    pq.write_table(pa.table(rows), tmp_path / "list.parquet")
    for name in ("list.csv", "list.parquet"):
        out = tmp_path / f"out-{name}"
        summary = run_job(tiny_job(out, tmp_path / name))
        assert summary.errors == {"storage": 1}
        videos = pq.read_table(out / "videos.parquet").to_pylist()
        found = {Path(v["uri"]).name: (v["title"], v["year"], v["status"]) for v in videos}
        assert found == {
            "one_frame.mp4": ("one", 1999, "complete"),
            "vp9.webm": ("two", 2001, "complete"),
            "file.mp4": ("three", 2010, "failed"),
        }


def test_a_dry_run_counts_and_writes_nothing(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = tiny_job(out, corpus)
    preview = ExtractRun(job, Watch()).preview()
    assert not out.exists()
    summary = run_job(job)
    assert preview.videos == preview.new_videos == 4
    assert preview.unreadable == 1
    assert preview.clips == summary.totals.planned_clips
    assert preview.shards == summary.totals.shards
    run = json.loads(next((out / "runs").iterdir()).read_text())
    assert run["totals"]["rows"] == summary.totals.rows


@pytest.mark.parametrize(
    ("fields", "error", "sentence"),
    [
        ({"weights": None}, EnvironmentMissing, "needs weights"),
        ({"weights": "/no/such/weights.pth"}, EnvironmentMissing, "/no/such/weights.pth"),
        ({"model": "videomamba_tinny"}, JobError, "videomamba_tiny"),
        ({"decoder": "ffmpeg"}, JobError, "pyav"),
        ({"decoder": "no_such_module:thing"}, EnvironmentMissing, "no_such_module"),
        ({"size": 33}, JobError, "multiples"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    corpus: Path, tmp_path: Path, fields: dict[str, object], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        run_job(tiny_job(tmp_path / "out", corpus, **fields))
    assert not (tmp_path / "out").exists()


def test_a_machine_with_other_weights_is_named(tmp_path: Path, own_clips: Path) -> None:
    """The file that the driver read is not the one that the worker finds under that name."""
    small = {"embed_dim": 16, "depth": 1, "img_size": 32, "num_frames": 4, "num_classes": 4}
    weights = tmp_path / "weights.pth"
    torch.save(create_model("videomamba", **small).state_dict(), weights)
    job = tiny_job(tmp_path / "out", own_clips / "av1.mp4", weights=str(weights))
    run = ExtractRun(job, Watch())
    torch.save(create_model("videomamba", **small).state_dict(), weights)
    with pytest.raises(EnvironmentMissing, match=r"weights\.pth on .* holds other weights"):
        run.run()


def test_an_empty_corpus_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(JobError, match="no videos in"):
        run_job(tiny_job(tmp_path / "out", tmp_path / "empty"))
    with pytest.raises(JobError, match="nowhere"):
        run_job(tiny_job(tmp_path / "out", tmp_path / "nowhere"))


def test_a_corpus_of_garbage_stops_the_job(tmp_path: Path) -> None:
    folder = tmp_path / "garbage"
    folder.mkdir()
    for i in range(8):
        (folder / f"{i}.mp4").write_bytes(os.urandom(2000))
    with pytest.raises(CircuitOpen, match="first 8 units all failed"):
        run_job(tiny_job(tmp_path / "out", folder, breaker_first_units=8))
    committed = [path.name for path in (tmp_path / "out" / "features").iterdir()]
    assert committed == ["p00001-00000.parquet"]  # what is known of them stays known


def test_tokens_and_crops_have_their_shapes(own_clips: Path, tmp_path: Path) -> None:
    video = own_clips / "one_frame.mp4"
    for tokens, shape in (("frame", [4, 16]), ("patch", [4 * 4, 16])):
        out = tmp_path / tokens
        run_job(tiny_job(out, video, tokens=tokens, dtype="bfloat16"))
        table = vfeat.open(str(out)).to_arrow()
        kind = table.schema.field(f"{tokens}_tokens").type
        assert [kind.list_size, kind.value_type.list_size] == shape
        assert kind.value_type.value_type == pa.float16()
    run_job(tiny_job(tmp_path / "three", video, crops=3))
    assert len(keys(tmp_path / "three")) == 1


def test_two_drivers_on_one_root_double_nothing(corpus: Path, tmp_path: Path) -> None:
    """The second driver lists before the first has planned, and still plans nothing twice."""
    out = tmp_path / "out"
    late = ExtractRun(tiny_job(out, corpus), Watch())
    late.check()
    run_job(tiny_job(out, corpus))
    assert list(late.plan()) == []
    assert [p.name for p in (out / "plans").iterdir()] == ["p00001.parquet"]
    verified(out)


def test_overlapping_sources_give_each_video_once(corpus: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    run_job(tiny_job(once, corpus))
    run_job(tiny_job(twice, corpus, corpus / "vp9.webm", f"{corpus}/*.mp4"))
    assert keys(once) == keys(twice)
    verified(twice)


def test_sparse_sampling_spreads_a_fixed_number_of_clips(own_clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    videos = [own_clips / "cfr25_bframes.mp4", own_clips / "one_frame.mp4"]
    run_job(tiny_job(out, *videos, sampling="sparse", sparse_clips=3, crops=3))
    verified(out)
    rows = vfeat.open(str(out)).to_arrow(["uri", "clip_index", "start_s", "end_s"]).to_pylist()
    for video in videos:
        mine = [r for r in rows if r["uri"] == str(video)]
        assert [r["clip_index"] for r in mine] == [0, 1, 2]
        assert {r["start_s"] for r in mine} == {0.0}
    assert {r["end_s"] for r in rows if r["uri"] == str(videos[0])} == {6.0}


def test_every_broken_file_ends_as_rows_and_errors(shared: Path, tmp_path: Path) -> None:
    """The truth about each file is in clips.json: how many frames decode, and until when."""
    truth = {
        Path(clip["file"]).name: clip
        for clip in json.loads((shared / "clips/clips.json").read_text())["clips"]
        if clip["file"].startswith("broken/")
    }
    out = tmp_path / "out"
    good = shared / "clips/made/cfr25_h264_bframes.mp4"
    summary = run_job(tiny_job(out, shared / "clips/broken", good))
    assert summary.exit_code == 3
    verified(out)
    rows = keys(out)
    assert [clip for name, clip in rows if name == good.name] == [0, 1, 2, 3, 4]
    errors = pq.read_table(out / "errors.parquet").to_pylist()
    for name, clip in truth.items():
        mine = [c for n, c in rows if n == name]
        failed = [e for e in errors if Path(e["uri"]).name == name]
        assert mine or failed, f"{name} vanished"
        assert all(name in e["message"] for e in failed)
        if not clip.get("decoded_frames"):
            assert not mine and failed, name
            continue
        length = clip["pts"]["last"] - clip["pts"]["first"]
        # every clip whose whole window decodes has its row
        assert set(range(int(length))) <= set(mine) or "hole" in name, name
        assert all(c < length + 1 for c in mine), name
