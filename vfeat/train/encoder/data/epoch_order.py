"""The clips of an epoch or an evaluation, and of each of their batches.

Everything here depends on the seed, the epoch and the row in the list and, if learned videos are
skipped, on how well they were learned: not on what was broken, on the workers, or on where a run
was cut and resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.train.encoder.data.clip_list import Sample
from vfeat.train.encoder.data.footage import Footage
from vfeat.train.seeds import draw

Item = TypeVar("Item")


@dataclass(frozen=True)
class Pick:
    """One clip to be decoded.

    Attributes:
        footage: its sample and video.
        clip_index: index in the video's grid.
        seed: seed of the clip's own augmentations.
    """

    footage: Footage
    clip_index: int
    seed: int = 0

    @property
    def row(self) -> int:
        """Row number in the clip list, from 0."""
        return self.footage.sample.row

    @property
    def label(self) -> int:
        """Index of the class."""
        return self.footage.sample.label


Group = tuple[Pick, ...]  # the clips of one batch
SKIP_PARTS = 10_000  # parts that a share is drawn in
LEARNED_THRESHOLD = 0.9
"""From this probability of its label on, a video is learned, and skipped in some epochs."""


def train_groups(
    samples: Sequence[Sample], footage: Mapping[int, Footage], job: TrainEncoderJob, epoch: int,
    known: Mapping[int, float] | None = None,
) -> list[Group]:  # fmt: skip
    """Draw the batches of an epoch: every video `repeats` times, each time with a clip of its own.

    The repeats of a video stand beside each other, so in the same batch or the next one.

    Args:
        samples: samples of the training split, in the list's order.
        footage: footage of the samples that can be read, by row.
        job: settings of the training.
        epoch: number of the epoch, from 1.
        known: last predicted probability of each video's label, by row. A video above the threshold
            is skipped in the share `rest` of the epochs, so that most time goes to videos that are
            not learned yet (online batch selection: Loshchilov and Hutter, 2015).
    """
    learned = {row for row, given in (known or {}).items() if given >= LEARNED_THRESHOLD}
    active_samples = [
        s for s in samples if s.row not in learned or not _is_skipped(s, job, epoch)
    ] or samples
    ordered = sorted(active_samples, key=lambda sample: draw(job.seed, "order", epoch, sample.row))
    places = [(sample.row, repeat) for sample in ordered for repeat in range(job.repeats)]
    return [
        tuple(_drawn(footage[row], job, epoch, repeat) for row, repeat in group if row in footage)
        for group in _grouped(places, job.batch_size)
    ]


def _is_skipped(sample: Sample, job: TrainEncoderJob, epoch: int) -> bool:
    return draw(job.seed, "rest", epoch, sample.row) % SKIP_PARTS < job.rest * SKIP_PARTS


def _drawn(footage: Footage, job: TrainEncoderJob, epoch: int, repeat: int) -> Pick:
    name = (job.seed, epoch, footage.sample.row, repeat)
    clip = footage.first_clip + draw("clip", *name) % footage.clips
    return Pick(footage, clip, draw("augment", *name))


def evaluation_groups(footage: Sequence[Footage], job: TrainEncoderJob) -> list[Group]:
    """Group `test_clips` clips of every video, evenly spread; fewer if it has fewer."""
    picks = [
        Pick(f, f.first_clip + clip) for f in footage for clip in spread(f.clips, job.test_clips)
    ]
    return _grouped(picks, max(1, job.batch_size // job.crops))


def spread(count: int, wanted: int) -> list[int]:
    """Return `wanted` of `count` places, at the middles of equal parts; all if there are fewer."""
    if wanted >= count:
        return list(range(count))
    return [(2 * part + 1) * count // (2 * wanted) for part in range(wanted)]


def _grouped(items: Sequence[Item], size: int) -> list[tuple[Item, ...]]:
    return [tuple(items[first : first + size]) for first in range(0, len(items), size)]
