"""VideoMamba with a head that predicts optical flow from every token.

Shape legend: B batch, T' tubelets, S' patches along a side, D width.
"""

from __future__ import annotations

from torch import Tensor, nn

from vfeat.models.videomamba import VideoMamba
from vfeat.models.videomamba_config import VideoMambaConfig


class FlowReader(VideoMamba):
    """A VideoMamba with a linear flow head on its tokens, which is dropped after training."""

    def __init__(self, config: VideoMambaConfig) -> None:
        super().__init__(config)
        self.flow_head = nn.Linear(config.embed_dim, 2)
        nn.init.trunc_normal_(self.flow_head.weight, std=0.02)
        nn.init.zeros_(self.flow_head.bias)

    def read_flow(self, tokens_BLD: Tensor) -> Tensor:
        """Predict the optical flow at each patch of each tubelet.

        Args:
            tokens_BLD: output of `forward_tokens`, the class token first.

        Returns:
            x and y in logarithmic units, (B, T', S', S', 2).
        """
        side = self.config.grid
        flow: Tensor = self.flow_head(tokens_BLD[:, 1:])
        return flow.view(len(flow), -1, side, side, 2)
