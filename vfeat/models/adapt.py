"""Fit a checkpoint to a model of another resolution, length, head or variant; refuse the rest.

Shape suffixes: S patches of one frame, T time steps of tokens, D width.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfeat.errors import JobError
from vfeat.models.vis4mer_config import Vis4merConfig
from vfeat.models.weights import RANDOM_SEED

PATCH, SPACE, TIME = "patch_embed.proj.weight", "pos_embed", "temporal_pos_embedding"
HEAD = ("head.weight", "head.bias")
# Prefixes of parts that only training uses.
TRAINING_PARTS = ("distill_head.", "clip_decoder.", "flow_head.")
# Key of the final norm in masked pre-training and in all other variants.
FINAL_NORMS = ("norm.weight", "norm_f.weight")
Shapes = Mapping[str, torch.Size]
State = dict[str, Tensor]


def fit_state(uri: str, state: Mapping[str, Tensor], shapes: Shapes) -> State:
    """Return a float32 state dict that has exactly the given names and shapes.

    Training-only parts are dropped, an image checkpoint is inflated, embeddings are resized, and a
    head with another number of classes is replaced by a fresh one.

    Args:
        uri: source of the state, for messages.
        state: tensors by official key.
        shapes: the model's names and shapes.

    Raises:
        JobError: a tensor is missing, unexpected, or of a shape that cannot be fitted.
    """
    fitted = {key: tensor.to(torch.float32) for key, tensor in state.items()}
    _match_variant(fitted, shapes)
    _inflate(fitted, shapes)
    _resize_space(fitted, shapes)
    _resize_time(fitted, shapes)
    _replace_head(uri, fitted, shapes)
    check_state(uri, fitted, shapes, "embed_dim, depth, patch_size, tubelet_size")
    return fitted


def fit_head(uri: str, state: Mapping[str, Tensor], shapes: Shapes, config: Vis4merConfig) -> State:
    """Return ViS4mer's state dict in float32; none of its tensors can be resized.

    Args:
        uri: source of the state, for messages.
        state: tensors by official key.
        shapes: the model's names and shapes.
        config: the model's configuration; `l_max` must be that of the checkpoint's kernels.

    Raises:
        JobError: a tensor is missing, unexpected or of another shape, or the kernels were made for
            another length.
    """
    fitted = {key: tensor.to(torch.float32) for key, tensor in state.items()}
    check_state(uri, fitted, shapes, "d_input, l_max, d_output, d_model, n_layers, kernel")
    l_max = config.l_max
    for index in range(config.n_layers):
        key = f"s4_layers.{index}.kernel.krylov.nodes"
        if key in fitted and (found := _nodes_length(fitted[key])) != l_max:
            raise JobError(
                f"Weights {uri} do not fit the model. {key}: the checkpoint's kernel is of length "
                f"{found}, the model's of length {l_max}; layer 0 has l_max, each next one half"
            )
        l_max //= 2
    return fitted


def _nodes_length(nodes_F2: Tensor) -> int:
    """Compute L from the FFT nodes exp(-2πi k / L), k up to L // 2.

    The number of nodes is not enough: L and L + 1 may have equally many.
    """
    real, imaginary = nodes_F2[1].double().tolist()
    angle = math.atan2(-imaginary, real)
    # damaged nodes have no length
    return round(2 * math.pi / angle) if angle and math.isfinite(angle) else 0


def _match_variant(state: State, shapes: Shapes) -> None:
    """Drop training-only parts and rename the final norm to the model's name for it."""
    for key in [key for key in state if key.startswith(TRAINING_PARTS) and key not in shapes]:
        del state[key]
    for mine, other in (FINAL_NORMS, FINAL_NORMS[::-1]):
        if mine in shapes and mine not in state and other in state:
            state[mine] = state.pop(other)


