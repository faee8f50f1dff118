"""Processes of one training: each takes its part of every batch, and all learn the same.

Only rank 0 writes files and reports to the user. All collective calls must be made by every
process, in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vfeat.train.encoder.data.epoch_order import Group, Pick
from vfeat.train.encoder.objectives.base import Objective

Item = TypeVar("Item")


class Peers:
    """A training in one process.

    Attributes:
        rank: number of this process, from 0.
        count: number of processes.
    """

    rank = 0
    count = 1

    @property
    def is_leader(self) -> bool:
        """True for the process that writes the files."""
        return self.rank == 0

    def share(self, group: Group) -> Group:
        """Return this process's part of a batch."""
        return shares(group, self.count)[self.rank]

    def total(self, values: Sequence[float]) -> list[float]:
        """Sum the values over the processes."""
        return list(values)

    def gather(self, item: Item) -> list[Item]:
        """Gather each process's item, by rank. The items are pickled."""
        return [item]

    def wrap(self, objective: Objective) -> nn.Module:
        """Wrap the objective so that its gradients are averaged over the processes."""
        return objective

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return self.total([float(flag)])[0] > 0


class Distributed(Peers):
    """One of several processes, after torch's process group has been set up.

    Args:
        device: device of this process.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        self._device = device
        if device.type == "cuda":
            torch.cuda.set_device(device)  # where objects are gathered

    def total(self, values: Sequence[float]) -> list[float]:
        sums = torch.tensor(values, dtype=torch.float64, device=self._device)
        dist.all_reduce(sums)
        found: list[float] = sums.tolist()
        return found

    def gather(self, item: Item) -> list[Item]:
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, item)
        return found

    def wrap(self, objective: Objective) -> nn.Module:
        # Pre-training need not use all of its network in every step.
        unused = not objective.classifies
        return DistributedDataParallel(objective, find_unused_parameters=unused)


def shares(group: Group, count: int) -> list[Group]:
    """Split a batch among the processes in equal parts.

    As far as the parts stay equal, a video goes to the same process in each epoch, where its clips
    are cached.

    Args:
        group: the clips of a batch.
        count: number of processes.

    Returns:
        One part for each process, by rank.
    """
    most = -(-len(group) // count)
    parts: list[list[Pick]] = [[] for _ in range(count)]
    overflow: list[Pick] = []
    for pick in group:
        home = parts[pick.row % count]
        (home if len(home) < most else overflow).append(pick)
    # Equal parts matter more than the cache: the slowest process sets the pace.
    for pick in overflow:
        min(parts, key=len).append(pick)
    return [tuple(part) for part in parts]
