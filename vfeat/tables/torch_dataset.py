"""Stored sequences as a torch dataset; imported only where torch is needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch.utils.data import IterableDataset, get_worker_info


class Sequences(Protocol):
    """A features dataset, as far as it is needed here."""

    def sequences(self) -> Iterator[Any]: ...


class SequenceDataset(IterableDataset[dict[str, Any]]):
    """One item for each video; workers of a DataLoader take every n-th video."""

    def __init__(self, features: Sequences) -> None:
        self.features = features

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        index, count = (worker.id, worker.num_workers) if worker else (0, 1)
        for place, sequence in enumerate(self.features.sequences()):
            if place % count == index:
                yield {
                    "video_id": sequence.video_id,
                    "uri": sequence.uri,
                    "embeddings": torch.from_numpy(sequence.embeddings.astype("float32")),
                    "start_s": torch.from_numpy(sequence.start_s.copy()),
                }
