"""The clips of one or two datasets as columns; their vectors lie in a temporary file.

Legend: N clips, V videos, D width of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vfeat.errors import JobError
from vfeat.search.stored import gone_videos
from vfeat.storage.temporary import TemporaryFolder
from vfeat.tables.dataset import FeatureDataset, Sequence
from vfeat.tables.dataset_state import dataset_state
from vfeat.tables.index_rows import pieces_of

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Progress = Callable[[str, int, int], None]
"""Called with a phase of the work, and how many of how many steps of it are done."""


@dataclass(frozen=True)
class Clips:
    """Clips by video and time; videos are in the order of their URIs, whatever file they are in.

    Attributes:
        vectors_ND: as stored, or prepared; float32, often in a file of this machine.
        video_N: place of the clip's video in `uris`, rising.
        start_N, end_N: the clip's window, seconds.
        first_V: the first clip of each video, and N at the end: V + 1 numbers.
        asked_V: number of leading videos that are compared with others: V of one dataset; of
            two, those of the first, which are compared with the remaining ones only.
    """

    vectors_ND: F32
    video_N: I32
    start_N: F64
    end_N: F64
    first_V: I64
    uris: tuple[str, ...]
    ids: tuple[str, ...]
    asked_V: int

    @property
    def across(self) -> bool:
        """Whether two datasets are compared."""
        return self.asked_V < len(self.uris)

    def rows(self, video: int) -> slice:
        """Return the rows of a video."""
        return slice(int(self.first_V[video]), int(self.first_V[video + 1]))

    def length_s(self, video: int) -> float:
        """Return the time from a video's first clip to the end of its last one, seconds."""
        rows = self.rows(video)
        return float(self.end_N[rows].max() - self.start_N[rows].min())

    def grid(self) -> tuple[float, float]:
        """Return the usual length of a clip and the usual step between two, seconds."""
        clip_s = float(np.median(self.end_N - self.start_N))
        steps = np.diff(self.start_N)[np.diff(self.video_N) == 0]
        return clip_s, float(np.median(steps)) if len(steps) else clip_s


@dataclass(frozen=True)
class _Video:
    uri: str
    video_id: str
    clips: int


@contextmanager
def read_clips(
    dataset: FeatureDataset, other: FeatureDataset | None, progress: Progress
) -> Iterator[Clips]:
    """Yield the clips of a dataset, or of two; their file goes at the end of the block.

    Videos whose file was removed or replaced are left out, and of two datasets the videos of the
    second that the first holds as well.

    Raises:
        JobError: no rows, or the two datasets were made by different recipes.
    """
    parts = [(dataset, _videos(dataset))]
    if other is not None:
        if other.recipe.fingerprint != dataset.recipe.fingerprint:
            raise JobError(
                f"{dataset.root.uri} and {other.root.uri} were made with different recipes, so "
                "that their vectors cannot be compared; extract both with the same model and flags"
            )
        held = {video.video_id for video in parts[0][1]}
        parts.append((other, [v for v in _videos(other) if v.video_id not in held]))
    for one, videos in parts:
        if not videos:
            raise JobError(f"{one.root.uri} holds no rows to compare; see `vfeat status`")
    with TemporaryFolder("duplicates") as folder:
        yield _filled(parts, f"{folder}/vectors", progress)


def _videos(dataset: FeatureDataset) -> list[_Video]:
    """Return the videos that have rows and are still in the corpus, by their URIs."""
    gone = set(gone_videos(dataset).to_pylist())
    found = []
    for table in dataset_state(dataset.root).tables(["video_id", "uri", "pieces"]):
        for row in table.to_pylist():
            clips = sum(count for _, _, count in pieces_of(row))
            if clips and row["video_id"].hex() not in gone:
                found.append(_Video(row["uri"], row["video_id"].hex(), clips))
    return sorted(found, key=lambda video: (video.uri, video.video_id))


def _filled(
    parts: list[tuple[FeatureDataset, list[_Video]]], path: str, progress: Progress
) -> Clips:
    videos = [video for _, part in parts for video in part]
    first_V = np.cumsum([0, *(video.clips for video in videos)])
    total = int(first_V[-1])
    times = np.empty((2, total))
    vectors: F32 | None = None
    done = 0
    place = 0
    for dataset, part in parts:
        places = {video.video_id: place + n for n, video in enumerate(part)}
        place += len(part)
        for sequence in dataset.sequences():
            if (video_place := places.get(sequence.video_id)) is None:
                continue
            if vectors is None:
                width = sequence.embeddings.shape[1]
                vectors = np.memmap(path, np.float32, "w+", shape=(total, width))
            rows = slice(int(first_V[video_place]), int(first_V[video_place + 1]))
            _check_width(vectors, sequence, dataset)
            vectors[rows] = sequence.embeddings
            times[:, rows] = sequence.start_s, sequence.end_s
            done += len(sequence.embeddings)
            progress("Reading", done, total)
    assert vectors is not None
    video_N = np.repeat(np.arange(len(videos), dtype=np.int32), np.diff(first_V))
    return Clips(
        vectors, video_N, times[0], times[1], first_V, tuple(v.uri for v in videos),
        tuple(v.video_id for v in videos), len(parts[0][1]),
    )  # fmt: skip


def _check_width(vectors: F32, sequence: Sequence, dataset: FeatureDataset) -> None:
    if sequence.embeddings.shape[1] != vectors.shape[1]:
        raise JobError(
            f"{dataset.root.uri}: {sequence.uri} has vectors of width "
            f"{sequence.embeddings.shape[1]}, others have {vectors.shape[1]}; see `vfeat verify`"
        )
