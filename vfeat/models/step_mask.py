"""Presence masks of padded sequences, and masked pooling.

Shape suffixes: B batch, L steps, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vfeat.errors import JobError


@dataclass(frozen=True)
class Presence:
    """Present steps of each row of a batch.

    Attributes:
        mask_BL: bool, true where a step is present.
        lengths_B: length of each row, its own missing steps included.
    """

    mask_BL: Tensor
    lengths_B: tuple[int, ...]

    @classmethod
    def of(cls, mask_BL: Tensor) -> Presence:
        """Build from a mask; each row ends after its last present step.

        Raises:
            JobError: a row has no present step.
        """
        steps_L = torch.arange(1, mask_BL.shape[1] + 1, device=mask_BL.device)
        lengths_B = tuple((mask_BL * steps_L).amax(1).tolist())
        if 0 in lengths_B:
            rows = [row for row, length in enumerate(lengths_B) if length == 0]
            raise JobError(
                f"Every sequence needs at least one step that is not masked; of {len(lengths_B)}, "
                f"{len(rows)} have none (row {rows[0]} first)"
            )
        return cls(mask_BL, lengths_B)

    def halved(self) -> Presence:
        """Return the presence after pooling by two.

        A pair is present when either step is. The last step of an odd row has no partner and is
        dropped, as in the official code, unless the row has nothing else.
        """
        either_BL = _pairs(F.pad(self.mask_BL, (0, self.mask_BL.shape[1] % 2))).any(2)
        ends_B1 = torch.tensor(self.lengths_B, device=either_BL.device)[:, None]
        pairs_L = torch.arange(either_BL.shape[1], device=either_BL.device)
        whole_BL = either_BL & (pairs_L < ends_B1 // 2)
        lone_B1 = ~whole_BL.any(1, keepdim=True)
        mask_BL = torch.where(lone_B1, either_BL, whole_BL)
        lengths_B = torch.where(lone_B1, (ends_B1 + 1) // 2, ends_B1 // 2)[:, 0]
        return Presence(mask_BL, tuple(lengths_B.tolist()))

    def mean(self, x_BLD: Tensor) -> Tensor:
        """Average over the present steps, (B, D); missing steps of x must be zero."""
        return x_BLD.sum(1) / self.mask_BL.sum(1, keepdim=True)


def zero_missing(x_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Set missing steps to zero, including those that hold NaN.

    Args:
        x_BLD: values.
        mask_BL: bool, true where a step is present.
    """
    return x_BLD.masked_fill(~mask_BL[..., None], 0)


def pooled(x_BLD: Tensor, mask_BL: Tensor | None = None) -> Tensor:
    """Average pairs of steps, counting only present ones.

    Args:
        x_BLD: values; L must be even.
        mask_BL: bool, true where a step is present; None when all are.

    Returns:
        (B, L/2, D).
    """
    if mask_BL is None:
        return _pairs(x_BLD).mean(2)
    pairs = _pairs(zero_missing(x_BLD, mask_BL))
    there = _pairs(mask_BL).sum(2).clamp(min=1)
    return pairs.sum(2) / there[..., None]


def _pairs(x: Tensor) -> Tensor:
    """Reshape (B, L, ...) to (B, L/2, 2, ...)."""
    return x.reshape(x.shape[0], x.shape[1] // 2, 2, *x.shape[2:])


def evened(x_BLD: Tensor, keep_last: bool) -> Tensor:
    """Make the number of steps even: drop an odd last step, or pad it if it must be kept.

    A sequence of a single step is paired with itself.

    Args:
        x_BLD: values.
        keep_last: pad an odd last step with zeros instead of dropping it.
    """
    length = x_BLD.shape[1]
    if length % 2 == 0:
        return x_BLD
    if keep_last:
        return torch.cat([x_BLD, torch.zeros_like(x_BLD[:, :1])], dim=1)
    return x_BLD.expand(-1, 2, -1) if length == 1 else x_BLD[:, :-1]
