"""VideoMamba as a student: its tokens, projected to the width of a teacher's.

Shape suffixes: B batch, C colours, T frames, H, W pixels; L tokens with the class token, D width,
C' width of the teacher, K classes.

Source: Li et al., "VideoMamba: State Space Model for Efficient Video Understanding", 2024,
section 3.3; keys and semantics of the official `videomamba_distill.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from vfeat.models.videomamba import EPSILON, VideoMamba
from vfeat.models.videomamba_config import VideoMambaConfig


@dataclass(frozen=True, kw_only=True)
class StudentConfig(VideoMambaConfig):
    """Configuration of a student: the trunk's, and the width of the teacher's tokens.

    Attributes:
        teacher_embed_dim: width C' of the teacher's tokens.
    """

    teacher_embed_dim: int


class Student(VideoMamba):
    """A VideoMamba with a projection of its tokens, which is dropped after training."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__(config)
        width = config.embed_dim
        projection = nn.Linear(width, config.teacher_embed_dim)
        nn.init.trunc_normal_(projection.weight, std=0.02)
        nn.init.zeros_(projection.bias)
        self.distill_head = nn.Sequential(nn.RMSNorm(width, EPSILON), projection)

    def forward_student(self, video_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, K), and all projected tokens (B, L, C') at unit length."""
        tokens_BLD = self.forward_tokens(video_BCTHW)
        projected_BLC = self.distill_head(tokens_BLD)
        return self.head(tokens_BLD[:, 0]), F.normalize(projected_BLC, dim=-1)
