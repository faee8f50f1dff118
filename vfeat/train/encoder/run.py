"""`vfeat train encoder` from end to end, on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.models.weights import find_weights
from vfeat.train.encoder.data.clip_list import Listing, read_listing
from vfeat.train.encoder.device_plan import plan_devices
from vfeat.train.encoder.dry_run import check_shape
from vfeat.train.encoder.peers import Peers
from vfeat.train.encoder.spawn import spawned
from vfeat.train.encoder.store import EncoderStore, Identity
from vfeat.train.encoder.training import Training
from vfeat.train.encoder.watch import EncoderWatch


def train_encoder(job: TrainEncoderJob, watch: EncoderWatch | None = None) -> dict[str, Any]:
    """Train, measure and write an encoder; the same call again goes on or returns at once.

    Returns:
        The content of `metrics.json`.

    Raises:
        JobError: settings, a list or videos that cannot be used, in a sentence.
        Interrupted: the watch asked to stop; the same call goes on.
    """
    watch = watch or EncoderWatch()
    prepared = prepare(job, watch)
    if prepared.done is not None:
        return prepared.done
    if job.workers > 1:
        return spawned(job, prepared.listing, watch)
    return Training(job, prepared.listing, Peers(), plan_devices(job), watch).run()


@dataclass(frozen=True)
class Prepared:
    """A training that may begin.

    Attributes:
        listing: samples of the list.
        done: content of `metrics.json` if nothing is left to do, else None.
    """

    listing: Listing
    done: dict[str, Any] | None


def prepare(job: TrainEncoderJob, watch: EncoderWatch) -> Prepared:
    """Make the videos and read the list; refuse settings that are not possible.

    Raises:
        JobError, EnvironmentMissing: as `train_encoder`.
    """
    listing = read_listing(list_of(job, watch), job.seed, labelled=job.labelled)
    check_shape(job, len(listing.classes))
    for note in listing.notes:
        watch.note(note)
    store = EncoderStore(job.out, Identity.of(job, listing))
    done = store.finished()
    if done is not None:
        watch.note(f"Nothing to do: {store.root.uri} holds this encoder already.")
    return Prepared(listing, done)


def list_of(job: TrainEncoderJob, watch: EncoderWatch) -> str:
    """Return the list; make it with its videos if the job has a generator."""
    if job.generate is None:
        assert job.source is not None  # the job has checked it
        return job.source
    find_weights(job.weights)  # before minutes of rendering
    corpus = import_module("vfeat.synthetic")  # needs OpenCV and FFmpeg's encoders, not torch
    corpus.check_earlier(job.generate.folder, job.generate.earlier)
    made: str = corpus.write_corpus(
        job.generate.folder,
        clips=job.generate.clips,
        seed=job.generate.seed,
        turns=job.generate.turns,
        seams_s=job.generate.seams_s,
        workers=os.cpu_count() or 1,
        progress=lambda done, total: watch.advanced("generate", 0, done, total, 0.0),
    )
    if job.generate.earlier:
        made = corpus.write_joined(job.generate.folder, job.generate.earlier)
    return made
