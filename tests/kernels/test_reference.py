"""The reference is what the papers say: held to closed forms and to torch's own."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.kernels.conftest import random_direction, random_scan, relative
from vfeat.kernels import reference


def test_scan_is_the_sum_over_decayed_inputs() -> None:
    given = random_scan(batch=2, channels=3, length=6, states=4, dtype=torch.float64)
    u, A, B, C = given["u"], given["A"], given["B"], given["C"]
    dt = F.softplus(given["delta"] + given["delta_bias"][:, None])
    total = dt.cumsum(-1)
    expected = torch.zeros_like(u)
    for step in range(6):
        for earlier in range(step + 1):
            decay = torch.exp((total[..., step] - total[..., earlier])[..., None] * A)
            weight = (C[:, None, :, step] * decay * B[:, None, :, earlier]).sum(-1)
            expected[..., step] += weight * dt[..., earlier] * u[..., earlier]
    expected = (expected + given["D"][:, None] * u) * F.silu(given["z"])

    y, _ = reference.selective_scan(*given.values(), delta_softplus=True)
    assert relative(y, expected) < 1e-14


def test_convolution_is_torchs_depthwise_convolution() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 5, 9).double(), torch.randn(5, 4).double(), torch.randn(5)
    expected = F.silu(F.conv1d(F.pad(x, (3, 0)), weight[:, None], bias.double(), groups=5))
    assert relative(reference.causal_conv1d(x, weight, bias, silu=True), expected) < 1e-15


def test_block_is_the_sum_of_its_directions() -> None:
    """As the official code composes it: flip, the same inner function, flip back, add."""
    forward, backward = (random_direction(s, channels=6, dtype=torch.float64) for s in (0, 1))
    xz = torch.randn(2, 7, 12, dtype=torch.float64)
    x, z = xz.transpose(1, 2).chunk(2, dim=1)
    y = reference.one_direction(x, z, forward, reverse=False)
    y = y + reference.one_direction(x.flip(-1), z.flip(-1), backward, reverse=False).flip(-1)
    found = reference.bidirectional_mamba(xz, forward, backward)
    assert relative(found, y.transpose(1, 2)) < 1e-14
