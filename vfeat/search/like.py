"""A stored clip as the query: the one that covers a second of a video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from vfeat.errors import JobError
from vfeat.search.cosine import Vectors
from vfeat.search.stored import as_array
from vfeat.tables.dataset import FeatureDataset
from vfeat.tables.dataset_state import dataset_state
from vfeat.tables.index_rows import pieces_of
from vfeat.tables.parquet import read_table
from vfeat.tables.video_state import Piece

_SHOWN = 5


@dataclass(frozen=True)
class StoredClip:
    """A clip of the dataset.

    Attributes:
        vector_D: as stored.
    """

    video_id: str
    uri: str
    clip_index: int
    start_s: float
    end_s: float
    vector_D: Vectors


def parse_like(text: str) -> tuple[str, float]:
    """Split `URI@SECONDS`.

    Raises:
        JobError: there is no number after the last @.
    """
    video, _, seconds = text.rpartition("@")
    try:
        at_s = float(seconds)
    except ValueError:
        at_s = float("nan")
    if not video or not np.isfinite(at_s) or at_s < 0:
        raise JobError(f"{text!r}: expected VIDEO@SECONDS, for example talk.mp4@12.5")
    return video, at_s


def clip_at(dataset: FeatureDataset, video: str, at_s: float) -> StoredClip:
    """Return the stored clip that covers a second of a video; of several, the best centred one.

    Args:
        video: its URI, its id, or the end of its URI after a slash.
        at_s: seconds after its first frame.

    Raises:
        JobError: no such video, several of that name, or no clip of it covers that second.
    """
    uri, video_id, pieces = find_video(dataset, video)
    best: StoredClip | None = None
    spans: list[float] = []
    for key, first, count in pieces:
        columns = ["clip_index", "start_s", "end_s", "embedding"]
        rows = read_table(dataset.root, key, columns).slice(first, count)
        start = rows.column("start_s").to_numpy()
        end = rows.column("end_s").to_numpy()
        spans += [float(start.min()), float(end.max())]
        covering = np.flatnonzero((start <= at_s) & (at_s < end))
        if not len(covering):
            continue
        n = int(covering[np.abs((start + end)[covering] / 2 - at_s).argmin()])
        index = rows.column("clip_index")[n].as_py()
        vector = as_array(rows.column("embedding").slice(n, 1))[0]
        found = StoredClip(video_id, uri, index, float(start[n]), float(end[n]), vector)
        if best is None or abs(_middle(found) - at_s) < abs(_middle(best) - at_s):
            best = found
    if best is None:
        span = f"from {min(spans):.2f} to {max(spans):.2f} s" if spans else "none"
        raise JobError(f"no stored clip of {uri} covers {at_s:g} s; stored: {span}")
    return best


def _middle(clip: StoredClip) -> float:
    return (clip.start_s + clip.end_s) / 2


def find_video(dataset: FeatureDataset, video: str) -> tuple[str, str, list[Piece]]:
    """Return URI, id and pieces of the one video of that name; one that is there, if possible.

    Raises:
        JobError: no such video, or several of that name.
    """
    found: list[dict[str, object]] = []
    columns = ["video_id", "uri", "pieces", "gone", "changed"]
    for table in dataset_state(dataset.root).tables(columns):
        uris = table.column("uri")
        match = pc.or_(pc.equal(uris, video), pc.ends_with(uris, "/" + video))
        if len(video) == 32 and set(video) <= set("0123456789abcdef"):
            match = pc.or_(match, pc.equal(table.column("video_id"), bytes.fromhex(video)))
        found += table.filter(match).to_pylist()
    exact = [row for row in found if row["uri"] == video] or found
    there = [row for row in exact if not row["gone"] and not row["changed"]] or exact
    if not there:
        raise JobError(f"{video!r} is no video of {dataset.root.uri}; see `vfeat show`")
    if len(there) > 1:
        names = ", ".join(str(row["uri"]) for row in there[:_SHOWN])
        raise JobError(
            f"{video!r} may be any of {len(there)} videos: {names}; give more of the URI"
        )
    row = there[0]
    video_id = row["video_id"]
    assert isinstance(video_id, bytes)
    return str(row["uri"]), video_id.hex(), pieces_of(row)
