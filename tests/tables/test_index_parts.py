"""Parts of the index one by one: drivers that race, damage, notes, requests, gaps."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import vfeat
from tests.engine.commands import run
from tests.tables.world import World, differences, listing, probe_of, told
from vfeat.errors import StorageError
from vfeat.outcome import Outcome, RangeError, Split
from vfeat.plan.sequence_ref import LONGEST_GAP, fold_gaps
from vfeat.plan.unit import Unit
from vfeat.sequences.reader import SequenceReader
from vfeat.storage.root import Root
from vfeat.tables import layout, merging
from vfeat.tables.catalogue import read_catalogue
from vfeat.tables.dataset_state import column_types, dataset_state
from vfeat.tables.notes import OutcomeNotes
from vfeat.tables.pending import failed_ranges, pending_plans
from vfeat.tables.plans import plan_table, publish_plan
from vfeat.tables.snapshot import (
    cannot_tell,
    extend_index,
    is_current,
    publish_snapshot,
    rebuild_index,
)
from vfeat.tables.status import dataset_status, open_errors
from vfeat.tables.verify import verify_dataset


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.at(tmp_path / "out")


def finish(world: World, seed: int = 0) -> None:
    """Work on everything that is planned."""
    luck = random.Random(seed)
    while shards := world.pending():
        for shard in shards:
            world.commit(shard, luck)
        for shard in world.orphans():
            world.follow_up(shard)


def agrees(world: World) -> None:
    assert differences(told(dataset_state(world.root).tables()), world.expected()) == []


def opened_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys under the root that are opened from now on."""
    keys: list[str] = []
    real = Root.local_path

    def local_path(self: Root, key: str) -> Path | None:
        keys.append(key)
        return real(self, key)

    monkeypatch.setattr(Root, "local_path", local_path)
    return keys


def problems(root: Root) -> list[str]:
    *_, report = verify_dataset(root)
    return report.problems


def segments(world: World) -> list[str]:
    return [name for name in world.root.list(layout.INDEX) if name[0] == "0"]


