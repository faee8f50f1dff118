"""Everything that stays open while the page is served."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import vfeat
from vfeat.browse.copies import Copies
from vfeat.browse.corrections import Corrections
from vfeat.browse.label_counts import LabelCounts
from vfeat.browse.queries import Queries
from vfeat.browse.search_view import SearchView
from vfeat.browse.thumbnails import Thumbnails
from vfeat.browse.time_line import lined_datasets
from vfeat.browse.videos import Videos
from vfeat.browse.words import Words
from vfeat.errors import VfeatError
from vfeat.plain_text import one_line
from vfeat.search.dataset import open as open_dataset

_CHILDREN = 2


class Opened:
    """A dataset with its searches, pictures and copies."""

    def __init__(
        self,
        uri: str,
        predictions: list[str],
        duplicates: str | None,
        keep_bytes: int,
        device: str = "auto",
        labels: str | None = None,
    ) -> None:
        """Open everything; nothing is written but labels, later, where a file is named for them.

        Raises:
            JobError: there is no features dataset, or one of the others is none.
        """
        self.dataset = open_dataset(uri, keep_bytes)
        self.corrections = None if labels is None else Corrections(labels, self.dataset.root)
        self.videos = Videos(self.dataset.root)
        self.lined = lined_datasets(self.dataset.root, self.videos, predictions)
        self.copies = Copies(duplicates)
        self.search = SearchView(self.dataset, self.corrections)
        self.queries = Queries(self.dataset.recipe, device)
        self.words = Words(self.dataset.recipe, device)
        self.labels = LabelCounts(self.dataset)
        self.thumbnails = Thumbnails(_CHILDREN)

    def start(self) -> None:
        """Count labels and read vectors, beside the first requests."""
        self.labels.start()
        threading.Thread(target=self._warm, name="vfeat-vectors", daemon=True).start()

    def about(self) -> dict[str, Any]:
        """Return what the page shows of the dataset as a whole."""
        _, videos = self.videos.named("", 0, 0)
        name = self.dataset.root.uri.rstrip("/").rpartition("/")[2]
        return {
            "name": one_line(name), "videos": videos, "version": vfeat.__version__,
            "takes_clips": not self.dataset.recipe.is_imported,
            "takes_words": self.words.are_taken,
            "takes_labels": self.corrections is not None, **self.labels.so_far(),
        }  # fmt: skip

    def close(self) -> None:
        """End children and threads."""
        self.labels.close()
        self.thumbnails.close()

    def _warm(self) -> None:
        """Start a decoder child, and read the vectors that stay in memory.

        The first picture and the first search are then about as fast as others.
        """
        with suppress(VfeatError):  # the request itself reports it
            for video in self.videos.named("", 0, 1)[0]:
                self.thumbnails.ask(video, 0.0)
            self.search.warm()
