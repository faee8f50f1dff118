"""Outline of a training of words, computed without training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from vfeat.job.train_retrieval import TrainRetrievalJob
from vfeat.models.retrieval.network import Retrieval
from vfeat.models.retrieval.text_tower import TextTower, TextTowerConfig
from vfeat.train.retrieval.network import check_shape
from vfeat.train.retrieval.run import prepare
from vfeat.train.task import SPLITS


@dataclass(frozen=True)
class Outline:
    """The answer to `--dry-run`.

    Attributes:
        clips: rows of each split.
        captions: different captions.
        words: number of words, special ones included.
        parameters: parameters that learn.
        steps: steps of the optimizer, all epochs.
    """

    clips: dict[str, int]
    captions: int
    words: int
    parameters: int
    steps: int

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def outline(job: TrainRetrievalJob) -> Outline:
    """Compute the outline; reads the list, the vocabulary and the sizes of the weights.

    Raises:
        JobError, EnvironmentMissing: as `train_retrieval` would.
    """
    prepared = prepare(job)
    prepared.store.finished()
    config = check_shape(prepared.job, prepared.vocabulary.size)
    with torch.device("meta"):
        network = TextTower(config) if isinstance(config, TextTowerConfig) else Retrieval(config)
    splits = prepared.captions.listing.splits
    return Outline(
        {split: len(splits[split]) for split in SPLITS},
        len(set(prepared.captions.captions.values())),
        prepared.vocabulary.size,
        sum(p.numel() for p in network.parameters() if p.requires_grad),
        job.epochs * -(-len(splits["train"]) // job.batch_size),
    )
