"""A list of videos with their captions, and the stored clips of those videos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vfeat.corpus.lists import VideoList
from vfeat.errors import JobError
from vfeat.search.stored import as_array, gone_videos
from vfeat.tables.dataset import FeatureDataset

CAPTION = "caption"
_SHOWN = 3
_COLUMNS = ["video_id", "uri", "clip_index", "embedding"]


@dataclass(frozen=True)
class CaptionedClips:
    """Captions, and the clips of the videos that they are of.

    Attributes:
        captions: in the order of the list.
        video_T: number of each caption's video.
        uris: URI of each video, by number.
        clip_N: clip index of each stored clip.
        video_N: number of the video that each clip is of.
        vectors_ND: as stored, in float32.
    """

    captions: tuple[str, ...]
    video_T: npt.NDArray[np.int64]
    uris: tuple[str, ...]
    clip_N: npt.NDArray[np.int64]
    video_N: npt.NDArray[np.int64]
    vectors_ND: npt.NDArray[np.float32]


def captioned_clips(dataset: FeatureDataset, source: str) -> CaptionedClips:
    """Read a list with the columns `uri` and `caption`, and the clips of its videos.

    A video may have several captions. It is found by its URI, or by a part of it: the end, after a
    slash.

    Raises:
        JobError: no such list, or videos that the dataset has no clip of.
        StorageError: it cannot be read.
    """
    rows = read_captions(source)
    clips: dict[str, list[tuple[int, npt.NDArray[np.float32]]]] = defaultdict(list)
    gone = set(gone_videos(dataset).to_pylist())
    for table in dataset.tables(_COLUMNS):
        vectors = as_array(table.column("embedding")).astype(np.float32)
        small = table.select(["video_id", "uri", "clip_index"]).to_pylist()
        for row, vector_D in zip(small, vectors, strict=True):
            if row["video_id"] not in gone:
                clips[row["uri"]].append((row["clip_index"], vector_D))
    found = _Names(clips)
    uris = [found.uri(name) for name, _ in rows]
    missing = [name for (name, _), uri in zip(rows, uris, strict=True) if uri is None]
    if missing:
        raise JobError(
            f"{source}: {dataset.root.uri} holds no clip of {len(missing)} of {len(rows)} videos: "
            f"{', '.join(missing[:_SHOWN])}{', ...' if len(missing) > _SHOWN else ''}; extract "
            "them first"
        )
    numbers = {uri: number for number, uri in enumerate(dict.fromkeys(filter(None, uris)))}
    listed = [(n, index, vector) for uri, n in numbers.items() for index, vector in clips[uri]]
    return CaptionedClips(
        tuple(caption for _, caption in rows),
        np.array([numbers[uri] for uri in uris if uri is not None], np.int64),
        tuple(numbers),
        np.array([index for _, index, _ in listed], np.int64),
        np.array([number for number, _, _ in listed], np.int64),
        np.stack([vector for _, _, vector in listed]),
    )


def read_captions(source: str) -> list[tuple[str, str]]:
    """Read the columns `uri` and `caption` of a list, as `vfeat extract` reads lists.

    Raises:
        JobError: no such list or column, or a row without a caption.
        StorageError: it cannot be read.
    """
    listed = VideoList(source, {})
    if CAPTION not in listed.extras.names:
        columns = ", ".join(("uri", *listed.extras.names))
        raise JobError(f"{source} has no column {CAPTION!r}; it has: {columns}")
    found: list[tuple[str, str]] = []
    for rows in listed.rows():
        uris, captions = rows.uris.to_pylist(), rows.extras[CAPTION].to_pylist()
        for uri, caption in zip(uris, captions, strict=True):
            name = (uri or b"").decode(errors="replace").strip()
            words = "" if caption is None else str(caption).strip()
            if not name or not words:
                missing = CAPTION if name else "uri"
                raise JobError(f"{source}: row {len(found) + 1} has no {missing}")
            found.append((name, words))
    return found


class _Names:
    """Videos by their URI and by the parts of it after a slash."""

    def __init__(self, uris: Iterable[str]) -> None:
        self._whole = set(uris)
        self._by_file: dict[str, list[str]] = defaultdict(list)
        for uri in self._whole:
            self._by_file[uri.rpartition("/")[2]].append(uri)

    def uri(self, name: str) -> str | None:
        """Return the one URI that a name stands for; None for none, or for several."""
        if name in self._whole:
            return name
        end = name.removeprefix("./")
        same_file = self._by_file[end.rpartition("/")[2]]
        found = [uri for uri in same_file if uri == end or uri.endswith(f"/{end}")]
        return found[0] if len(found) == 1 else None