def _inflate(state: State, shapes: Shapes) -> None:
    """Turn an image checkpoint into a video checkpoint.

    The patch filter becomes the tubelet's centre. The time embedding, which an image model lacks,
    starts at zero.
    """
    image, wanted = state.get(PATCH), shapes[PATCH]
    if image is None or image.dim() != 4 or len(wanted) != 5:
        return
    if image.shape == (*wanted[:2], *wanted[3:]):
        video = image.new_zeros(wanted)
        video[:, :, wanted[2] // 2] = image
        state[PATCH] = video
    state.setdefault(TIME, torch.zeros(shapes[TIME]))


def _resize_space(state: State, shapes: Shapes) -> None:
    """Resize the position embedding bicubically over the square patch grid.

    The class token's entry stays as it is.
    """
    old, wanted = state.get(SPACE), shapes[SPACE]
    if old is None or old.shape == wanted or not _differ_only_in_length(old, wanted):
        return
    old_side, new_side = math.isqrt(old.shape[1] - 1), math.isqrt(wanted[1] - 1)
    if old_side**2 != old.shape[1] - 1:
        return  # not a square grid: `check_state` reports it
    class_11D, patches_1SD = old[:, :1], old[:, 1:]
    grid_1DHW = patches_1SD.mT.reshape(1, -1, old_side, old_side)
    resized_1DHW = F.interpolate(grid_1DHW, (new_side, new_side), mode="bicubic")
    state[SPACE] = torch.cat([class_11D, resized_1DHW.flatten(2).mT], dim=1)


def _resize_time(state: State, shapes: Shapes) -> None:
    """Resize the time embedding linearly."""
    old_1TD, wanted = state.get(TIME), shapes.get(TIME)
    if old_1TD is None or wanted is None or not _differ_only_in_length(old_1TD, wanted):
        return
    if old_1TD.shape != wanted:
        state[TIME] = F.interpolate(old_1TD.mT, wanted[1], mode="linear").mT.contiguous()


def _differ_only_in_length(old: Tensor, wanted: torch.Size) -> bool:
    """Check that both shapes are (1, any, D) with one D."""
    return old.dim() == 3 and old.shape[1] > 0 and old.shape[::2] == wanted[::2]


def _replace_head(uri: str, state: State, shapes: Shapes) -> None:
    """Replace a head of another number of classes by a fresh one, the same in every process."""
    weight, wanted = state.get(HEAD[0]), shapes.get(HEAD[0])
    if wanted is None:  # the caller asked for no head
        for key in HEAD:
            state.pop(key, None)
        return
    if weight is None:
        if HEAD[1] in state:
            return  # half a head: `check_state` reports it
        found = "has no head"
    elif weight.dim() != 2 or weight.shape[0] == wanted[0] or weight.shape[1] != wanted[1]:
        return
    else:
        found = f"has a head of {weight.shape[0]} classes, the model one of {wanted[0]}"
    keep = "" if weight is None else f"; num_classes={weight.shape[0]} keeps it"
    warnings.warn(
        f"Weights {uri}: the checkpoint {found}. The head is untrained{keep}, and labels mean "
        "nothing until it is trained",
        stacklevel=4,
    )
    # Its own generator, so that every worker gets the same head.
    generator = torch.Generator().manual_seed(RANDOM_SEED)
    state[HEAD[0]] = nn.init.trunc_normal_(torch.empty(wanted), std=0.02, generator=generator)
    state[HEAD[1]] = torch.zeros(wanted[0])


def check_state(uri: str, state: State, shapes: Shapes, options: str) -> None:
    """Check that a state has the model's names and shapes.

    Args:
        uri: source of the state, for messages.
        state: tensors by official key.
        shapes: the model's names and shapes.
        options: options that decide the shapes, for the message.

    Raises:
        JobError: listing the first five problems.
    """
    problems = [
        f"{key}: the checkpoint has shape {tuple(state[key].shape)}, the model {tuple(shape)}"
        for key, shape in shapes.items()
        if key in state and state[key].shape != shape
    ]
    problems += [
        f"{key}: missing from the checkpoint, the model has shape {tuple(shape)}"
        for key, shape in shapes.items()
        if key not in state
    ]
    problems += [
        f"{key}: in the checkpoint with shape {tuple(tensor.shape)}, unknown to the model"
        for key, tensor in state.items()
        if key not in shapes
    ]
    if problems:
        more = [f"and {len(problems) - 5} more"] if len(problems) > 5 else []
        raise JobError(
            f"Weights {uri} do not fit the model. Choose the model and the options "
            f"({options}) that they were trained with:",
            *(f"  {line}" for line in (*problems[:5], *more)),
        )
