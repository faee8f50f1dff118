"""The table of jobs: one line for each stage and each training.

A line names things by `module:name` and imports none of them, so that it may stand below all
of them, and so that a command loads only what it carries out.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class JobKind:
    """Where the parts of one kind of job are.

    Attributes:
        job: the pydantic model of its fields.
        run: for a stage, the class that carries it out (`StageRun`); for a training, None.
        dataset: for a stage, the kind of dataset that it writes (`TableKind`).
        carry_out: for a training, the function of the command line that does it: it takes the
            job, whether to preview only and whether to print to stderr, and returns the result as
            JSON has it.
    """

    job: str
    run: str | None = None
    dataset: str | None = None
    carry_out: str | None = None


KINDS: dict[str, JobKind] = {
    "extract": JobKind(
        "vfeat.job.spec:ExtractJob", "vfeat.extract.run:ExtractRun", "vfeat.tables.kind:FEATURES"
    ),
    "classify": JobKind(
        "vfeat.job.spec:ClassifyJob",
        "vfeat.classify.run:ClassifyRun",
        "vfeat.tables.kind:PREDICTIONS",
    ),
    "import": JobKind(
        "vfeat.job.spec:ImportJob", "vfeat.importing.run:ImportRun", "vfeat.tables.kind:FEATURES"
    ),
    "train-head": JobKind(
        "vfeat.job.train_head:TrainHeadJob", carry_out="vfeat.cli.train:carry_out"
    ),
    "train-encoder": JobKind(
        "vfeat.job.train_encoder:TrainEncoderJob",
        carry_out="vfeat.cli.train_encoder:carry_out",
    ),
    "train-retrieval": JobKind(
        "vfeat.job.train_retrieval:TrainRetrievalJob",
        carry_out="vfeat.cli.train_retrieval:carry_out",
    ),
}


def load(name: str) -> Any:
    """Import what a `module:name` of the table stands for."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
