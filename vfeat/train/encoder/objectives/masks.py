"""Masks: the tokens that are hidden from a masked model.

Every kind hides `int(ratio · n)` of n: of the patches of one time step (tube, attention), or of the
whole clip (random). The class token is always visible.

Shape suffixes: B clips, T time steps of tokens, S patches of one time step, N = T·S, L = 1 + N
tokens with the class token.

Source: the official `masking_generator.py` and `engine_for_pretraining_videomamba.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def tube_mask(
    batch: int, steps: int, patches: int, ratio: float, generator: torch.Generator | None = None
) -> Tensor:
    """Hide the same patches in every time step.

    Args:
        batch, steps, patches: B, T and S.
        ratio: share of the patches to hide, in [0, 1).
        generator: source of randomness; torch's own if None.

    Returns:
        bool (B, L), True where hidden.
    """
    noise_BS = torch.rand(batch, patches, generator=generator)
    hidden_BS = _lowest(noise_BS, ratio)
    return _with_class_token(hidden_BS[:, None].expand(-1, steps, -1))


def random_mask(
    batch: int, steps: int, patches: int, ratio: float, generator: torch.Generator | None = None
) -> Tensor:
    """Hide any patches of the clip.

    Args:
        batch, steps, patches: B, T and S.
        ratio: share of the patches to hide, in [0, 1).
        generator: source of randomness; torch's own if None.

    Returns:
        bool (B, L), True where hidden.
    """
    noise_BN = torch.rand(batch, steps * patches, generator=generator)
    return _with_class_token(_lowest(noise_BN, ratio)[:, None])


def attention_mask(
    importance_BTS: Tensor, ratio: float, generator: torch.Generator | None = None
) -> Tensor:
    """Hide patches at random, the more important ones more rarely, in each time step by itself.

    The visible patches are drawn without replacement with probabilities in proportion to the
    importance: the positions of the highest log(importance) plus Gumbel noise are such a draw.

    Args:
        importance_BTS: not negative, for example the class token's attention; a patch of importance
            0 is visible only if nothing else is left.
        ratio: share of the patches to hide, in [0, 1).

    Returns:
        bool (B, L), True where hidden; on the device of the importance.
    """
    exponential_BTS = torch.rand(importance_BTS.shape, generator=generator).log().neg()
    noise_BTS = exponential_BTS.clamp(min=torch.finfo(torch.float32).tiny).log().neg()
    chance_BTS = importance_BTS.float().clamp(min=torch.finfo(torch.float32).tiny)
    return _with_class_token(_lowest(chance_BTS.log() + noise_BTS.to(chance_BTS.device), ratio))


def _lowest(values: Tensor, ratio: float) -> Tensor:
    """Return True at the lowest `int(ratio · n)` of the last dimension's n values."""
    hidden = torch.zeros_like(values, dtype=torch.bool)
    order = values.argsort(dim=-1)
    return hidden.scatter_(-1, order[..., : int(ratio * values.shape[-1])], True)


def _with_class_token(hidden_BTS: Tensor) -> Tensor:
    """Flatten to (B, 1 + T·S), the class token first and visible."""
    hidden_BN = hidden_BTS.flatten(1)
    return torch.cat([hidden_BN.new_zeros(len(hidden_BN), 1), hidden_BN], dim=1)
