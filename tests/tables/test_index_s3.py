"""The index in a bucket: the same as on a disk, and few requests."""

from __future__ import annotations

import random

import pytest

from tests.tables.world import World, differences, listing, told
from vfeat.storage.root import Root
from vfeat.tables.dataset_state import dataset_state
from vfeat.tables.notes import OutcomeNotes
from vfeat.tables.snapshot import extend_index, is_current, publish_snapshot, rebuild_index
from vfeat.tables.verify import verify_dataset


def test_an_index_in_a_bucket(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World.at(f"{bucket}/out")
    world.plan_new([5, 6, 7], 1, 3)
    luck = random.Random(3)
    notes = OutcomeNotes(world.root)
    while shards := world.pending():
        for shard in shards:
            world.commit(shard, luck)
            notes.add(shard, world.committed[shard])
        for shard in world.orphans():
            world.follow_up(shard)
    notes.flush()
    assert differences(told(dataset_state(world.root).tables()), world.expected()) == []
    assert extend_index(world.root)
    said = listing({video_id: number > 1 for number, video_id in enumerate(world.videos)})
    world.gone = set(list(world.videos)[2:])
    publish_snapshot(world.root, said)
    assert differences(told(dataset_state(world.root).tables()), world.expected()) == []
    opened: list[str] = []
    real = Root.open_input

    def open_input(self: Root, key: str) -> object:
        opened.append(key)
        return real(self, key)

    monkeypatch.setattr(Root, "open_input", open_input)
    assert is_current(world.root, said)
    assert not [key for key in opened if not key.startswith(("index/", "videos.", "errors."))]
    assert len(opened) <= 4
    ends = next(s for s in world.committed if s.startswith("f"))
    world.write(ends, world.committed[ends], again=True)
    assert not is_current(world.root, said)
    publish_snapshot(world.root, said)
    assert is_current(world.root, said)
    rebuild_index(world.root)
    assert differences(told(dataset_state(world.root).tables()), world.expected()) == []
    *_, report = verify_dataset(world.root)
    assert report.problems == []
