"""The operations that models call: check the arguments, choose the back-end, call it.

Shape suffixes: B batch, L tokens, E channels, N states, W conv taps, G groups.
"""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

from vfeat.errors import VfeatError
from vfeat.kernels.pixels import Patch
from vfeat.kernels.weights import DirectionWeights
from vfeat.ops.registry import choose


@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = ...,
    z: Tensor | None = ...,
    delta_bias: Tensor | None = ...,
    delta_softplus: bool = ...,
    return_last_state: Literal[False] = ...,
    *,
    reverse: bool = ...,
) -> Tensor: ...
@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = ...,
    z: Tensor | None = ...,
    delta_bias: Tensor | None = ...,
    delta_softplus: bool = ...,
    *,
    return_last_state: Literal[True],
    reverse: bool = ...,
) -> tuple[Tensor, Tensor]: ...
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    *,
    reverse: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Run Mamba's selective scan, with the semantics of mamba-ssm's `selective_scan_fn`.

    h[l] = exp(dt[l] A) h[l-1] + dt[l] B[l] u[l],  y[l] = C[l]·h[l] + D u[l], times SiLU(z[l]) where
    z is given. The state is float32, or float64 for float64 inputs.

    Args:
        u, delta: (B, E, L); z the same. delta is in units of the time step.
        A: (E, N), real; negative for a state that decays.
        B, C: (B, N, L), (B, G, N, L) with G dividing E, or the constant (E, N).
        D, delta_bias: (E,).
        delta_softplus: dt = softplus(delta + delta_bias).
        return_last_state: also return the state (B, E, N) after the last step.
        reverse: run from the last token to the first; the last state is then that of the first
            token.

    Returns:
        y (B, E, L) in the dtype of u, and the last state when asked for.

    Raises:
        VfeatError: shapes that do not fit together.
    """
    _check_scan(u, delta, A, B, C, D, z, delta_bias)
    backend = choose(u.device.type, u.dtype)
    y, state = backend.selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse)
    return (y, state) if return_last_state else y


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: Literal["silu", "swish"] | None = None,
    *,
    reverse: bool = False,
) -> Tensor:
    """Convolve depthwise and causally, with the semantics of `causal_conv1d_fn`.

    Args:
        x: (B, E, L).
        weight: (E, W); the last tap multiplies the current token.
        bias: (E,).
        activation: `silu` (also spelled `swish`) or None.
        reverse: depend on later tokens instead of earlier ones.

    Returns:
        (B, E, L) in the dtype of x.

    Raises:
        VfeatError: shapes that do not fit together, or an unknown activation.
    """
    if activation not in (None, "silu", "swish"):
        raise VfeatError(f"causal_conv1d: activation is silu, swish or None, not {activation!r}")
    _check("x", x, (None, None, None))
    channels = x.shape[1]
    _check("weight", weight, (channels, None))
    _check("bias", bias, (channels,))
    backend = choose(x.device.type, x.dtype)
    return backend.causal_conv1d(x, weight, bias, activation is not None, reverse)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute x W^T + b over the last dimension, as `torch.nn.functional.linear`.

    Args:
        x: (..., inputs).
        weight: (outputs, inputs).
        bias: (outputs,), or None.

    Returns:
        (..., outputs) in the dtype of x.
    """
    return choose(x.device.type, x.dtype).linear(x, weight, bias)


