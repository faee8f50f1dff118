"""Lists of clips: what is read from them, and what they may not hold."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.train.encoder.moving import moving_frames, write_video
from vfeat.errors import JobError
from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.children.pool import DecodePool
from vfeat.train.encoder.data.clip_list import read_listing
from vfeat.train.encoder.data.footage import Footage, probe_samples


def write(folder: Path, *lines: str) -> str:
    path = folder / "clips.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_splits_are_drawn_class_by_class_and_stay(tmp_path: Path) -> None:
    counts = {"cat": 50, "dog": 20, "emu": 2}
    lines = [f"{name}{n}.mp4,{name}" for name, count in counts.items() for n in range(count)]
    random.Random(1).shuffle(lines)
    source = write(tmp_path, "uri,label", *lines)
    found, again, other = (read_listing(source, seed) for seed in (5, 5, 6))
    assert found.classes == ("cat", "dog", "emu")
    assert found.counts() == {
        "cat": {"train": 40, "val": 5, "test": 5},
        "dog": {"train": 16, "val": 2, "test": 2},
        "emu": {"train": 2, "val": 0, "test": 0},
    }
    assert found == again and found.splits != other.splits
    rows = Counter(s.row for part in found.splits.values() for s in part)
    assert rows == Counter(range(72))


def test_what_the_list_says_counts(tmp_path: Path) -> None:
    table = pa.table(
        {
            "uri": ["a.mp4", "sub/b.mp4", "/else/c.mp4", "a.mp4"],
            "label": [10, 9, 10, 9],
            "split": ["train", "train", "val", "TEST"],
            "start_s": [None, 1.5, 0.0, None],
            "end_s": [None, 4.0, None, 2.0],
        }
    )
    pq.write_table(table, tmp_path / "clips.parquet")
    (tmp_path / "a.mp4").write_bytes(b"1")
    found = read_listing(str(tmp_path / "clips.parquet"), 0)
    assert found.classes == ("9", "10")  # numbers, by their size
    assert {split: [s.row for s in part] for split, part in found.splits.items()} == {
        "train": [0, 1], "val": [2], "test": [3],
    }  # fmt: skip
    first, second = found.splits["train"]
    assert first.video.uri == str(tmp_path / "a.mp4") and first.video.problem is None
    assert (second.start_s, second.end_s) == (1.5, 4.0) and second.video.problem is not None
    assert found.splits["val"][0].video.uri == "/else/c.mp4"


def test_validation_is_held_out_where_the_list_has_none(tmp_path: Path) -> None:
    lines = [f"{n}.mp4,{n % 2},{'test' if n < 10 else 'train'}" for n in range(50)]
    found = read_listing(write(tmp_path, "uri,label,split", *lines), 0)
    assert [len(found.splits[split]) for split in ("train", "val", "test")] == [36, 4, 10]
    assert "4 training clips validate" in found.notes[0]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["uri,what", "a.mp4,x"], "needs a column named label; found: uri, what"),
        (["uri,label"], "the list is empty"),
        (["uri,label", "a.mp4,x", "b.mp4,"], "1 rows have no label: rows 2"),
        (["uri,label,split", "a.mp4,x,training"], "1 rows have a split that is not train, val"),
        (["uri,label,split", "a.mp4,x,train", "b.mp4,x,"], "1 of 2 labelled videos have no split"),
        (["uri,label,split", "a.mp4,x,train", "b.mp4,y,val"], "no training clip of 1 of 2 classes"),
        (["uri,label,start_s,end_s", "a.mp4,x,3,2"], "row 1 .*start_s 3 and end_s 2 are not"),
        (["uri,label,start_s", "a.mp4,x,-1"], "are not a part of a video"),
        (["uri,label,start_s", "a.mp4,x,soon"], "start_s 'soon'"),
    ],
)
def test_a_wrong_list_is_a_sentence(tmp_path: Path, lines: list[str], sentence: str) -> None:
    with pytest.raises(JobError, match=sentence):
        read_listing(write(tmp_path, *lines), 0)


def test_a_part_of_a_video_gives_the_clips_inside_it(
    tmp_path: Path,
) -> None:
    """A video of ten seconds, clips of two seconds every half second."""
    write_video(tmp_path / "v.mp4", moving_frames(np.random.default_rng(0), "left", 80))
    parts = [(None, None), (3, 6), (2.9, 6.1), (4, 5), (9.7, None), (None, 2), (12, 13)]
    cells = [f"v.mp4,x,{'' if a is None else a},{'' if b is None else b}" for a, b in parts]
    source = write(tmp_path, "uri,label,start_s,end_s", *cells, "v.mp4,x,0,1")
    samples = [s for part in read_listing(source, 0).splits.values() for s in part]
    clip = ClipSpec(4, 2.0, 0.5)
    with DecodePool(clip, FrameSpec(32), DecodeLimits(), 1) as pool:
        footage, broken = probe_samples(pool, samples, clip, 1, lambda done, total: None)
    ranges = {row: (f.first_clip, f.last_clip) for row, f in footage.items()}
    assert ranges.pop(0)[0] == 0
    # 3 to 6 s: starts 3.0, 3.5, 4.0; a part shorter than a clip: the clip around its middle.
    assert ranges == {1: (6, 8), 2: (6, 8), 3: (7, 7), 4: (18, 18), 5: (0, 0), 7: (0, 0)}
    assert [b.sample.row for b in broken] == [6] and "ends at 10 s" in broken[0].message
    assert all(isinstance(f, Footage) for f in footage.values())
