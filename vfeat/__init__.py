"""vfeat: video archives to features, on Ray.

Importing this package loads nothing heavy: the names below resolve on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfeat.search.dataset import Dataset, open
    from vfeat.tables.dataset import FeatureDataset

__version__ = "0.1.0"
__all__ = ["Dataset", "FeatureDataset", "__version__", "open"]


def __getattr__(name: str) -> object:
    if name in ("open", "Dataset", "FeatureDataset"):
        from vfeat.search import dataset

        return getattr(dataset, name)
    raise AttributeError(f"module 'vfeat' has no attribute {name!r}")