def bidirectional_mamba(
    xz_BL2E: Tensor, forward: DirectionWeights, backward: DirectionWeights
) -> Tensor:
    """Compute everything between in_proj and out_proj of VideoMamba's block.

    x is convolved, projected and scanned once in each direction with that direction's weights; the
    sum, not halved, is gated by SiLU(z). The layout is token-major, as in the two GEMMs around it,
    so that no back-end needs a transpose.

    Args:
        xz_BL2E: output of in_proj, x before z along the last dimension.
        forward, backward: weights of the two directions.

    Returns:
        y_BLE in the dtype of `xz_BL2E`.

    Raises:
        VfeatError: shapes that do not fit together.
    """
    _check("xz", xz_BL2E, (None, None, 2 * forward.D_E.shape[0]))
    for name, weights in (("forward", forward), ("backward", backward)):
        _check_direction(name, weights, channels=xz_BL2E.shape[2] // 2)
    backend = choose(xz_BL2E.device.type, xz_BL2E.dtype)
    return backend.bidirectional_mamba(xz_BL2E, forward, backward)


def add_rms_norm(
    hidden_BLD: Tensor, residual_BLD: Tensor | None, weight_D: Tensor, epsilon: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """Add to the residual stream, then divide by the root mean square.

    Args:
        hidden_BLD: output of the mixer.
        residual_BLD: the stream so far, float32 or float64; None before the first block.
        weight_D: scale of each channel.
        epsilon: added to the mean square.

    Returns:
        The normalised sum in the dtype of the weight, and the sum itself: float32, or float64 for
        float64.

    Raises:
        VfeatError: shapes that do not fit together.
    """
    _check("hidden", hidden_BLD, (None, None, len(weight_D)))
    _check("residual", residual_BLD, tuple(hidden_BLD.shape))
    backend = choose(hidden_BLD.device.type, hidden_BLD.dtype)
    return backend.add_rms_norm(hidden_BLD, residual_BLD, weight_D, epsilon)


def pixel_rows(
    frames_BTHWC: Tensor,
    mean_C: Tensor,
    std_C: Tensor,
    patch: Patch,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Normalise uint8 pixels and put the values of each patch in a row.

    A convolution whose stride is its kernel is the product of these rows with its weight, flattened
    behind the first dimension.

    Args:
        frames_BTHWC: uint8 clips of T frames.
        mean_C, std_C: of pixels in [0, 1].
        patch: its sides divide T, H and W.
        dtype: of the result.

    Returns:
        rows_BTPR: time steps of patches, patches of a step row by row, values of a patch by colour,
        frame, row and column.

    Raises:
        VfeatError: shapes that do not fit together, or other pixels than uint8.
    """
    _check("frames", frames_BTHWC, (None, None, None, None, len(mean_C)))
    _check("std", std_C, (len(mean_C),))
    sides = frames_BTHWC.shape[1:4]
    if frames_BTHWC.dtype != torch.uint8 or any(
        side % part for side, part in zip(sides, patch, strict=True)
    ):
        raise VfeatError(
            f"frames: expected uint8 in whole patches of {'x'.join(map(str, patch))}, found "
            f"{str(frames_BTHWC.dtype).removeprefix('torch.')} of {'x'.join(map(str, sides))}"
        )
    backend = choose(frames_BTHWC.device.type, dtype)
    return backend.pixel_rows(frames_BTHWC, mean_C, std_C, patch, dtype)


def _check_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
) -> None:
    """Check the shapes of one scan, each against those before it."""
    _check("u", u, (None, None, None))
    batch, channels, length = u.shape
    _check("A", A, (channels, None))
    if A.is_complex():
        raise VfeatError("selective_scan: A is real here; a complex A is S4's, not Mamba's")
    groups = [_check_input(n, t, u, A) for n, t in (("B", B), ("C", C))]
    if max(groups) % min(groups):
        raise VfeatError(f"B has {groups[0]} groups of channels and C {groups[1]}")
    for name, same in (("delta", delta), ("z", z)):
        _check(name, same, (batch, channels, length))
    for name, vector in (("D", D), ("delta_bias", delta_bias)):
        _check(name, vector, (channels,))


def _check_input(name: str, tensor: Tensor, u: Tensor, A: Tensor) -> int:
    """Check B or C; return into how many groups of channels it divides."""
    (batch, channels, length), states = u.shape, A.shape[1]
    if tensor.dim() == 2:
        _check(name, tensor, (channels, states))
        return channels
    if tensor.dim() != 4:
        _check(name, tensor, (batch, states, length))
        return 1
    _check(name, tensor, (batch, None, states, length))
    groups = tensor.shape[1]
    if groups == 0 or channels % groups:
        raise VfeatError(f"{name} has {groups} groups, which do not divide {channels} channels")
    return groups


def _check_direction(direction: str, weights: DirectionWeights, channels: int) -> None:
    """Check the shapes of one direction's weights."""
    rank, states = weights.rank, weights.states
    expected: dict[str, tuple[int | None, ...]] = {
        "conv_weight_EW": (channels, None),
        "conv_bias_E": (channels,),
        "x_proj_weight": (rank + 2 * states, channels),
        "dt_weight_ER": (channels, rank),
        "dt_bias_E": (channels,),
        "A_log_EN": (channels, states),
        "D_E": (channels,),
    }
    for name, shape in expected.items():
        _check(f"{direction}.{name}", getattr(weights, name), shape)


def _check(name: str, tensor: Tensor | None, expected: tuple[int | None, ...]) -> None:
    """Raise unless the shape fits; None in `expected` stands for any size."""
    if tensor is None:
        return
    given = tuple(tensor.shape)
    fits = len(given) == len(expected) and all(
        want is None or want == have for want, have in zip(expected, given, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in expected)
        raise VfeatError(f"{name}: expected shape ({wanted}), found {given}")
