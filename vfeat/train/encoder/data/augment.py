"""Augmentation of uint8 clips to the network's input: flips, crops, colours, normalisation.

Flips, crops and colours are drawn clip by clip from the clip's own seed, hold for all its frames,
and so do not depend on the clip's batch. Brightness, contrast, saturation, gray and the
normalisation are one affine map of a pixel's colour: one small matrix for each clip, and one pass
over the pixels (32 clips of 16x112x112 take 0.1 s on two cores; kornia's ColorJiggle alone 0.5 s).

Shape legend: B clips, C colours, T frames, S side in pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfeat.errors import JobError
from vfeat.job.recipe import FLIP_DIMENSION, IMAGENET_MEAN, IMAGENET_STD, Flip, FlipSpec
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.train.encoder.data.crop import crop_flow, crop_video, draw_box
from vfeat.train.encoder.data.mixing import Mixing
from vfeat.train.encoder.objectives.base import TrainBatch
from vfeat.train.labels import listed

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as gray pictures are made

# Effect on a motion (x, y). Played backwards it is the opposite one, from where it ended:
# the difference is a share of the displacement within one tubelet.
TURNED: Mapping[Flip, tuple[float, float]] = {
    "horizontal": (-1.0, 1.0), "vertical": (1.0, -1.0), "reverse": (-1.0, -1.0),
}  # fmt: skip


def read_flips(job: TrainEncoderJob, classes: Sequence[str]) -> tuple[FlipSpec, ...]:
    """Return the flips of a job, with the class permutation of each.

    Raises:
        JobError: a label that the list does not have, or that is exchanged with two others.
    """
    asked = dict(job.label_swaps or {})
    if job.hflip:
        asked["horizontal"] = {}
    return tuple(
        FlipSpec(flip, _permutation(flip, asked[flip], classes))
        for flip in FLIP_DIMENSION
        if flip in asked
    )


def _permutation(flip: Flip, pairs: Mapping[str, str], classes: Sequence[str]) -> tuple[int, ...]:
    named = [*pairs.keys(), *pairs.values()]
    unknown = sorted(set(named) - set(classes))
    if unknown:
        raise JobError(
            f"label_swaps.{flip}: the list has no label {listed(unknown)}; it has: "
            f"{', '.join(classes)}"
        )
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise JobError(f"label_swaps.{flip}: {listed(twice)} is named twice")
    other = {**pairs, **{right: left for left, right in pairs.items()}}
    return tuple(classes.index(other.get(name, name)) for name in classes)


class Augment:
    """Augmentation of batches for training.

    Args:
        job: settings of the training.
        classes: names, in the order of the network's outputs.
    """

    def __init__(self, job: TrainEncoderJob, classes: Sequence[str]) -> None:
        self._flips = read_flips(job, classes)
        self._jitter, self._gray, self._classes = job.jitter, job.gray, len(classes)
        self._crop = job.random_crop
        self._mixing = Mixing(job, len(classes))

    def __call__(
        self, frames_BTSSC: Tensor, labels: Sequence[int], seeds: Sequence[int],
        flow: Tensor | None = None,
    ) -> TrainBatch:  # fmt: skip
        """Augment and normalise a batch.

        Operations on several clips (mixup) draw from torch's generator, all others from `seeds`.

        Args:
            frames_BTSSC: uint8 on the network's device; overwritten.
            labels, seeds: class and random seed of each clip.
            flow: flow of each clip's tokens, BTSS2 (x, y) on the CPU; overwritten.
        """
        generators = [np.random.default_rng(seed) for seed in seeds]
        labels = self._flip(frames_BTSSC, labels, generators, flow)
        device = frames_BTSSC.device
        target_BK = F.one_hot(torch.tensor(labels, device=device), self._classes).float()
        video_BCTSS = channels_first(frames_BTSSC)
        if self._crop:
            size = video_BCTSS.shape[-1]
            boxes = [draw_box(generator, size, self._crop) for generator in generators]
            crop_video(video_BCTSS, boxes)
            if flow is not None:
                crop_flow(flow, boxes, size)
        video_BCTSS = self._mixing.rand_augment(video_BCTSS)
        video_BCTSS = _mapped(video_BCTSS, *self._colours(video_BCTSS, generators))
        video_BCTSS, target_BK = self._mixing.mix(video_BCTSS, target_BK)
        flow = None if flow is None else flow.to(device)
        return TrainBatch(self._mixing.erase(video_BCTSS), target_BK, flow)

    def _flip(
        self, frames_BTSSC: Tensor, labels: Sequence[int],
        generators: Sequence[np.random.Generator], flow: Tensor | None,
    ) -> list[int]:  # fmt: skip
        """Flip half of the clips by each flip, in place; return the labels that they have now."""
        found = list(labels)
        for place, generator in enumerate(generators):
            flips = [spec for spec in self._flips if generator.random() < 0.5]
            for spec in flips:
                found[place] = spec.becomes[found[place]]
            if flips:
                dimensions = [spec.dimension for spec in flips]
                frames_BTSSC[place] = frames_BTSSC[place].flip(dimensions)
            if flow is not None:
                for spec in flips:
                    turned = flow[place].flip(spec.dimension)
                    flow[place] = turned * torch.tensor(TURNED[spec.flip])
        return found

    def _colours(
        self, video_BCTSS: Tensor, generators: Sequence[np.random.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Draw the matrix BCC and the offset BC of each clip, before normalisation."""
        drawn = np.array([[*g.uniform(-1, 1, 3), g.random()] for g in generators], np.float32)
        drawn_4B11 = torch.from_numpy(drawn).to(video_BCTSS.device).T[:, :, None, None]
        brightness, contrast, saturation = 1 + self._jitter * drawn_4B11[:3]
        saturation = saturation * (drawn_4B11[3] >= self._gray)
        luma_C = torch.tensor(LUMA, device=video_BCTSS.device)
        identity_CC = torch.eye(3, device=video_BCTSS.device)
        matrix_BCC = saturation * identity_CC + (1 - saturation) * luma_C.expand(3, 3)
        # Contrast turns around the clip's mean gray, which saturation leaves as it is.
        middle_B = video_BCTSS[:, :, :, ::8, ::8].mean((2, 3, 4)) @ luma_C
        offset_B1 = brightness[:, :, 0] * (1 - contrast[:, :, 0]) * middle_B[:, None]
        return brightness * contrast * matrix_BCC, offset_B1.expand(-1, 3)


