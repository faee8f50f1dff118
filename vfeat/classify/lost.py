"""Videos that the corpus of a features dataset has lost: a prediction stands for none of them."""

from __future__ import annotations

import pyarrow as pa

from vfeat.corpus.ids import raw_ids
from vfeat.storage.root import Root
from vfeat.tables.dataset_state import dataset_state
from vfeat.tables.index_rows import is_out
from vfeat.tables.sorted_ids import SortedIds, ids_of


class LostVideos:
    """Videos that are gone from a features dataset at one time, removed or replaced.

    Attributes:
        ids: of these videos.
    """

    def __init__(self, features: Root) -> None:
        state = dataset_state(features, pass_damaged=True)
        tables = state.tables(["video_id", "changed", "gone"])
        self.ids = SortedIds.union(ids_of(t.filter(is_out(t)).column("video_id")) for t in tables)

    def is_gone(self, videos: pa.Table) -> pa.BooleanArray:
        """Return for each video (column video_id, hex) whether it is one of these."""
        return pa.array(self.ids.contains(raw_ids(videos.column("video_id"))), pa.bool_())
