"""A dataset made up step by step, and a plain model of what every reader must say of it."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.train.head.generated import recipe_of
from vfeat.corpus import Video
from vfeat.outcome import Outcome, RangeError, Split
from vfeat.plan.follow_up import follow_up
from vfeat.plan.unit import Unit
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.features import ClipRow, features_table, write_features
from vfeat.tables.kind import FEATURES
from vfeat.tables.plans import plan_table, publish_plan, write_plan
from vfeat.tables.publish import publish_file
from vfeat.tables.schema import RowShape
from vfeat.video_facts import Probe, Timeline

RECIPE = recipe_of(1)
SHAPE = RowShape(1, 4, 4)
CLASSES = ("unreadable", "undecodable", "crashed", "timeout")


def probe_of(clips: int) -> Probe:
    """Of a video of so many clips, a second each."""
    timeline = Timeline(1, 1000, 0, clips * 1000, clips)
    return Probe("mp4", "h264", 32, 32, 0, timeline, clips, 0, 1.0, True)


@dataclass
class World:
    """The dataset at `root`, and everything that was ever written into it.

    Attributes:
        grids: true clips of each video.
        plans: units of each plan, shard by shard.
        committed: outcomes of each shard, as its file has them.
        lost: those of files that were deleted.
    """

    root: Root
    grids: dict[str, int] = field(default_factory=dict)
    videos: dict[str, Video] = field(default_factory=dict)
    plans: dict[str, list[list[Unit]]] = field(default_factory=dict)
    committed: dict[str, list[Outcome]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    lost: dict[str, list[Outcome]] = field(default_factory=dict)

    @classmethod
    def at(cls, folder: Path | str) -> World:
        root = Root(str(folder))
        about = {
            "format": "vfeat-features", "fingerprint": RECIPE.fingerprint, "untrained": True,
            "recipe": RECIPE.to_json(),
        }  # fmt: skip
        assert root.create_bytes(layout.DATASET, json.dumps(about).encode())
        return cls(root)

    def plan_new(self, grids: list[int], per_shard: int, unit_clips: int | None = None) -> str:
        """Plan new videos with so many clips each, as a whole."""
        units = []
        extras: dict[str, dict[str, Any]] = {}
        for clips in grids:
            number = len(self.grids)
            video = Video(f"/videos/{number:04d}.mp4", 100 + number, f"etag{number}")
            self.grids[video.video_id], self.videos[video.video_id] = clips, video
            extras[video.video_id] = {"scene": number}
            units.append(
                Unit(
                    video.video_id, video.uri, video.size_bytes, video.etag, 0, None, 1.0, None,
                    "/videos", unit_clips, 5,
                )
            )  # fmt: skip
        return self._publish(units, per_shard, extras)

    def plan_again(self, ranges: list[tuple[str, int, int | None]], per_shard: int) -> str:
        """Plan ranges of videos again."""
        units = [
            Unit(
                v, self.videos[v].uri, self.videos[v].size_bytes, self.videos[v].etag, first, last,
                1.0, None, "/videos", 3,
            )
            for v, first, last in ranges
        ]  # fmt: skip
        return self._publish(units, per_shard, {})

    def _publish(self, units: list[Unit], size: int, extras: dict[str, dict[str, Any]]) -> str:
        shards = [units[place : place + size] for place in range(0, len(units), size)]
        number = 1 + sum(not layout.is_follow_up(plan) for plan in self.plans)
        plan = publish_plan(self.root, number, plan_table(shards, extras))
        assert plan is not None
        self.plans[plan] = shards
        return plan

    def units(self, shard: str) -> list[Unit]:
        return self.plans[layout.plan_of(shard)][int(shard.rpartition("-")[2])]

    def pending(self) -> list[str]:
        return [s for s in self.shards() if s not in self.committed]

    def shards(self) -> list[str]:
        names = [
            layout.shard_name(plan, n) for plan, shards in self.plans.items()
            for n in range(len(shards))
        ]  # fmt: skip
        return layout.in_order(names)

    def orphans(self) -> list[str]:
        """Committed shards with a split and without a follow-up plan."""
        return [
            shard for shard in layout.in_order(self.committed)
            if any(o.split for o in self.committed[shard])
            and layout.follow_up_name(shard) not in self.plans
        ]  # fmt: skip

    def commit(self, shard: str, luck: random.Random) -> None:
        """Write the file of a shard; the same as before, where it was deleted."""
        outcomes = [self.outcome(unit, luck) for unit in self.units(shard)]
        self.write(shard, self.lost.pop(shard, outcomes))

    def write(self, shard: str, outcomes: list[Outcome], *, again: bool = False) -> None:
        rows = [
            ClipRow(
                o.video_id, o.uri, clip, float(clip), clip + 1.0, np.full(1, clip, np.float32)
            )
            for o in outcomes for first, last in o.row_ranges() for clip in range(first, last + 1)
        ]  # fmt: skip
        table = features_table(rows, SHAPE, RECIPE, shard)
        assert publish_file(
            self.root, FEATURES.key(shard),
            lambda path: write_features(path, table, outcomes, RECIPE, SHAPE), again=again,
        )  # fmt: skip
        self.committed[shard] = outcomes

    def follow_up(self, shard: str) -> None:
        shards = follow_up(self.units(shard), self.committed[shard])
        name = layout.follow_up_name(shard)
        assert write_plan(self.root, name, plan_table(shards, {}))
        self.plans[name] = shards

    def outcome(self, unit: Unit, luck: random.Random) -> Outcome:
        """What a worker might find."""
        grid = self.grids[unit.video_id]
        about = (unit.video_id, unit.uri, unit.first_clip)
        if luck.random() < 0.1:
            return Outcome(*about, unit.last_clip or 0, 0, changed=True)
        if unit.last_clip is None and luck.random() < 0.25:
            error = RangeError(0, 0, "unreadable", "no header", 3)
            return Outcome(*about, 0, 0, errors=(error,))
        last, split = unit.last_clip, None
        if last is None:
            last = grid - 1
            if unit.unit_clips is not None and grid > unit.unit_clips:
                last = unit.unit_clips - 1
                split = Split(grid - 1, unit.unit_clips, 2)
        empty, errors = [], []
        for clip in range(unit.first_clip, last + 1):
            dice = luck.random()
            if dice < 0.1:
                empty.append((clip, clip))
            elif dice < 0.4:
                errors.append(RangeError(clip, clip, luck.choice(CLASSES), "why", 2))  # type: ignore[arg-type]
        rows = last - unit.first_clip + 1 - len(empty) - len(errors)
        probe = probe_of(grid) if unit.probe is None else None
        return Outcome(*about, last, rows, tuple(empty), tuple(errors), probe=probe, split=split)

    def delete(self, shard: str) -> None:
        self.root.delete(FEATURES.key(shard))
        self.lost[shard] = self.committed.pop(shard)

    def expected(self) -> dict[str, dict[str, Any]]:
        """What readers must say of each video."""
        by_video: dict[str, list[tuple[int, str, Outcome]]] = defaultdict(list)
        for shard in self.shards():
            for outcome in self.committed.get(shard, ()):
                by_video[outcome.video_id].append((layout.group_of(shard), shard, outcome))
        found = {}
        for video_id, video in self.videos.items():
            found[video_id] = self._expected(video_id, by_video[video_id])
            found[video_id] |= {
                "uri": video.uri, "etag": video.etag, "size_bytes": video.size_bytes,
                "extra.scene": int(video.uri[8:12]), "source": "/videos",
            }  # fmt: skip
        return found

    def _expected(self, video_id: str, told: list[tuple[int, str, Outcome]]) -> dict[str, Any]:
        clips: dict[int, Any] = {}
        mended, grid = False, None
        changed = any(outcome.changed for _, _, outcome in told)
        pieces: dict[str, int] = defaultdict(int)
        for _, shard, outcome in told:
            pieces[shard] += outcome.rows
            if outcome.changed:
                continue
            if outcome.probe is not None and grid is None:
                grid = outcome.probe.n_clips
            errors = {
                clip: (e.error_class, e.message, e.attempts)
                for e in outcome.errors for clip in range(e.first_clip, e.last_clip + 1)
            }  # fmt: skip
            empty = {clip for a, b in outcome.empty for clip in range(a, b + 1)}
            for clip in range(outcome.first_clip, outcome.last_clip + 1):
                said = errors.get(clip, "empty" if clip in empty else "row")
                mended = mended or (said == "row" and isinstance(clips.get(clip), tuple))
                clips[clip] = said
        units = [
            unit for plan in layout.in_order(self.plans) for shard in self.plans[plan]
            for unit in shard if unit.video_id == video_id
        ]  # fmt: skip
        if grid is None:  # a follow-up plan tells, if the file that it came from is lost
            grid = next((u.probe.n_clips for u in units if u.probe is not None), None)
        end = max(clips, default=-1) + 1
        promised = max((u.last_clip + 1 for u in units if u.last_clip is not None), default=0)
        planned = max(grid, end) if grid is not None else max(promised, end) or 5
        return {
            "clips": sum(said == "row" for said in clips.values()),
            "empty_clips": sum(said == "empty" for said in clips.values()),
            "errors": {clip: said for clip, said in clips.items() if isinstance(said, tuple)},
            "unsettled": set(range(planned)) - clips.keys(),
            "planned_clips": planned,
            "opened": grid is not None,
            "duration_s": None if grid is None else float(grid),
            "changed": changed,
            "gone": video_id in self.gone or changed,
            "mended": mended,
            "pieces": {FEATURES.key(shard): rows for shard, rows in pieces.items() if rows},
        }


def told(tables: Any) -> dict[str, dict[str, Any]]:
    """Rows of a state in the words of the model; every video must come once."""
    found: dict[str, dict[str, Any]] = {}
    for table in tables:
        for row in table.to_pylist():
            video_id = row["video_id"].hex()
            assert video_id not in found, "a video came twice"
            errors = {
                clip: (e["error_class"], e["message"], e["attempts"])
                for e in row["errors"] for clip in range(e["first_clip"], e["last_clip"] + 1)
            }  # fmt: skip
            assert row["error_clips"] == len(errors)
            found[video_id] = {
                **{name: row[name] for name in (
                    "uri", "etag", "size_bytes", "source", "clips", "empty_clips", "planned_clips",
                    "opened", "duration_s", "changed", "mended",
                )},
                "extra.scene": row["extra.scene"],
                "gone": row["gone"] or row["changed"],
                "errors": errors,
                "unsettled": {
                    clip for pair in row["unsettled"]
                    for clip in range(pair["first"], pair["last"] + 1)
                },
                "pieces": {piece["file"]: piece["rows"] for piece in row["pieces"]},
            }  # fmt: skip
    return found


def listing(gone: Mapping[str, bool | None]) -> Any:
    """A corpus that says this of videos, and nothing of others."""

    def is_gone(videos: pa.Table) -> pa.BooleanArray:
        assert videos.column_names == ["video_id", "uri", "source"]
        return pa.array([gone.get(v) for v in videos["video_id"].to_pylist()], pa.bool_())

    return is_gone


def without_gone(states: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {video_id: {**state, "gone": None} for video_id, state in states.items()}


def differences(
    found: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]]
) -> list[tuple[str, str, Any, Any]]:
    """Video, column, what is there and what should be."""
    return [
        (video_id, name, found[video_id].get(name), value)
        for video_id, state in expected.items()
        for name, value in state.items()
        if found[video_id].get(name) != value
    ]
