"""The state spaces of a layer, in NPLR form.

Shape suffixes: H channels, N states.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class NplrWeights(NamedTuple):
    """A = diag(w) - P Q*, B and C; complex, one of each conjugate pair.

    Attributes:
        log_dt: (H,) real, logarithm of the time step.
        w: (N,), the same for all channels, or (H, N).
        B, P, C, Q: (H, N). C is stored multiplied by (I - A^l_max), conjugate in use.
    """

    log_dt: Tensor
    w: Tensor
    B: Tensor
    P: Tensor
    C: Tensor
    Q: Tensor

    def channels(self, part: slice) -> NplrWeights:
        """Select the weights of some channels."""
        w = self.w[part] if self.w.dim() == 2 else self.w
        rest = (t[part] for t in (self.B, self.P, self.C, self.Q))
        return NplrWeights(self.log_dt[part], w, *rest)
