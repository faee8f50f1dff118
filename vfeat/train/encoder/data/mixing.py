"""RandAugment, mixup, CutMix and random erasing, from kornia.

kornia is made for pictures, but a clip's frames must be treated alike. If an operation does not
depend on what a channel is, a clip goes through as one picture of C·T channels; RandAugment, which
does, gets the frames as pictures, with the parameters of a clip's first frame for all of them.

Shape legend: B clips, C colours, T frames, S side in pixels, K classes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vfeat.errors import EnvironmentMissing, JobError
from vfeat.job.train_encoder import TrainEncoderJob

OPERATIONS = 2  # operations of RandAugment, one after the other


class Mixing:
    """The operations that a job asks for; without any, kornia is not needed.

    Raises:
        EnvironmentMissing: kornia is not installed.
        JobError: mixup and CutMix together are more than all batches.
    """

    def __init__(self, job: TrainEncoderJob, classes: int) -> None:
        self._classes = classes
        self._mixup, self._cutmix = job.mixup, job.cutmix
        if job.mixup + job.cutmix > 1:
            raise JobError(
                f"mixup {job.mixup:g} and cutmix {job.cutmix:g} are shares of the batches, and "
                "together more than 1"
            )
        self._rand: Any = None
        self._erasing: Any = None
        if not (job.mixup or job.cutmix or job.rand_augment or job.random_erasing):
            return
        kornia = _kornia()
        keys = ["input", "class"]
        self._mixers = (
            kornia.RandomMixUpV2(data_keys=keys),
            kornia.RandomCutMixV2(data_keys=keys, use_correct_lambda=True),
        )
        if job.rand_augment:
            self._rand = kornia.auto.RandAugment(OPERATIONS, job.rand_augment)
        if job.random_erasing:
            self._erasing = kornia.RandomErasing(p=job.random_erasing)

    def rand_augment(self, video_BCTSS: Tensor) -> Tensor:
        """Apply the same two operations to all clips, each with its own strength; in [0, 1]."""
        if self._rand is None or not len(video_BCTSS):
            return video_BCTSS
        B, _, T = video_BCTSS.shape[:3]
        frames_FCSS = video_BCTSS.transpose(1, 2).flatten(0, 1)
        drawn = self._rand.forward_parameters(frames_FCSS.shape)
        frames_FCSS = self._rand(frames_FCSS, params=_alike(drawn, B * T, T))
        clips_BTCSS: Tensor = frames_FCSS.unflatten(0, (B, T))
        return clips_BTCSS.transpose(1, 2).contiguous()

    def mix(self, video_BCTSS: Tensor, target_BK: Tensor) -> tuple[Tensor, Tensor]:
        """Apply mixup or CutMix, or neither, by their shares.

        Args:
            video_BCTSS: normalised clips.
            target_BK: one-hot classes.

        Returns:
            Mixed clips, and targets mixed alike.
        """
        if not (self._mixup or self._cutmix) or not len(video_BCTSS):
            return video_BCTSS, target_BK
        drawn = float(torch.rand(()))
        if drawn >= self._mixup + self._cutmix:
            return video_BCTSS, target_BK
        cut = drawn >= self._mixup
        picture, mixed = self._mixers[cut](video_BCTSS.flatten(1, 2), target_BK.argmax(1))
        first_B, second_B, share_B = mixed.reshape(-1, 3).unbind(1)
        if cut:  # kornia returns mixup's share of the second clip, and CutMix's of the first
            share_B = 1 - share_B
        first_BK, second_BK = (
            F.one_hot(labels_B.long(), self._classes).float() for labels_B in (first_B, second_B)
        )
        return picture.view_as(video_BCTSS), torch.lerp(first_BK, second_BK, share_B[:, None])

    def erase(self, video_BCTSS: Tensor) -> Tensor:
        """Erase a rectangle to the mean colour, the same in all frames of a clip."""
        if self._erasing is None or not len(video_BCTSS):
            return video_BCTSS
        erased: Tensor = self._erasing(video_BCTSS.flatten(1, 2)).view_as(video_BCTSS)
        return erased


def _alike(drawn: Any, count: int, frames: int) -> Any:
    """Repeat the parameters of each clip's first picture for all its `frames`."""
    if isinstance(drawn, Tensor):
        per_picture = drawn.dim() and len(drawn) == count
        return drawn[::frames].repeat_interleave(frames, 0) if per_picture else drawn
    if isinstance(drawn, dict):
        return {key: _alike(value, count, frames) for key, value in drawn.items()}
    if isinstance(drawn, list):
        return [_alike(value, count, frames) for value in drawn]
    if isinstance(getattr(drawn, "data", None), list | dict):  # kornia's ParamItem
        return type(drawn)(drawn.name, _alike(drawn.data, count, frames))
    return drawn


def _kornia() -> Any:
    try:
        import kornia.augmentation
        import kornia.augmentation.auto
    except ImportError:
        raise EnvironmentMissing(
            "rand_augment, mixup, cutmix and random_erasing need the package kornia, which is not "
            "installed. Run: pip install 'vfeat[train]'"
        ) from None
    return kornia.augmentation
