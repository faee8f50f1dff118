"""`vfeat train encoder` from end to end, on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vfeat.job.train_encoder import TrainEncoderJob
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
    """Read the list and refuse a training that cannot run.

    Raises:
        JobError, EnvironmentMissing: as `train_encoder`.
    """
    listing = read_listing(job.source, job.seed, labelled=job.labelled)
    check_shape(job, len(listing.classes))
    for note in listing.notes:
        watch.note(note)
    store = EncoderStore(job.out, Identity.of(job, listing))
    done = store.finished()
    if done is not None:
        watch.note(f"Nothing to do: {store.root.uri} holds this encoder already.")
    return Prepared(listing, done)
