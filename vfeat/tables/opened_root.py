"""The root of a dataset that must be there already."""

from __future__ import annotations

from vfeat.errors import JobError
from vfeat.storage.root import Root
from vfeat.tables import layout


def dataset_root(uri: str) -> Root:
    """Return the root of the dataset at `uri`.

    Raises:
        JobError: there is no dataset.
    """
    root = Root(uri)
    if not root.exists(layout.DATASET):
        raise JobError(f"{uri} is not a vfeat dataset: it has no {layout.DATASET}")
    return root
