"""Sizes of a VideoMamba; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

VIDEO_CLASSES = 400  # Kinetics-400


@dataclass(frozen=True)
class VideoMambaConfig:
    """Configuration of a VideoMamba; the fields are the keys of `create_model`.

    Attributes:
        img_size: side of the square input, pixels.
        patch_size: side of a patch, pixels; pixels past the last whole patch are unused.
        depth: number of blocks.
        embed_dim: width D of a token.
        num_classes: outputs of the head; 0 leaves the head out.
        num_frames: frames of a clip; None (or 0) makes the image model, which has a two-dimensional
            patch embedding and no temporal embedding.
        tubelet_size: frames that one token spans.
        temporal_every: every n-th block scans temporal-first: over a patch's time steps, then over
            patches; 0, as in every published model, for none. Section 3.2 of the paper compares the
            orders.
    """

    img_size: int = 224
    patch_size: int = 16
    depth: int = 24
    embed_dim: int = 192
    num_classes: int = VIDEO_CLASSES
    num_frames: int | None = None
    tubelet_size: int = 1
    temporal_every: int = 0

    # The same in every published model.
    channels = 3
    expand = 2
    states = 16
    conv_taps = 4

    @property
    def inner_dim(self) -> int:
        """E, channels of the scan."""
        return self.expand * self.embed_dim

    @property
    def dt_rank(self) -> int:
        """R, rank of the time step."""
        return -(-self.embed_dim // 16)

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.img_size // self.patch_size

    @property
    def tubelets(self) -> int:
        """T', time steps of tokens; 1 for an image."""
        return 1 if self.num_frames is None else self.num_frames // self.tubelet_size

    def temporal_first(self, block: int) -> bool:
        """Return whether this block, counted from 0, scans over time before space."""
        return bool(self.temporal_every) and (block + 1) % self.temporal_every == 0

    @property
    def num_tokens(self) -> int:
        """Length of the sequence, the class token included."""
        return 1 + self.tubelets * self.grid**2
