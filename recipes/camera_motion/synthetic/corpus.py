"""Folders of generated clips with their clip list and flow table."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recipes.camera_motion.synthetic.encode import write_video
from recipes.camera_motion.synthetic.labels import LABELS, Motion
from recipes.camera_motion.synthetic.processes import rendered
from recipes.camera_motion.synthetic.script import make_clip
from recipes.camera_motion.synthetic.truth import MOMENTS_PER_S
from recipes.camera_motion.synthetic.wear import worn
from recipes.camera_motion.synthetic.whole import whole
from vfeat.errors import JobError

LIST_FILE = "clips.csv"
FLOW_FILE = "flow.parquet"
SETTINGS_FILE = "settings.json"
FORMAT = 6
"""Changes when the same seed makes other pictures."""
VALIDATION_SHARE, TEST_SHARE = 0.04, 0.04
_PER_FOLDER = 1000


def write_corpus(
    folder: str | os.PathLike[str],
    *,
    clips: int,
    seed: int,
    turns: Mapping[str, int] | None = None,
    seams_s: float | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Render the clips that are not there yet; return the path of the list.

    The list is CSV: `uri` (relative to its folder), `label`, `split`. Labels take turns. Beside it
    lies `flow.parquet`: `uri`, `rate` and `maps`, the affine map of the scene at each moment
    (`truth.py`).

    Args:
        folder: local; made if need be. One that was begun is finished.
        turns: clips of a label in one round of labels; 1 where it is not named.
        seams_s: as for `make_clip`.
        progress: called with (done, total).

    Raises:
        JobError: the folder holds clips of another seed or number, or there is no such label.
        EnvironmentMissing: scikit-image is not installed.
    """
    root, plan = Path(folder), Plan(clips, seed, round_of(turns or {}), seams_s)
    root.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {"format": FORMAT, "clips": clips, "seed": seed}
    chosen = {"turns": dict(turns or {}), "seams_s": seams_s}
    _claim(root, settings | {name: value for name, value in chosen.items() if value})
    missing = [index for index in range(clips) if not (root / plan.name(index)).exists()]
    done = clips - len(missing)
    for sub in {(root / plan.name(index)).parent for index in missing}:
        sub.mkdir(exist_ok=True)
    for _ in rendered(_render_one, [(str(root), plan, index) for index in missing], workers):
        done += 1
        if progress is not None:
            progress(done, clips)
    if missing or not (root / FLOW_FILE).exists():
        _gather_flow(root, plan)  # reads a file for each clip: not once more at every start
    rows = [(plan.name(index), plan.label(index), plan.split(index)) for index in range(clips)]
    return write_list(root / LIST_FILE, rows)


@dataclass(frozen=True)
class Plan:
    """Label, name and split of each clip of a corpus.

    Attributes:
        round: labels in turn.
        seams_s: as for `make_clip`.
    """

    clips: int
    seed: int
    round: tuple[Motion, ...]
    seams_s: float | None

    def label(self, index: int) -> Motion:
        return self.round[index % len(self.round)]

    def name(self, index: int) -> str:
        """Return the path of a clip below the corpus."""
        return f"{index // _PER_FOLDER:03d}/{index:06d}_{self.label(index)}.mp4"

    def split(self, index: int) -> str:
        """Return train, val or test: whole rounds of labels, spread evenly over the corpus."""
        share = (index // len(self.round)) * 0.6180339887 % 1  # golden ratio: no runs
        if share < VALIDATION_SHARE:
            return "val"
        return "test" if share < VALIDATION_SHARE + TEST_SHARE else "train"


def round_of(turns: Mapping[str, int]) -> tuple[Motion, ...]:
    """Return every label once, then again those that have several turns.

    Raises:
        JobError: no such label, or less than one turn.
    """
    wrong = sorted(label for label, count in turns.items() if label not in LABELS or count < 1)
    if wrong:
        known = ", ".join(LABELS)
        raise JobError(f"turns: {', '.join(wrong)}: expected at least 1, for {known}")
    again = max(turns.values(), default=1)
    return tuple(label for turn in range(again) for label in LABELS if turns.get(label, 1) > turn)


def _claim(root: Path, settings: dict[str, Any]) -> None:
    path = root / SETTINGS_FILE
    if not path.exists():
        path.write_text(json.dumps(settings) + "\n")
    found = json.loads(path.read_text())
    if found != settings:
        raise JobError(
            f"{root} holds generated clips made with {found}, not {settings}. Name another "
            "folder, or delete this one."
        )


def _render_one(job: tuple[str, Plan, int]) -> None:
    root, plan, index = job
    path, seed = f"{root}/{plan.name(index)}", (plan.seed, index)
    clip = make_clip(plan.label(index), seed, seams_s=plan.seams_s)
    np.save(_maps_path(path), clip.maps)  # before the video: where that is, all is there
    rng = np.random.default_rng((*seed, len(LABELS)))
    write_video(rng, path, worn(rng, clip.frames), clip.rate_fps)


def _maps_path(video: str | os.PathLike[str]) -> str:
    return str(Path(video).with_suffix(".npy"))


def _gather_flow(root: Path, plan: Plan) -> None:
    """Write the maps of all clips to one table."""
    names = [plan.name(index) for index in range(plan.clips)]
    maps = [np.load(_maps_path(root / name)).ravel() for name in names]
    table = {
        "uri": pa.array(names),
        "rate": pa.array([MOMENTS_PER_S] * plan.clips, pa.float32()),
        "maps": pa.array(maps, pa.list_(pa.float32())),
    }
    write_flow(root / FLOW_FILE, pa.table(table))


def write_list(path: Path, rows: Iterable[tuple[str, str, str]]) -> str:
    """Write a clip list, URI, label and split of each clip; return its path."""
    with whole(path) as part, part.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["uri", "label", "split"])
        table.writerows(rows)
    return str(path)


def write_flow(path: Path, table: pa.Table) -> None:
    """Write a flow table: `uri`, `rate`, `maps`."""
    with whole(path) as part:
        pq.write_table(table, part, compression="zstd")
