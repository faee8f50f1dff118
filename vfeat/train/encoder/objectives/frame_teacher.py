"""A vision transformer as a teacher: one frame of each of the student's tubelets.

Shape legend: B clips, C colours, T' time steps of tokens, S side in pixels, P patches of one
time step, L = 1 + T'·P tokens with the class token, C' width of the teacher, F = B·T' frames,
M tokens of a frame.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vfeat.job.recipe import IMAGENET_MEAN, IMAGENET_STD
from vfeat.models.videomamba_config import VideoMambaConfig
from vfeat.models.vit import VitInfo, read_vit
from vfeat.models.vit_attention import ClassAttention
from vfeat.models.vit_model import FrameTransformer, load_vit
from vfeat.train.encoder.objectives.teacher import Teacher, View
from vfeat.train.encoder.objectives.teacher_input import Sight

FRAMES_AT_ONCE = 64


class FrameTeacher(Teacher):
    """Teacher whose class token is the mean of the frames'; without one, of their patches.

    Args:
        model: network that takes the pictures of `sight`.
        attends: return the class token's attention too.
    """

    def __init__(self, model: FrameTransformer, sight: Sight, attends: bool) -> None:
        super().__init__(sight, model.info.width)
        self.model = model
        self.attention = ClassAttention(model, sight.size) if attends else None
        scale, shift = _normalisation(model.info)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def view(self, video_BCTSS: Tensor) -> View:
        B, _, steps = video_BCTSS.shape[:3]
        own_BCTSS = video_BCTSS * self.get_buffer("scale") + self.get_buffer("shift")
        frames_FCSS = own_BCTSS.transpose(1, 2).flatten(0, 1)
        parts = [self._frames(part) for part in torch.split(frames_FCSS, FRAMES_AT_ONCE)]
        tokens_FMC = torch.cat([tokens for tokens, _ in parts]).float()
        importance = [attention for _, attention in parts if attention is not None]
        importance_BTP = torch.cat(importance).view(B, steps, -1) if importance else None
        return View(F.normalize(self._joined(tokens_FMC, B), dim=-1), importance_BTP)

    def _joined(self, tokens_FMC: Tensor, clips: int) -> Tensor:
        """Join frames in a row (B, L, C'), behind one class token."""
        patches_FPC = tokens_FMC[:, self.model.info.leading :]
        has_class = self.model.info.has_class_token
        class_FC = tokens_FMC[:, 0] if has_class else patches_FPC.mean(1)
        class_B1C = class_FC.view(clips, -1, self.width).mean(1, keepdim=True)
        return torch.cat([class_B1C, patches_FPC.reshape(clips, -1, self.width)], dim=1)

    def _frames(self, frames_FCSS: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return tokens (F, M, C'), and attention to patches (F, P) if it is needed."""
        if self.attention is not None:
            return self.attention(frames_FCSS)
        return self.model(frames_FCSS)[0], None


def load_frame_teacher(name: str, student: VideoMambaConfig, attends: bool) -> FrameTeacher:
    """Load `vit:<name>`, for as many patches as the student has in a time step.

    Raises:
        JobError, EnvironmentMissing: see `load_vit` and `ClassAttention`.
    """
    sight = Sight(student, tubelet=1, size=student.grid * read_vit(name).patch_size)
    return FrameTeacher(load_vit(name, sight.size), sight, attends)


def _normalisation(info: VitInfo) -> tuple[Tensor, Tensor]:
    """Return factor and summand (C, 1, 1, 1) from the student's pixels to the teacher's."""
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    own_mean, own_std = torch.tensor(info.mean), torch.tensor(info.std)
    scale, shift = std / own_std, (mean - own_mean) / own_std
    return scale.view(-1, 1, 1, 1), shift.view(-1, 1, 1, 1)
