"""The folder of an encoder's training.

ENCODER/config.json, model.safetensors   the best weights so far: usable at any moment
ENCODER/labels.json       class names, in the order of the network's outputs
ENCODER/train.json        the job, the grid of clips, the preparation of frames, the identity
ENCODER/metrics.json      every epoch; at the end val and test, by class, and `finished: true`
ENCODER/errors.csv        videos that could not be read
ENCODER/curves.png, events.out.tfevents.*     for people
ENCODER/checkpoint.pt     everything the next step depends on; removed at the end
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch

from vfeat.addresses import without_secrets
from vfeat.job.train_encoder import TrainEncoderJob, default_numbers
from vfeat.models import VideoMamba, create_model, save_model
from vfeat.models.videomamba import Trunk
from vfeat.storage.root import Root
from vfeat.storage.temporary import TemporaryFolder
from vfeat.train.encoder.data.augment import read_flips
from vfeat.train.encoder.data.clip_list import Listing
from vfeat.train.encoder.history import Progress
from vfeat.train.encoder.trainer import EncoderTrainer
from vfeat.train.identity import check_identity
from vfeat.train.task import SPLITS

CHECKPOINT = "checkpoint.pt"
LABELS_FILE = "labels.json"
TRAIN_FILE = "train.json"
METRICS_FILE = "metrics.json"
ERRORS_FILE = "errors.csv"


@dataclass(frozen=True)
class Identity:
    """Everything that decides a training's numbers: settings, and every sample of the list."""

    fields: dict[str, Any]

    @classmethod
    def of(cls, job: TrainEncoderJob, listing: Listing) -> Identity:
        """Build from job and list.

        Videos count by name and size, so that a moved folder is the same.
        """
        digest = blake2b(repr(listing.classes).encode(), digest_size=16)
        for split in SPLITS:
            for s in listing.splits[split]:
                name = s.video.uri.rpartition("/")[2]
                line = (split, s.row, name, s.video.size_bytes, s.label, s.start_s, s.end_s)
                digest.update(repr(line).encode())
        numbers = json.loads(json.dumps({**job.numbers(), "samples": digest.hexdigest()}))
        return cls(without_secrets(numbers))


class EncoderStore:
    """The folder of one training."""

    def __init__(self, out: str, identity: Identity) -> None:
        self.root, self._identity = Root(out), identity.fields

    def finished(self) -> dict[str, Any] | None:
        """Return `metrics.json` of an earlier run that has finished, else None.

        Raises:
            JobError: the folder holds a training with other settings or data.
        """
        if not self.root.exists(TRAIN_FILE):
            return None
        there = json.loads(self.root.read_bytes(TRAIN_FILE))
        # A field that was added to vfeat since then counts with its default.
        check_identity(self.root.uri, {**default_numbers(), **there["identity"]}, self._identity)
        if not self.root.exists(METRICS_FILE):
            return None
        metrics: dict[str, Any] = json.loads(self.root.read_bytes(METRICS_FILE))
        return metrics if metrics["finished"] else None

    def begin(self, job: TrainEncoderJob, classes: Sequence[str], kernel: str) -> None:
        """Write what is trained here; `classes` is empty if nothing is classified."""
        if classes:
            self.root.replace_bytes(LABELS_FILE, _json(list(classes)))
        flips = read_flips(job, classes) if job.test_flips else ()
        content = {
            "job": without_secrets(job.model_dump(mode="json")),
            "clip": asdict(job.clip_spec),
            "frame": asdict(job.frame_spec(job.crops)),
            "flips": {spec.flip: spec.becomes for spec in flips},
            "kernel": kernel,
            "identity": self._identity,
        }
        self.root.replace_bytes(TRAIN_FILE, _json(content))

    def save_checkpoint(self, trainer: EncoderTrainer, progress: Progress) -> None:
        """Replace the checkpoint in one step."""
        buffer = io.BytesIO()
        torch.save({"progress": json.dumps(progress.to_json()), **trainer.state()}, buffer)
        self.root.replace_bytes(CHECKPOINT, buffer.getvalue())

    def load_checkpoint(self, trainer: EncoderTrainer) -> Progress | None:
        """Restore the trainer from the checkpoint; return its progress, None without one."""
        if not self.root.exists(CHECKPOINT):
            return None
        data = io.BytesIO(self.root.read_bytes(CHECKPOINT))
        content = torch.load(data, map_location="cpu", weights_only=True)
        trainer.load(content)
        return Progress.from_json(json.loads(content["progress"]))

    def save_best(self, model: Trunk) -> None:
        """Publish the weights that are the best so far."""
        with TemporaryFolder("encoder") as folder:
            save_model(model, folder)
            for path in sorted(Path(folder).iterdir()):
                self.root.replace_file(path.name, path)

    def load_best(self) -> VideoMamba:
        """Load the published weights."""
        return create_model("videomamba", weights=self.root.address)

    def write_metrics(self, content: dict[str, Any]) -> None:
        """Replace `metrics.json`."""
        self.root.replace_bytes(METRICS_FILE, _json(content))

    def write_file(self, name: str, content: bytes) -> None:
        """Replace a file for people."""
        self.root.replace_bytes(name, content)

    def end(self) -> None:
        """Remove the checkpoint: the training has finished."""
        self.root.delete(CHECKPOINT)


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
