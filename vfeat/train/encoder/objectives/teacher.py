"""A frozen network whose tokens are the student's targets.

Shape legend: B clips, C colours, T frames, S side in pixels, T' time steps of tokens, P patches of
one time step, L = 1 + T'·P tokens with the class token, C' width of the teacher.

Source: the official `engine_distill.py`, `engine_for_pretraining_videomamba.py` and `clip.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfeat.models import VideoMamba
from vfeat.train.encoder.objectives.teacher_input import Sight


class View(NamedTuple):
    """A teacher's output for clips.

    Attributes:
        tokens_BLC: unit vectors, the class token first.
        importance_BTP: the class token's attention to each patch, or None.
    """

    tokens_BLC: Tensor
    importance_BTP: Tensor | None


class Teacher(nn.Module):
    """Frozen network that stays in evaluation mode, whatever mode the student is in.

    Args:
        sight: preparation of the student's clips for the teacher.
        width: width C' of the tokens.
    """

    def __init__(self, sight: Sight, width: int) -> None:
        super().__init__()
        self.sight, self.width = sight, width

    @torch.no_grad()
    def forward(self, video_BCTSS: Tensor) -> View:
        """Return tokens of clips in the student's format."""
        return self.view(self.sight(video_BCTSS))

    def view(self, video_BCTSS: Tensor) -> View:
        """Return tokens of clips that `sight` has prepared."""
        raise NotImplementedError

    def freeze(self) -> Teacher:
        """Disable gradients and set evaluation mode."""
        return self.requires_grad_(False).train()

    def train(self, mode: bool = True) -> Teacher:
        """Stay in evaluation mode."""
        super().train(False)
        return self


class VideoTeacher(Teacher):
    """A VideoMamba. It has no attention that could rank patches."""

    def __init__(self, model: VideoMamba, sight: Sight) -> None:
        super().__init__(sight, model.config.embed_dim)
        self.model = model

    def view(self, video_BCTSS: Tensor) -> View:
        tokens_BLC = self.model.forward_tokens(video_BCTSS)
        return View(F.normalize(tokens_BLC.float(), dim=-1), None)
