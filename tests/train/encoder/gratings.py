"""Clips of drifting stripes in noise: eight directions, two for each orientation."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

DIRECTIONS = 8
FRAMES, SIZE = 4, 16
PERIOD, DRIFT, NOISE = 8.0, 0.25, 0.5  # pixels; periods a frame; deviation, of amplitude 1


class Clips(NamedTuple):
    """Drawn clips.

    Attributes:
        video_BCTSS: float32.
        direction_B: int64, 0 to 7, in eighths of a turn; an opposite one differs by 4.
    """

    video_BCTSS: Tensor
    direction_B: Tensor

    def part(self, count: int) -> Clips:
        """The first clips."""
        return Clips(self.video_BCTSS[:count], self.direction_B[:count])


def draw_clips(count: int, seed: int) -> Clips:
    """Of random direction, phase and colour."""
    generator = torch.Generator().manual_seed(seed)
    direction_B = torch.randint(DIRECTIONS, (count,), generator=generator)
    angle_B11 = (direction_B * (2 * math.pi / DIRECTIONS))[:, None, None]
    start_B111 = torch.rand(count, 1, 1, 1, generator=generator)
    side_S = torch.arange(SIZE) / PERIOD
    along_BSS = angle_B11.sin() * side_S[:, None] + angle_B11.cos() * side_S
    drift_T11 = (DRIFT * torch.arange(FRAMES))[:, None, None]
    wave_BTSS = (2 * math.pi * (along_BSS[:, None] - drift_T11 + start_B111)).sin()
    colour_BC = F.normalize(1 + torch.randn(count, 3, generator=generator), dim=1)
    video_BCTSS = wave_BTSS[:, None] * colour_BC[:, :, None, None, None]
    noise_BCTSS = torch.randn(video_BCTSS.shape, generator=generator)
    return Clips(video_BCTSS + NOISE * noise_BCTSS, direction_B)
