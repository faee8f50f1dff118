"""The folder of a training of words.

NETWORK/config.json, model.safetensors, tokenizer.json   the best weights so far: usable at any time
NETWORK/train.json      the job, the grid of clips, the preparation of frames, the identity; for
                        words alone also the digest of the weights whose vectors they find
NETWORK/metrics.json    every epoch; at the end val and test, and `finished: true`
NETWORK/errors.csv, curves.png, events.out.tfevents.*    as `train encoder` writes them
NETWORK/checkpoint.pt   everything the next step depends on; removed at the end
NETWORK/frozen.npz      vectors of the clips when words alone are trained; removed at the end
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch

from vfeat.addresses import without_secrets
from vfeat.job.train_retrieval import TrainRetrievalJob, default_numbers
from vfeat.models.checkpoint import save_model
from vfeat.models.retrieval.network import Retrieval
from vfeat.models.retrieval.text_tower import TextTower
from vfeat.models.retrieval.tokenizer import TOKENIZER_FILE
from vfeat.storage.root import Root
from vfeat.storage.temporary import TemporaryFolder
from vfeat.train.encoder.data.clip_list import Listing
from vfeat.train.encoder.history import Progress
from vfeat.train.encoder.store import CHECKPOINT, METRICS_FILE, TRAIN_FILE, Identity
from vfeat.train.identity import check_identity
from vfeat.train.retrieval.captions import CaptionList
from vfeat.train.retrieval.trainer import RetrievalTrainer
from vfeat.train.task import SPLITS

FROZEN_FILE = "frozen.npz"


def identity_of(job: TrainRetrievalJob, captions: CaptionList, digests: dict[str, str]) -> Identity:
    """Return everything that decides a training's numbers.

    Args:
        job: settings.
        captions: clips, by name and size, and captions.
        digests: of the weights and the vocabulary.
    """
    listing: Listing = captions.listing
    lines = [
        (split, s.row, s.video.uri.rpartition("/")[2], s.video.size_bytes, s.start_s, s.end_s)
        for split in SPLITS
        for s in listing.splits[split]
    ]
    numbers = {**job.numbers(), **digests, "samples": _hash(lines), "captions": captions.digest()}
    return Identity(without_secrets(json.loads(json.dumps(numbers))))


def _hash(lines: object) -> str:
    return blake2b(repr(lines).encode(), digest_size=16).hexdigest()


class RetrievalStore:
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
        check_identity(self.root.uri, {**default_numbers(), **there["identity"]}, self._identity)
        if not self.root.exists(METRICS_FILE):
            return None
        metrics: dict[str, Any] = json.loads(self.root.read_bytes(METRICS_FILE))
        return metrics if metrics["finished"] else None

    def begin(self, job: TrainRetrievalJob, tokenizer: str, kernel: str, finds: str | None) -> None:
        """Write what is trained here.

        Args:
            job: settings.
            tokenizer: content of tokenizer.json.
            kernel: name of the kernels that are used.
            finds: digest of the weights whose vectors words alone find; None for a dual encoder.
        """
        encoder_job = job.as_encoder_job
        content = {
            "job": without_secrets(job.model_dump(mode="json")),
            "clip": asdict(encoder_job.clip_spec),
            "frame": asdict(encoder_job.frame_spec(1)),
            "flips": {},
            "kernel": kernel,
            "finds": finds,
            "identity": self._identity,
        }
        self.root.replace_bytes(TOKENIZER_FILE, tokenizer.encode())
        self.root.replace_bytes(TRAIN_FILE, _json(content))

    def save_checkpoint(self, trainer: RetrievalTrainer, progress: Progress) -> None:
        """Replace the checkpoint in one step."""
        buffer = io.BytesIO()
        torch.save({"progress": json.dumps(progress.to_json()), **trainer.state()}, buffer)
        self.root.replace_bytes(CHECKPOINT, buffer.getvalue())

    def load_checkpoint(self, trainer: RetrievalTrainer) -> Progress | None:
        """Restore the trainer from the checkpoint; return its progress, None without one."""
        if not self.root.exists(CHECKPOINT):
            return None
        data = io.BytesIO(self.root.read_bytes(CHECKPOINT))
        content = torch.load(data, map_location="cpu", weights_only=True)
        trainer.load(content)
        return Progress.from_json(json.loads(content["progress"]))

    def save_best(self, model: Retrieval | TextTower) -> None:
        """Publish the weights that are the best so far."""
        with TemporaryFolder("words") as folder:
            save_model(model, folder)
            for path in sorted(Path(folder).iterdir()):
                self.root.replace_file(path.name, path)

    def write_metrics(self, content: dict[str, Any]) -> None:
        """Replace `metrics.json`."""
        self.root.replace_bytes(METRICS_FILE, _json(content))

    def write_file(self, name: str, content: bytes) -> None:
        """Replace a file."""
        self.root.replace_bytes(name, content)

    def end(self) -> None:
        """Remove what only a training that goes on needs."""
        for name in (CHECKPOINT, FROZEN_FILE):
            if self.root.exists(name):
                self.root.delete(name)


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
