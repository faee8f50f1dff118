"""The optimizer's groups, the learning rate of a step, and the averaged weights."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from vfeat.job.train_encoder import TrainEncoderJob

EMBEDDINGS = ("cls_token", "pos_embed", "temporal_pos_embedding")
BLOCK = re.compile(r"(?:^|\.)layers\.(\d+)\.")
INPUT = (*EMBEDDINGS, "patch_embed.")


def parameter_groups(model: nn.Module, job: TrainEncoderJob, depth: int) -> list[dict[str, Any]]:
    """Build the groups for AdamW, each with its `scale` of the learning rate.

    Embeddings, A_log and vectors (norms, biases, among them that of the time step, and D) are not
    decayed. With `layer_decay`, the head and the parts beside the blocks learn at the full rate,
    block i at layer_decay^(depth - i), the embeddings slowest.

    Args:
        model: the network.
        job: holds weight decay and layer decay.
        depth: number of blocks of the model.
    """
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        layer, decays = layer_of(name, depth), is_decayed(name, parameter)
        group = groups.setdefault(
            (layer, decays),
            {
                "params": [],
                "weight_decay": job.weight_decay if decays else 0.0,
                "scale": job.layer_decay ** (depth + 1 - layer),
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


def layer_of(name: str, depth: int) -> int:
    """Return 0 for the embeddings, i + 1 for block i, depth + 1 for parts after or beside them."""
    if any(part in name for part in INPUT):
        return 0
    block = BLOCK.search(name)
    return depth + 1 if block is None else int(block[1]) + 1


def is_decayed(name: str, parameter: Tensor) -> bool:
    """Return whether weight decay applies to a parameter."""
    last = name.rpartition(".")[2]
    return parameter.dim() > 1 and last not in EMBEDDINGS and not last.endswith("_log")


def learning_rate(job: TrainEncoderJob, step: float, steps_per_epoch: int) -> float:
    """Compute the learning rate: linear rise, then a cosine to `min_lr`.

    Args:
        step: number of the step, counted from 0 over all epochs.
    """
    warmup, total = job.warmup_epochs * steps_per_epoch, job.epochs * steps_per_epoch
    if step < warmup:
        return job.lr * (step + 1) / (warmup + 1)
    share = (step - warmup) / max(1, total - warmup)
    return job.min_lr + (job.lr - job.min_lr) * (1 + math.cos(math.pi * min(1.0, share))) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set each group's rate by its scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """Average weights exponentially.

    The first steps weigh more, so that a short training does not average its beginning.

    Args:
        model: the network whose weights are averaged.
        decay: weight of the past in each step, in [0, 1).
    """

    @torch.no_grad()
    def blend(mean: Iterable[Tensor], current: Iterable[Tensor], count: Tensor | int) -> None:
        share = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(list(mean), list(current), share)

    return AveragedModel(model, multi_avg_fn=blend)
