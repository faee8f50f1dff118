"""The initial values that see motion: a drifting pattern is told from its reverse at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vfeat.errors import JobError
from vfeat.models import VideoMamba, create_model
from vfeat.models.motion_energy import initialise_motion_energy

CONFIG = {"embed_dim": 64, "depth": 2, "img_size": 64, "num_frames": 8, "num_classes": 2}


def texture_moving(direction: int, seed: int) -> torch.Tensor:
    """A random texture that moves three pixels a frame, [1, 3, 8, 64, 64]."""
    rng = np.random.default_rng(seed)
    rough = torch.from_numpy(rng.standard_normal((1, 1, 96, 96))).float()
    smooth = torch.nn.functional.avg_pool2d(rough, 5, 1, 2)
    smooth = smooth / smooth.std()
    frames = [smooth[:, :, 8:72, 16 + 3 * t : 80 + 3 * t] for t in range(-4, 4)]
    video = torch.stack(frames[::direction], dim=2)
    return video.expand(-1, 3, -1, -1, -1)


def told_apart(model: VideoMamba) -> float:
    """How well the mean of all tokens separates the two directions, in standard deviations.

    The axis is fitted on half of the textures and judged on the others.
    """
    with torch.inference_mode():
        means = [
            torch.cat([model.forward_tokens(texture_moving(way, s))[:, 1:].mean(1) for s in seeds])
            for way in (1, -1)
            for seeds in (range(24), range(24, 48))
        ]
    axis = means[0].mean(0) - means[2].mean(0)
    forward, backward = means[1] @ axis, means[3] @ axis
    return float((forward.mean() - backward.mean()) / (forward.std() + backward.std()))


def test_directions_are_told_apart_without_training() -> None:
    torch.manual_seed(0)
    fresh = create_model("videomamba", tubelet_size=4, **CONFIG).eval()
    plain = told_apart(fresh)
    initialise_motion_energy(fresh)
    assert told_apart(fresh) > max(2.0, 3 * plain)


def test_one_frame_sees_no_motion() -> None:
    with pytest.raises(JobError, match="tubelet_size of at least 2"):
        initialise_motion_energy(create_model("videomamba", tubelet_size=1, **CONFIG))
