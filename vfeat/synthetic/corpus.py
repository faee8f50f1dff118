"""A folder of generated clips and the list that says what they show."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vfeat.errors import JobError
from vfeat.job.train_encoder import FLOW_FILE
from vfeat.synthetic.encode import write_video
from vfeat.synthetic.labels import LABELS
from vfeat.synthetic.script import make_clip
from vfeat.synthetic.truth import MOMENTS_PER_S
from vfeat.synthetic.wear import worn

LIST_FILE = "clips.csv"
SETTINGS_FILE = "settings.json"
FORMAT = 3
"""Changes when the same seed makes other pictures."""
VALIDATION_SHARE, TEST_SHARE = 0.04, 0.04
_PER_FOLDER = 1000


def write_corpus(
    folder: str | os.PathLike[str],
    *,
    clips: int,
    seed: int,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Render the clips that are not there yet; return the path of the list.

    The list is CSV: `uri` (relative to its folder), `label`, `split`. Labels take turns,
    so each has the same number of clips. Beside it lies `flow.parquet`: `uri`, `rate` and
    `maps`, where the scene is at each moment (`truth.py`).

    Args:
        folder: local; made if need be. One that was begun is finished.
        progress: told (done, total).

    Raises:
        JobError: the folder holds clips of another seed or number.
        EnvironmentMissing: scikit-image is not installed.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    _claim(root, {"format": FORMAT, "clips": clips, "seed": seed})
    missing = [index for index in range(clips) if not (root / clip_name(index)).exists()]
    done = clips - len(missing)
    for sub in {(root / clip_name(index)).parent for index in missing}:
        sub.mkdir(exist_ok=True)
    for _ in _rendered(root, seed, missing, workers):
        done += 1
        if progress is not None:
            progress(done, clips)
    if missing or not (root / FLOW_FILE).exists():
        _write_flow(root, clips)  # reads a file for each clip: not once more at every start
    return str(_write_list(root, clips))


def clip_name(index: int) -> str:
    """Path of a clip below its corpus."""
    return f"{index // _PER_FOLDER:03d}/{index:06d}_{LABELS[index % len(LABELS)]}.mp4"


def split_of(index: int) -> str:
    """train, val or test: whole rounds of labels, spread evenly over the corpus."""
    share = (index // len(LABELS)) * 0.6180339887 % 1  # golden ratio: no runs
    if share < VALIDATION_SHARE:
        return "val"
    return "test" if share < VALIDATION_SHARE + TEST_SHARE else "train"


def _claim(root: Path, settings: dict[str, int]) -> None:
    path = root / SETTINGS_FILE
    if not path.exists():
        path.write_text(json.dumps(settings) + "\n")
    found = json.loads(path.read_text())
    if found != settings:
        raise JobError(
            f"{root} holds generated clips made with {found}, not {settings}. Name another "
            "folder, or delete this one."
        )


def _rendered(root: Path, seed: int, indices: list[int], workers: int) -> Iterator[None]:
    """Render in processes of their own: a picture library's threads do not survive a fork."""
    jobs = [(str(root / clip_name(index)), seed, index) for index in indices]
    if workers <= 1 or len(jobs) < 2 * workers:
        yield from map(_render_one, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(workers, _one_thread) as pool:
        yield from pool.imap_unordered(_render_one, jobs, chunksize=8)


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


def _render_one(job: tuple[str, int, int]) -> None:
    path, seed, index = job
    clip = make_clip(LABELS[index % len(LABELS)], (seed, index))
    np.save(_maps_path(path), clip.maps)  # before the video: where that is, all is there
    rng = np.random.default_rng((seed, index, len(LABELS)))
    write_video(rng, path, worn(rng, clip.frames), clip.rate_fps)


def _maps_path(video: str | os.PathLike[str]) -> str:
    return str(Path(video).with_suffix(".npy"))


def _write_flow(root: Path, clips: int) -> None:
    """The truth about all clips in one table."""
    names = [clip_name(index) for index in range(clips)]
    maps = [np.load(_maps_path(root / name)).ravel() for name in names]
    table = {
        "uri": pa.array(names),
        "rate": pa.array([MOMENTS_PER_S] * clips, pa.float32()),
        "maps": pa.array(maps, pa.list_(pa.float32())),
    }
    part = root / f".{FLOW_FILE}.{os.getpid()}"
    pq.write_table(pa.table(table), part, compression="zstd")
    os.replace(part, root / FLOW_FILE)


def _write_list(root: Path, clips: int) -> Path:
    path = root / LIST_FILE
    part = root / f".{LIST_FILE}.{os.getpid()}"
    with part.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["uri", "label", "split"])
        for index in range(clips):
            rows.writerow([clip_name(index), LABELS[index % len(LABELS)], split_of(index)])
    os.replace(part, path)
    return path
