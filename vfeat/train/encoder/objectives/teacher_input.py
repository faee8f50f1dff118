"""Preparation of a student's clip for its teacher: cut into as many tokens.

Shape legend: B clips, C colours, T frames, S side in pixels, T' time steps of tokens, b frames of a
teacher's tubelet, F = B·T'·b frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from vfeat.models.videomamba_config import VideoMambaConfig


@dataclass(frozen=True)
class Sight:
    """Conversion of the student's pixels to the teacher's.

    Attributes:
        student: configuration whose grid of tokens counts.
        tubelet: b, frames of the teacher's tubelets, at most the student's.
        size: side of the teacher's pictures, pixels; `student.grid` of its patches.
    """

    student: VideoMambaConfig
    tubelet: int
    size: int

    def __call__(self, video_BCTSS: Tensor) -> Tensor:
        """Convert clips to (B, C, T'·b, size, size)."""
        if video_BCTSS.dim() == 4:  # pictures
            video_BCTSS = video_BCTSS[:, :, None]
        return self._resized(self._middle_frames(video_BCTSS))

    def _middle_frames(self, video_BCTSS: Tensor) -> Tensor:
        """Select the b frames in the middle of each of the student's tubelets."""
        whole = self.student.tubelet_size
        first = (whole - self.tubelet + 1) // 2
        steps = video_BCTSS.shape[2] // whole
        picked = [
            step * whole + first + frame for step in range(steps) for frame in range(self.tubelet)
        ]
        return video_BCTSS[:, :, picked]

    def _resized(self, video_BCTSS: Tensor) -> Tensor:
        """Resize bicubically as in the official code; with antialiasing if pictures become smaller.

        Pixels past the student's last whole patch are left out, as the student leaves them out.
        """
        seen = self.student.grid * self.student.patch_size
        video_BCTSS = video_BCTSS[..., :seen, :seen]
        if seen == self.size:
            return video_BCTSS
        B, C, T = video_BCTSS.shape[:3]
        shape, smaller = (self.size, self.size), self.size < seen
        frames_FCSS = video_BCTSS.transpose(1, 2).flatten(0, 1)
        frames_FCSS = F.interpolate(frames_FCSS, shape, mode="bicubic", antialias=smaller)
        return frames_FCSS.view(B, T, C, *shape).transpose(1, 2)