def test_a_night_reads_what_is_new(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        world.plan_new([5] * 20, 2)
    finish(world)
    publish_snapshot(world.root, cannot_tell)
    plan = world.plan_new([4, 4], 1)
    finish(world)
    keys = opened_files(monkeypatch)
    publish_snapshot(world.root, cannot_tell)
    assert {key for key in keys if key.startswith("features/")} == {
        f"features/{plan}-00000.parquet", f"features/{plan}-00001.parquet",
    }  # fmt: skip
    assert {key for key in keys if key.startswith("plans/")} == {f"plans/{plan}.parquet"}
    keys.clear()
    assert dataset_status(world.root.uri).shards == 32
    assert is_current(world.root, cannot_tell)
    assert list(pending_plans(world.root)) == []
    assert not [key for key in keys if key.startswith(("features/", "plans/"))]
    agrees(world)


def test_of_two_drivers_both_are_right(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.plan_new([5, 5, 5], 1)
    finish(world)
    real, other = Root.create_file, [True]

    def create_file(self: Root, key: str, path: Any) -> bool:
        if other and other.pop():
            assert publish_snapshot(world.root, cannot_tell)
        return real(self, key, path)

    monkeypatch.setattr(Root, "create_file", create_file)
    counts = publish_snapshot(world.root, listing(dict.fromkeys(world.videos, True)))
    assert counts == {"gone": 3}
    world.gone = set(world.videos)
    assert len(segments(world)) == 2  # the second says who is gone, and nothing twice
    agrees(world)
    assert problems(world.root) == []


def test_verify_finds_an_index_that_disagrees(world: World, tmp_path: Path) -> None:
    world.plan_new([5, 6], 1)
    finish(world)
    publish_snapshot(world.root, cannot_tell)
    assert problems(world.root) == []
    file = tmp_path / "out" / "index" / "00001.parquet"
    table = pq.read_table(file)
    place = table.column_names.index("clips")
    wrong = table.set_column(place, table.schema.field(place), [[1, 1]])
    about = {b"vfeat.index": pq.read_metadata(file).metadata[b"vfeat.index"]}
    pq.write_table(wrong.replace_schema_metadata(about), file)
    found = problems(world.root)
    assert len(found) == 1 and "index disagrees with the files of plan p00001" in found[0]
    assert "vfeat reindex" in found[0]
    done = run("reindex", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "Made anew: " in done.stdout
    assert problems(world.root) == []
    agrees(world)
    publish_snapshot(world.root, cannot_tell)
    assert segments(world) == ["00002.parquet"]


def test_an_unreadable_index_is_a_sentence(world: World, tmp_path: Path) -> None:
    world.plan_new([5, 6], 1)
    finish(world)
    publish_snapshot(world.root, listing(dict.fromkeys(list(world.videos)[:1], True)))
    world.gone = set(list(world.videos)[:1])
    (tmp_path / "out" / "index" / "00001.parquet").write_bytes(b"nothing")
    with pytest.raises(StorageError, match=r"00001\.parquet is not a readable .* vfeat reindex"):
        dataset_status(world.root.uri)
    assert "vfeat reindex" in problems(world.root)[0]
    rebuild_index(world.root)
    agrees(world)  # who is gone stands in `videos.parquet` too
    assert problems(world.root) == []


def test_a_deleted_last_plan_is_a_sentence(world: World) -> None:
    world.plan_new([5], 1)
    world.plan_new([5], 1)
    finish(world)
    publish_snapshot(world.root, cannot_tell)
    world.root.delete("plans/p00002.parquet")
    with pytest.raises(StorageError, match=r"p00002\.parquet is not there"):
        dataset_status(world.root.uri)


def test_a_file_that_was_redone_is_read_again(world: World) -> None:
    world.plan_new([9, 9], 1)
    finish(world, 1)
    publish_snapshot(world.root, cannot_tell)
    world.delete("p00001-00000")
    world.lost.clear()
    (unit,) = world.units("p00001-00000")
    about = (unit.video_id, unit.uri, 0, 8)
    world.write("p00001-00000", [Outcome(*about, 9, probe=probe_of(9))])
    agrees(world)
    assert not is_current(world.root, cannot_tell)
    publish_snapshot(world.root, cannot_tell)
    agrees(world)
    assert problems(world.root) == []


def test_noted_shards_are_not_opened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.plan_new([5, 6, 7], 1)
    luck = random.Random(4)
    notes = OutcomeNotes(world.root)
    for shard in world.pending()[:2]:
        world.commit(shard, luck)
        notes.add(shard, world.committed[shard])
    assert len(notes) == 2
    notes.flush()
    notes.flush()
    assert len(notes) == 0 and len(world.root.list(layout.INDEX)) == 1
    keys = opened_files(monkeypatch)
    agrees(world)
    assert not [key for key in keys if key.startswith("features/")]
    finish(world)
    assert extend_index(world.root)
    assert not extend_index(world.root)
    assert segments(world) == list(world.root.list(layout.INDEX))  # the note is swept
    agrees(world)


def test_a_note_of_a_lost_file_says_nothing(world: World) -> None:
    world.plan_new([5, 6], 1)
    notes = OutcomeNotes(world.root)
    shard = world.pending()[0]
    world.commit(shard, random.Random(4))
    notes.add(shard, world.committed[shard])
    notes.flush()
    world.delete(shard)
    agrees(world)
    OutcomeNotes(world.root)  # the next run
    assert world.root.list(layout.INDEX) == {}


def test_a_note_that_could_not_be_written_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = OutcomeNotes(world.root)
    notes.add("p00001-00000", [])

    def fails(*_: object) -> bool:
        raise StorageError("away")

    with monkeypatch.context() as patched:
        patched.setattr(Root, "create_bytes", fails)
        with pytest.raises(StorageError):
            notes.flush()
    assert len(notes) == 1


def test_segments_stay_few(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MOST_SEGMENTS", 4)
    for night in range(12):
        world.plan_new([3, 4], 2)
        finish(world, night)
        said = {v: number % 5 == night % 5 for number, v in enumerate(world.videos)}
        publish_snapshot(world.root, listing(said))
        world.gone = {v for v, gone in said.items() if gone}
        agrees(world)
        assert len(read_catalogue(world.root).segments) <= 5
        assert len(segments(world)) <= 9  # those that were merged last wait for their readers
    assert problems(world.root) == []


def failing(world: World, shard: str, ranges: list[tuple[int, int, str]], clips: int) -> None:
    (unit,) = world.units(shard)
    errors = tuple(RangeError(a, b, kind, "why", 2) for a, b, kind in ranges)  # type: ignore[arg-type]
    rows = clips - sum(error.clips for error in errors)
    outcome = Outcome(
        unit.video_id, unit.uri, 0, clips - 1, rows, errors=errors, probe=probe_of(clips)
    )
    world.write(shard, [outcome])


def test_failed_ranges_are_those_that_nobody_tries_yet(world: World) -> None:
    world.plan_new([20, 20, 20], 1)
    first, second, third = world.videos
    for shard, ranges in (
        ("p00001-00000", [(2, 9, "crashed"), (12, 12, "timeout")]),
        ("p00001-00001", [(0, 4, "crashed")]),
        ("p00001-00002", [(7, 7, "crashed")]),
    ):
        failing(world, shard, ranges, 20)
    publish_snapshot(world.root, listing({third: True}))
    world.plan_again([(first, 4, 5)], 1)

    def found(*classes: str) -> list[tuple[str, int, int]]:
        rows = [row for table in failed_ranges(world.root, classes) for row in table.to_pylist()]
        for row in rows:
            video = world.videos[row["video_id"]]
            assert row["opened"] and row["source"] == "/videos"
            assert (row["uri"], row["etag"], row["size_bytes"]) == (
                video.uri, video.etag, video.size_bytes,
            )  # fmt: skip
        return sorted((row["video_id"], row["first_clip"], row["last_clip"]) for row in rows)

    everything = [(first, 2, 3), (first, 6, 9), (first, 12, 12), (second, 0, 4)]
    assert found("all") == sorted(everything)
    assert found("timeout") == [(first, 12, 12)]
    assert found("storage") == []
    assert {row["video_id"] for row in open_errors(world.root.uri)} == {first, second}
    # a video that nobody could open is tried as a whole
    world.plan_new([5], 1)
    unopened = list(world.videos)[-1]
    (unit,) = world.units("p00003-00000")
    error = RangeError(0, 0, "unreadable", "no header", 3)
    world.write("p00003-00000", [Outcome(unit.video_id, unit.uri, 0, 0, 0, errors=(error,))])
    (row,) = [r for t in failed_ranges(world.root, ("unreadable",)) for r in t.to_pylist()]
    assert (row["video_id"], row["opened"]) == (unopened, False)
    world.plan_again([(unopened, 0, None)], 1)
    assert found("unreadable") == []


def test_long_gaps_are_those_of_the_outcomes(world: World) -> None:
    """Of a split video, with rows that a retry brings into the middle of a gap."""
    gap = 5 * LONGEST_GAP
    clips = 3 * gap
    world.plan_new([clips], 1, gap)
    (unit,) = world.units("p00001-00000")
    about = (unit.video_id, unit.uri)
    world.write(
        "p00001-00000",
        [
            Outcome(
                *about, 0, gap - 1, 10, ((10, gap - 1),), probe=probe_of(clips),
                split=Split(clips - 1, gap, 9),
            )
        ],
    )  # fmt: skip
    world.follow_up("p00001-00000")
    error = RangeError(gap, 2 * gap - 1, "timeout", "slow", 1)
    world.write(
        "f00001-00000-00000",
        [
            Outcome(*about, gap, 2 * gap - 1, 0, errors=(error,)),
            Outcome(*about, 2 * gap, clips - 1, 5, ((2 * gap + 5, clips - 1),)),
        ],
    )
    reader = SequenceReader(vfeat.open(world.root.uri))
    ranges = [(0, 9), (2 * gap, 2 * gap + 4)]
    for number in range(2):
        (ref,) = reader.refs()
        assert (ref.clips, ref.folds) == fold_gaps(clips, ranges)
        publish_snapshot(world.root, cannot_tell)
        assert list(reader.refs()) == [ref]
        if number:
            break
        middle = gap + gap // 2
        world.plan_again([(unit.video_id, gap, 2 * gap - 1)], 1)
        empty = ((gap, middle - 1), (middle + 3, 2 * gap - 1))
        world.write("p00002-00000", [Outcome(*about, gap, 2 * gap - 1, 3, empty)])
        ranges.append((middle, middle + 2))
    agrees(world)
    assert [video.mended for video in reader.settled()] == [True]


def test_a_split_video_waits_for_all_of_its_ranges(world: World) -> None:
    world.plan_new([9], 1, 3)
    (unit,) = world.units("p00001-00000")
    split = Split(8, 3, 1)
    about = (unit.video_id, unit.uri)
    world.write("p00001-00000", [Outcome(*about, 0, 2, 3, probe=probe_of(9), split=split)])
    reader = SequenceReader(vfeat.open(world.root.uri))
    for shard in ("f00001-00000-00000", "f00001-00000-00001"):
        assert dataset_status(world.root.uri).videos == {"pending": 1}
        assert not extend_index(world.root)
        assert list(reader.refs()) == []
        if shard.endswith("0"):
            world.follow_up("p00001-00000")
        (unit,) = world.units(shard)
        assert unit.last_clip is not None
        world.write(shard, [Outcome(*about, unit.first_clip, unit.last_clip, 3)])
    assert dataset_status(world.root.uri).videos == {"complete": 1}
    (video,) = reader.settled()
    assert (video.ref.clips, video.ref.rows, video.mended) == (9, 9, False)


def test_a_column_of_two_types_is_text(world: World) -> None:
    """Older versions checked nothing."""
    for number, value in ((1, 7), (2, "seven")):
        unit = Unit(f"{number:032x}", f"/v{number}", 1, "e", 0, None, 1.0)
        publish_plan(world.root, number, plan_table([[unit]], {unit.video_id: {"x": value}}))
        outcome = Outcome(unit.video_id, unit.uri, 0, 4, 5, probe=probe_of(5))
        world.write(f"p{number:05d}-00000", [outcome])
        publish_snapshot(world.root, cannot_tell)
    assert str(column_types(world.root)["x"]) == "string"
    rows = pq.read_table(Path(world.root.uri) / "videos.parquet").to_pylist()
    assert sorted(row["x"] for row in rows) == ["7", "seven"]
