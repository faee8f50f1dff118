"""Vectors of clips whose network is not trained: made once, then read in every epoch.

Shape legend: N clips, D width of a vector, B clips of a batch.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from vfeat.errors import Interrupted
from vfeat.storage.root import Root
from vfeat.train.encoder.data.augment import channels_first, normalised
from vfeat.train.encoder.data.epoch_order import Group, Pick
from vfeat.train.encoder.data.feed import ClipFeed, RawBatch
from vfeat.train.encoder.data.footage import Footage
from vfeat.train.encoder.data.prefetch import Prefetch
from vfeat.train.encoder.watch import EncoderWatch

AT_ONCE = 32  # clips of a batch
Embed = Callable[[Tensor], Tensor]
"""Turns pixels, float32 BCTSS, into vectors, BD."""
ClipKey = tuple[str, int]
"""Video as it is read, and clip of its grid."""


class FrozenClips:
    """Vectors of clips, in place of a feed of pixels."""

    def __init__(self, vectors: Mapping[ClipKey, Tensor]) -> None:
        self._vectors = vectors

    def batches(self, groups: Sequence[Group]) -> Iterator[RawBatch]:
        """Yield one batch for each group; its frames are vectors, [B, 1, D]."""
        for group in groups:
            found = [pick for pick in group if _key(pick) in self._vectors]
            vectors = [self._vectors[_key(pick)] for pick in found]
            stacked_B1D = torch.stack(vectors)[:, None] if vectors else torch.empty(0, 1, 0)
            yield RawBatch(stacked_B1D, tuple(found))


def embed_clips(
    feed: ClipFeed, footage: Mapping[int, Footage], embed: Embed, device: torch.device,
    watch: EncoderWatch,
) -> dict[ClipKey, Tensor]:  # fmt: skip
    """Embed every clip of the footage once.

    Args:
        feed: decodes the clips.
        footage: by row of the list.
        embed: the network.
        device: device of the network.
        watch: gets the progress, and may ask to stop.

    Returns:
        float32 vectors on the CPU; clips that cannot be decoded are left out.

    Raises:
        Interrupted: the watch asked to stop; nothing is kept.
    """
    groups = _groups(footage)
    total, done = sum(map(len, groups)), 0
    vectors: dict[ClipKey, Tensor] = {}
    with Prefetch(feed.batches(groups)) as batches, torch.inference_mode():
        for group, raw in zip(groups, batches, strict=True):
            if raw.picks:
                frames = raw.frames_BVTSSC[:, 0].to(device, non_blocking=True)
                found_BD = embed(normalised(channels_first(frames))).float().cpu()
                vectors |= {
                    _key(pick): vector.clone()
                    for pick, vector in zip(raw.picks, found_BD, strict=True)
                }
            done += len(group)
            if watch.stopping():
                raise Interrupted(f"stopped after the vectors of {done} of {total} clips")
            watch.advanced("embed", 0, done, total, 0.0)
    return vectors


def _groups(footage: Mapping[int, Footage]) -> list[Group]:
    """Group the clips of all rows, each clip once."""
    picks: dict[ClipKey, Pick] = {}
    for row in sorted(footage):
        found = footage[row]
        for clip in range(found.first_clip, found.last_clip + 1):
            pick = Pick(found, clip)
            picks.setdefault(_key(pick), pick)
    every = list(picks.values())
    return [tuple(every[at : at + AT_ONCE]) for at in range(0, len(every), AT_ONCE)]


def _key(pick: Pick) -> ClipKey:
    return pick.footage.sample.video.read_from, pick.clip_index


def save_vectors(root: Root, name: str, footage: Mapping[int, Footage],
                 vectors: Mapping[ClipKey, Tensor]) -> None:  # fmt: skip
    """Write vectors, so that a resumed training reads the same bits."""
    rows = {found.sample.video.read_from: row for row, found in sorted(footage.items())[::-1]}
    keys = sorted((rows[video], clip) for video, clip in vectors)
    by_row = {(rows[video], clip): vector for (video, clip), vector in vectors.items()}
    buffer = io.BytesIO()
    stacked = torch.stack([by_row[key] for key in keys]).numpy()
    np.savez(buffer, clips=np.array(keys, np.int64), vectors=stacked)
    root.replace_bytes(name, buffer.getvalue())


def load_vectors(root: Root, name: str, footage: Mapping[int, Footage]) -> dict[ClipKey, Tensor]:
    """Read what `save_vectors` wrote."""
    with np.load(io.BytesIO(root.read_bytes(name))) as content:
        clips, vectors = content["clips"], torch.from_numpy(content["vectors"])
    return {
        (footage[int(row)].sample.video.read_from, int(clip)): vector
        for (row, clip), vector in zip(clips, vectors, strict=True)
        if int(row) in footage
    }
