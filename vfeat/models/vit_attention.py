"""Attention of a vision transformer's class token to the patches.

Shape legend: F frames, C colours, S side in pixels, M tokens of a frame, P its patches, D width, A
heads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vfeat.errors import JobError
from vfeat.models.vit_model import FrameTransformer


class ClassAttention:
    """Tokens of the last layer with the attention that led to its class token.

    Args:
        model: the network; its attention is switched to the library's plain implementation, the
            only one that returns the weights.

    Raises:
        JobError: the network has no class token, or does not return its attention.
    """

    def __init__(self, model: FrameTransformer, size: int) -> None:
        self.model = model
        name = model.info.files.name
        if not model.info.has_class_token:
            raise JobError(f"vit:{name} has no class token whose attention could be read")
        trunk: Any = model.trunk
        trunk.set_attn_implementation("eager")
        with torch.inference_mode():
            probe = torch.zeros(1, 3, size, size, device=next(model.parameters()).device)
            *_, last = self._run(probe).attentions or (None,)
        if last is None:
            raise JobError(
                f"vit:{name}: this architecture does not give its attention weights; ViT, DeiT, "
                "BEiT, CLIP, DINOv2 and DINOv3 do"
            )

    def __call__(self, frames_FCSS: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network on frames.

        Returns:
            Every token (F, M, D), and the class token's attention to the patches, averaged over
            heads (F, P).
        """
        output = self._run(frames_FCSS)
        attention_FAMM: Tensor = output.attentions[-1]
        return output[0], attention_FAMM.mean(1)[:, 0, self.model.info.leading :]

    def _run(self, frames_FCSS: Tensor) -> Any:
        return self.model.trunk(
            pixel_values=frames_FCSS, output_attentions=True, **self.model.options
        )
