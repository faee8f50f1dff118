"""The index of a dataset that is in force: the newest one, if it fits."""

from __future__ import annotations

from vfeat.search.index_file import IndexDamaged, IndexFile, open_index
from vfeat.storage.failures import MissingObject
from vfeat.tables import layout
from vfeat.tables.dataset import FeatureDataset
from vfeat.tables.kind import FEATURES

_TRIES = 3  # listings, while newer indexes replace each other


class PublishedIndex:
    """The index in force, which stays open between searches.

    Attributes:
        notice: why an index that is there is not used; None if it is, or if there is none.
    """

    def __init__(self, dataset: FeatureDataset) -> None:
        self._dataset = dataset
        self._number: int | None = None
        self._open: IndexFile | None = None
        self.notice: str | None = None

    def current(self) -> IndexFile | None:
        """Return the newest index of the dataset; None where there is none that fits."""
        for _ in range(_TRIES):
            numbers = index_numbers(self._dataset)
            if not numbers:
                self._number = self._open = self.notice = None
                return None
            if numbers[-1] == self._number:
                return self._open
            try:
                self._take(numbers[-1])
            except MissingObject:  # replaced since the listing
                continue
            return self._open
        return None

    def pass_over(self, reason: str) -> None:
        """Use this index no longer."""
        self._open, self.notice = None, f"{reason}; searched exactly"

    def reopen(self) -> None:
        """Open what is there once more."""
        self._number = self._open = self.notice = None

    def _take(self, number: int) -> None:
        self.notice = None
        try:
            self._open = open_index(self._dataset.root, layout.search_index_key(number))
            self._number = number
            if reason := misfit(self._dataset, self._open):
                self.pass_over(reason)
        except IndexDamaged as error:
            self._number = number
            self.pass_over(str(error))


def index_numbers(dataset: FeatureDataset) -> list[int]:
    """Return the numbers of the indexes of a dataset, oldest first."""
    return layout.search_index_numbers(dataset.root.list(layout.SEARCH))


def misfit(dataset: FeatureDataset, index: IndexFile) -> str | None:
    """Return why an index is not of this dataset; None if it is."""
    if index.about.fingerprint == dataset.recipe.fingerprint:
        return None
    return (
        f"{index.name} is of embeddings that another recipe made: run `vfeat index` with --rebuild"
    )


def file_sizes(dataset: FeatureDataset) -> dict[str, int]:
    """Return the size of each committed features file by its key, in order.

    A file that is being replaced has size -1, which no index holds.
    """
    sizes = dataset.root.list(layout.FEATURES)
    replaced = set(layout.marker_names(dataset.root.list(layout.INDEX)).values())
    return {
        FEATURES.key(shard): -1 if shard in replaced else sizes[f"{shard}.parquet"]
        for shard in layout.shard_names(sizes)
    }
