"""The stored clip that is on display at a second of a video, with its best label."""

from __future__ import annotations

from dataclasses import dataclass

from vfeat.browse.failures import NotThere
from vfeat.browse.videos import Video
from vfeat.storage.root import Root
from vfeat.tables.parquet import read_table, reading


@dataclass(frozen=True)
class LabelledClip:
    """One stored clip.

    Attributes:
        label, score: the best label; None without labels.
    """

    start_s: float
    end_s: float
    label: str | None
    score: float | None


def labelled_clip(root: Root, video: Video, at_s: float) -> LabelledClip:
    """Return the clip that covers a second; of several, the best centred one.

    Raises:
        NotThere: no stored clip covers it.
        StorageError: a file of the dataset cannot be read.
    """
    found: list[LabelledClip] = []
    for key, first, count in video.pieces:
        with reading(root, key):
            rows = read_table(root, key, ["start_s", "end_s", "labels"]).slice(first, count)
        for start_s, end_s, labels in zip(
            *(rows.column(name).to_pylist() for name in ("start_s", "end_s", "labels")), strict=True
        ):
            if start_s <= at_s < end_s:
                best = labels[0] if labels else {"label": None, "score": None}
                found.append(LabelledClip(start_s, end_s, best["label"], best["score"]))
    if not found:
        raise NotThere(f"no stored clip of {video.name} covers {at_s:g} s")
    return min(found, key=lambda clip: abs((clip.start_s + clip.end_s) / 2 - at_s))
