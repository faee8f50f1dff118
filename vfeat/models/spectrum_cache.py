"""Cache of the spectra of S4's kernels, valid while the weights do not change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import torch
from torch import Tensor

MAX_SPECTRA = 8
MAX_BYTES = 1 << 30


class SpectrumCache:
    """The last few spectra of one layer; threads that need the same one build it once.

    At most `MAX_SPECTRA` spectra are kept, and at most `MAX_BYTES` beyond the one last used. Copies
    and pickles of a cache are empty.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version: Hashable = None
        self._spectra: OrderedDict[Hashable, Tensor] = OrderedDict()

    def get(self, version: Hashable, key: Hashable, build: Callable[[], Tensor]) -> Tensor:
        """Return the spectrum of that key, building it if needed; drop those of other versions.

        Args:
            version: version of the weights, see `weights_version`.
            key: what distinguishes spectra of the same weights.
            build: computes a missing spectrum.
        """
        with self._lock:
            if version != self._version:
                self._spectra.clear()
                self._version = version
            if key not in self._spectra:
                self._spectra[key] = build()
            self._spectra.move_to_end(key)
            self._drop_oldest()
            return self._spectra[key]

    def clear(self) -> None:
        """Drop all spectra."""
        with self._lock:
            self._spectra.clear()

    def __len__(self) -> int:
        return len(self._spectra)

    def _drop_oldest(self) -> None:
        while len(self._spectra) > 1 and (
            len(self._spectra) > MAX_SPECTRA
            or sum(t.nbytes for t in self._spectra.values()) > MAX_BYTES
        ):
            self._spectra.popitem(last=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return SpectrumCache, ()  # locks cannot be copied, and spectra are cheap to make again


def weights_version(tensors: Iterable[Tensor]) -> Hashable:
    """Return a value that changes whenever the tensors may have changed.

    It combines identity, version counter and a sum. The sum detects writes through `.data`, which
    no counter records.
    """
    found = list(tensors)
    sums = torch.stack([t.detach().sum(dtype=torch.float64) for t in found]).tolist()
    counters = (0 if t.is_inference() else t._version for t in found)
    places = ((t.device, t.dtype, t.data_ptr()) for t in found)
    return tuple(zip(places, counters, sums, strict=True))