def channels_first(frames_BTSSC: Tensor) -> Tensor:
    """Convert uint8 with channels last to float32 BCTSS in [0, 1], contiguous."""
    B, T, H, W, C = frames_BTSSC.shape
    video = torch.empty(B, C, T, H, W, device=frames_BTSSC.device)
    return video.copy_(frames_BTSSC.permute(0, 4, 1, 2, 3)).div_(255)


def normalised(video_BCTSS: Tensor) -> Tensor:
    """Normalise in place, as extraction does."""
    mean, std = (
        torch.tensor(v, device=video_BCTSS.device).view(3, 1, 1, 1)
        for v in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return video_BCTSS.sub_(mean).div_(std)


def _mapped(video_BCTSS: Tensor, matrix_BCC: Tensor, offset_BC: Tensor) -> Tensor:
    """Apply the colour maps and the normalisation in one pass, then the limits of [0, 1]."""
    device = video_BCTSS.device
    mean_C, std_C = (torch.tensor(v, device=device) for v in (IMAGENET_MEAN, IMAGENET_STD))
    offset_BC1 = ((offset_BC - mean_C) / std_C)[:, :, None]
    mapped_BCN = torch.baddbmm(offset_BC1, matrix_BCC / std_C[:, None], video_BCTSS.flatten(2))
    low_C1, high_C1 = (-mean_C / std_C)[:, None], ((1 - mean_C) / std_C)[:, None]
    return mapped_BCN.clamp_(low_C1, high_C1).view_as(video_BCTSS)
