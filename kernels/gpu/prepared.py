"""Weights in the kernels' layout, cached for inference.

Shape suffixes: K directions, E channels, N states, R rank of the time step, W taps, P = 2N + R
rounded up to a multiple of 8.
"""

from __future__ import annotations

import math
import weakref
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..weights import DirectionWeights

LOG2E = 1 / math.log(2)


class Prepared(NamedTuple):
    """Both directions' weights; GEMM operands in the dtype of the block, all others in float32.

    Attributes:
        project_KEP: x_proj with its rows as B, C, time step, so that B and C are aligned.
        A_KNE: A times log2(e).
    """

    conv_KWE: Tensor
    conv_bias_KE: Tensor
    project_KEP: Tensor
    dt_KRE: Tensor
    dt_bias_KE: Tensor
    A_KNE: Tensor
    skip_KE: Tensor


class _Kept(NamedTuple):
    """A cached result, and the state of the weights that it was computed from."""

    owner: weakref.ref[Tensor]
    state: tuple[object, ...]
    prepared: Prepared


# By weight and dtype: a graph of one dtype reads its weights' memory for as long as it is replayed.
_kept: dict[tuple[int, torch.dtype], _Kept] = {}


def prepare(forward: DirectionWeights, backward: DirectionWeights, dtype: torch.dtype) -> Prepared:
    """Stack and cast the weights: differentiably under autograd, else once for each model.

    It takes about thirty small launches, three times as many as the block's own, so inference keeps
    the result until one of the weights is changed, moved or collected.
    """
    flat = [t for t in (*forward, *backward) if t is not None]
    if torch.is_grad_enabled() or any(t.is_inference() for t in flat):
        return _stacked(forward, backward, dtype)
    owner = forward.x_proj_weight
    state = tuple((t.data_ptr(), t._version) for t in flat)
    place = id(owner), dtype
    kept = _kept.get(place)
    if kept is None or kept.owner() is not owner or kept.state != state:
        gone = weakref.ref(owner, lambda _: _kept.pop(place, None))
        kept = _Kept(gone, state, _stacked(forward, backward, dtype))
        _kept[place] = kept
    return kept.prepared


def _stacked(forward: DirectionWeights, backward: DirectionWeights, dtype: torch.dtype) -> Prepared:
    """Stack both directions along a new first dimension."""
    pairs = [_one(w, dtype) for w in (forward, backward)]
    return Prepared(*(torch.stack(pair) for pair in zip(*pairs, strict=True)))


def _one(weights: DirectionWeights, dtype: torch.dtype) -> Prepared:
    """Prepare one direction, without the leading K."""
    dt_rows, BC_rows = torch.split(weights.x_proj_weight, [weights.rank, 2 * weights.states])
    rows = torch.cat([BC_rows, dt_rows])
    bias = weights.conv_bias_E
    return Prepared(
        weights.conv_weight_EW.float().t(),
        torch.zeros_like(weights.D_E).float() if bias is None else bias.float(),
        F.pad(rows, (0, 0, 0, -len(rows) % 8)).t().to(dtype),
        weights.dt_weight_ER.t().to(dtype),
        weights.dt_bias_E.float(),
        -torch.exp(weights.A_log_EN.float()).t() * LOG2E,
        weights.D_E.float(),
    )
