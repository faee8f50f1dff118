"""How far tokens are from a teacher's: the squared distance of unit vectors.

Shape suffixes: any leading dimensions, C' width of the teacher.
"""

from __future__ import annotations

from torch import Tensor


def alignment_loss(tokens: Tensor, wanted: Tensor) -> Tensor:
    """The mean of 2 - 2·cosine over all tokens, float32.

    Args:
        tokens, wanted: vectors of length one (..., C'); `wanted` may lack leading dimensions,
            for several layers that are compared with the same target.

    Returns:
        A scalar from 0 (equal) to 4 (opposite).
    """
    cosine = (tokens.float() * wanted.float()).sum(-1)
    return (2 - 2 * cosine).mean()
