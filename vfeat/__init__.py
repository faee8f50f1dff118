"""vfeat: video archives to features, on Ray.

Importing this package loads nothing heavy: the names below resolve on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfeat.tables.dataset import FeatureDataset, open

__version__ = "0.1.0"
__all__ = ["FeatureDataset", "__version__", "open"]


def __getattr__(name: str) -> object:
    if name in ("open", "FeatureDataset"):
        from vfeat.tables import dataset

        return getattr(dataset, name)
    raise AttributeError(f"module 'vfeat' has no attribute {name!r}")
