"""The index says what the footers say, whatever happened to it."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.tables.world import World, differences, listing, told, without_gone
from vfeat.corpus.ids import hex_ids
from vfeat.storage.root import Root
from vfeat.tables import layout, merging
from vfeat.tables.catalogue import read_catalogue
from vfeat.tables.dataset_state import dataset_state, known_ids, state_from_footers
from vfeat.tables.notes import OutcomeNotes
from vfeat.tables.pending import failed_ranges, missing_follow_ups, pending_plans
from vfeat.tables.snapshot import (
    cannot_tell,
    extend_index,
    is_current,
    publish_snapshot,
    rebuild_index,
)
from vfeat.tables.status import dataset_status
from vfeat.tables.verify import verify_dataset

WRITES = ("create_bytes", "create_file", "replace_bytes", "replace_file", "delete")


class Crash(Exception):
    """The driver dies."""


@contextmanager
def dying(after: int) -> Iterator[None]:
    """Die after so many writes to storage."""
    left = after

    def dies(real: Any) -> Any:
        def call(self: Root, *args: Any) -> Any:
            nonlocal left
            done = real(self, *args)
            left -= 1
            if left < 0:
                raise Crash
            return done

        return call

    with mock.patch.multiple(Root, **{name: dies(getattr(Root, name)) for name in WRITES}):
        yield


class IndexMachine(RuleBasedStateMachine):
    """Drivers, crashes and hands that delete, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="vfeat-test-index-"))
        self.world = World.at(self.folder / "out")
        self.root = self.world.root
        self.notes = OutcomeNotes(self.root)
        self.sure = True  # of what is gone: no crash came between

    def teardown(self) -> None:
        try:
            publish_snapshot(self.root, listing(dict.fromkeys(self.world.videos, False)))
            self.world.gone = set()
            self.sure = True
            self.agrees()
            *_, report = verify_dataset(self.root)
            assert report.problems == []
        finally:
            shutil.rmtree(self.folder)

    @initialize(grids=st.lists(st.integers(1, 9), min_size=1, max_size=4))
    def begin(self, grids: list[int]) -> None:
        self.world.plan_new(grids, 2, 3)

    @rule(
        grids=st.lists(st.integers(1, 9), min_size=1, max_size=4),
        per_shard=st.integers(1, 3),
        unit_clips=st.sampled_from([None, 3]),
    )
    def plan(self, grids: list[int], per_shard: int, unit_clips: int | None) -> None:
        self.world.plan_new(grids, per_shard, unit_clips)

    @rule(seed=st.integers(0, 1 << 30), count=st.integers(1, 9), note=st.booleans())
    def work(self, seed: int, count: int, note: bool) -> None:
        luck = random.Random(seed)
        for shard in self.world.pending()[:count]:
            self.world.commit(shard, luck)
            if note:
                self.notes.add(shard, self.world.committed[shard])
        if note:
            self.notes.flush()

    @rule()
    def follow(self) -> None:
        for shard in self.world.orphans():
            self.world.follow_up(shard)

    @rule(seed=st.integers(0, 1 << 30))
    def work_on_everything(self, seed: int) -> None:
        luck = random.Random(seed)
        while shards := self.world.pending():
            for shard in shards:
                self.world.commit(shard, luck)
            self.follow()

    @rule(per_shard=st.integers(1, 3))
    def retry(self, per_shard: int) -> None:
        ranges = [
            (row["video_id"], row["first_clip"], row["last_clip"] if row["opened"] else None)
            for table in failed_ranges(self.root, ("all",))
            for row in table.to_pylist()
        ]
        if ranges:
            self.world.plan_again(ranges, per_shard)

    @rule(seed=st.integers(0, 1 << 30))
    def snapshot(self, seed: int) -> None:
        said = self.said(seed)
        publish_snapshot(self.root, listing(said))
        self.take(said)
        assert is_current(self.root, listing(said))
        assert is_current(self.root, cannot_tell)
        self.published()

    @rule(seed=st.integers(0, 1 << 30), after=st.integers(0, 6))
    def dying_snapshot(self, seed: int, after: int) -> None:
        said = self.said(seed)
        try:
            with dying(after):
                publish_snapshot(self.root, listing(said))
        except Crash:
            self.sure = False
        else:
            self.take(said)

    @rule(after=st.integers(0, 6))
    def dying_extension(self, after: int) -> None:
        try:
            with dying(after):
                extend_index(self.root)
        except Crash:
            pass

    @rule()
    def extend(self) -> None:
        extend_index(self.root)

    @rule()
    def rebuild(self) -> None:
        rebuild_index(self.root)

    @rule(seed=st.integers(0, 1 << 30), after=st.integers(0, 3))
    @precondition(lambda self: self.world.committed)
    def replace(self, seed: int, after: int) -> None:
        """A shard is done again, as predictions are; maybe the worker dies in between."""
        luck = random.Random(seed)
        ends = [
            s for s in self.world.committed if not any(o.split for o in self.world.committed[s])
        ]
        if not ends:
            return
        shard = luck.choice(ends)
        outcomes = [self.world.outcome(u, luck) for u in self.world.units(shard)]
        before = self.world.committed[shard]
        # A changed video is gone in `videos.parquet`, until a listing says otherwise.
        if any(o.split or o.changed for o in [*outcomes, *before]):
            return
        # Predictions are planned once: no other file may have rows of the same clips.
        mine = {outcome.video_id for outcome in before}
        if any(
            layout.group_of(plan) != layout.group_of(shard) and unit.video_id in mine
            for plan, shards in self.world.plans.items() for units in shards for unit in units
        ):  # fmt: skip
            return
        try:
            with dying(after):
                self.world.write(shard, outcomes, again=True)
        except Crash:
            self.world.committed[shard] = outcomes if after else before

    @rule(place=st.integers(0, 99))
    def delete_a_part_of_the_index(self, place: int) -> None:
        # Not a marker: it is what makes a replaced file known.
        names = [name for name in self.root.list(layout.INDEX) if not name.startswith("stale")]
        if names:
            self.root.delete(f"{layout.INDEX}/{names[place % len(names)]}")
            self.sure = False

    @rule()
    def delete_the_index(self) -> None:
        shutil.rmtree(self.folder / "out" / layout.INDEX, ignore_errors=True)
        self.sure = False

    @rule(place=st.integers(0, 99))
    @precondition(lambda self: self.world.committed)
    def delete_a_file(self, place: int) -> None:
        names = layout.in_order(self.world.committed)
        shard = names[place % len(names)]
        # What continues a lost file keeps its plan; its clips come again as they were planned.
        if not any(o.split or o.changed for o in self.world.committed[shard]):
            self.world.delete(shard)
            self.notes = OutcomeNotes(self.root)

    @invariant()
    def agrees(self) -> None:
        expected = self.world.expected()
        found = told(dataset_state(self.root).tables())
        if not self.sure:
            expected, found = without_gone(expected), without_gone(found)
        assert found.keys() == expected.keys()
        assert not (other := differences(found, expected)), other
        bare = told(state_from_footers(read_catalogue(self.root)).tables())
        other = differences(without_gone(bare), without_gone(expected))
        assert not other, other

    @invariant()
    def what_is_left_to_do_is_told(self) -> None:
        left = {s for p in pending_plans(self.root) for n in range(p.shards)
                if (s := layout.shard_name(p.plan, n)) not in p.committed}  # fmt: skip
        assert left == set(self.world.pending())
        assert list(missing_follow_ups(self.root)) == self.world.orphans()
        known = {one for ids in known_ids(self.root) for one in hex_ids(ids).to_pylist()}
        assert known == self.world.videos.keys()
        status = dataset_status(self.root.uri)
        assert (status.shards, status.shards_done) == (
            len(self.world.shards()), len(self.world.committed),
        )  # fmt: skip

    def said(self, seed: int) -> dict[str, bool | None]:
        luck = random.Random(seed)
        choices = [True, False] if not self.sure else [True, False, None]
        return {v: luck.choice(choices) for v in self.world.videos}

    def take(self, said: dict[str, bool | None]) -> None:
        for video_id, gone in said.items():
            if gone:
                self.world.gone.add(video_id)
            elif gone is False:
                self.world.gone.discard(video_id)
        self.sure = True

    def published(self) -> None:
        expected = self.world.expected()
        rows = pq.read_table(self.folder / "out" / layout.VIDEOS).to_pylist()
        assert len(rows) == len(expected)
        for row in rows:
            video = expected[row["video_id"]]
            out = video["gone"] or video["changed"]
            errors = 0 if out else len(video["errors"])
            assert row["clips"] == video["clips"] and row["error_clips"] == errors
            assert row["scene"] == video["extra.scene"]
            status = (
                "gone" if out else "pending" if video["unsettled"] else "complete" if not errors
                else "partial" if row["clips"] else "failed"
            )  # fmt: skip
            assert row["status"] == status
        errors = pq.read_table(self.folder / "out" / layout.ERRORS).to_pylist()
        assert {
            (row["video_id"], clip) for row in errors
            for clip in range(row["first_clip"], row["last_clip"] + 1)
        } == {
            (video_id, clip) for video_id, video in expected.items() for clip in video["errors"]
            if not video["gone"] and not video["changed"]
        }  # fmt: skip


IndexMachine.TestCase.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None, phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


class TestIndex(IndexMachine.TestCase):  # type: ignore[misc,valid-type]
    """The machine as a test."""


@pytest.fixture(autouse=True)
def merged_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MOST_SEGMENTS", 3)
