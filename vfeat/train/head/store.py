"""Files of a head's training: the checkpoint while it runs, the head's folder at its end.

OUT/checkpoint.pt       everything the next epoch depends on; replaced after each epoch,
                        removed when the heads are written
OUT/head.json, ...      one head; written last, its existence marks the head as done
OUT/<task>/head.json    several heads, and OUT/heads.json naming them, written last
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from vfeat.errors import EnvironmentMissing, JobError
from vfeat.models import save_model
from vfeat.sequences.head import HEAD_FILE, HEADS_FILE, Head
from vfeat.storage.root import Root
from vfeat.storage.temporary import TemporaryFolder
from vfeat.train.head.curves import draw_curves
from vfeat.train.head.trainer import HeadTrainer
from vfeat.train.identity import check_identity
from vfeat.train.metrics import Metrics
from vfeat.train.task import Split

CHECKPOINT = "checkpoint.pt"
METRICS_FILE = "metrics.json"
CURVES_FILE = "curves.png"


@dataclass(frozen=True)
class HeadResult:
    """A finished head and its metrics.

    Attributes:
        task, kind, classes: as in `Head`.
        uri: its folder.
        videos: number of videos of each split.
        epochs: number of epochs that were trained.
        best_epoch: the epoch whose weights were kept.
        metrics, baseline: by split, `val` and `test`; the baseline is mean pooling and a linear
            model.
    """

    task: str
    kind: str
    uri: str
    classes: tuple[str, ...]
    videos: Mapping[Split, int]
    epochs: int
    best_epoch: int
    metrics: Mapping[Split, Metrics]
    baseline: Mapping[Split, Metrics]

    def to_json(self) -> dict[str, Any]:
        """Return the result for `metrics.json` and `--json`."""
        return {
            **asdict(self),
            "classes": list(self.classes),
            "metrics": {split: m.to_json() for split, m in self.metrics.items()},
            "baseline": {split: m.to_json() for split, m in self.baseline.items()},
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> HeadResult:
        names = (*cls.__dataclass_fields__,)
        kept = {name: fields[name] for name in names}
        for name in ("metrics", "baseline"):
            kept[name] = {split: Metrics(**m) for split, m in kept[name].items()}
        return cls(**{**kept, "classes": tuple(kept["classes"])})


def head_uri(out: str, task: str, heads: int) -> str:
    """Return the folder of a task's head."""
    return out.rstrip("/") if heads == 1 else f"{out.rstrip('/')}/{task}"


def save_checkpoint(
    root: Root, identity: dict[str, Any], epoch: int, trainers: Sequence[HeadTrainer]
) -> None:
    """Replace the checkpoint in one step."""
    buffer = io.BytesIO()
    content = {
        "identity": json.dumps(identity, sort_keys=True),
        "epoch": epoch,
        "heads": {trainer.task.name: trainer.state() for trainer in trainers},
    }
    torch.save(content, buffer)
    root.replace_bytes(CHECKPOINT, buffer.getvalue())


def load_checkpoint(root: Root, identity: dict[str, Any], trainers: Sequence[HeadTrainer]) -> int:
    """Restore the trainers from the checkpoint; return its epoch, 0 without one.

    Raises:
        JobError: the checkpoint is of other settings, labels or features.
    """
    if not root.exists(CHECKPOINT):
        return 0
    data = io.BytesIO(root.read_bytes(CHECKPOINT))
    content = torch.load(data, map_location="cpu", weights_only=True)
    check_identity(root.uri, json.loads(content["identity"]), identity)
    for trainer in trainers:
        trainer.load(content["heads"][trainer.task.name])
    return int(content["epoch"])


def write_head(
    head: Head, trainer: HeadTrainer, result: HeadResult, identity: dict[str, Any]
) -> str | None:
    """Publish a head's folder, `head.json` last.

    Returns:
        Why there is no picture; None when there is one.
    """
    root = Root(head.uri)
    metrics = {
        **result.to_json(),
        "identity": identity,
        "history": [asdict(line) for line in trainer.history],
    }
    missing = None
    with TemporaryFolder("head") as folder:
        save_model(trainer.model, folder)
        for path in sorted(Path(folder).iterdir()):
            root.replace_file(path.name, path)
    root.replace_bytes(METRICS_FILE, _json(metrics))
    try:
        picture = draw_curves(
            head.task, trainer.history, result.metrics["val"], result.baseline.get("val")
        )
        root.replace_bytes(CURVES_FILE, picture)
    except EnvironmentMissing as error:
        missing = str(error)
    scores = {"metrics": result.metrics, "baseline": result.baseline}
    brief = {
        name: {split: dict([m.headline()]) for split, m in found.items()}
        for name, found in scores.items()
    }
    # Last: its existence marks the head as complete.
    root.replace_bytes(HEAD_FILE, _json({**head.to_json(), **brief}))
    return missing


def finish(root: Root, tasks: Sequence[str]) -> None:
    """Mark all heads as done, and remove the checkpoint."""
    if len(tasks) > 1:
        root.replace_bytes(HEADS_FILE, _json({"heads": list(tasks)}))
    root.delete(CHECKPOINT)


def finished(root: Root, tasks: Sequence[str], identity: dict[str, Any]) -> list[HeadResult] | None:
    """Return the results of an earlier run that has finished, None when there is none.

    Raises:
        JobError: it had other settings or data.
    """
    if not root.exists(HEADS_FILE if len(tasks) > 1 else HEAD_FILE):
        if root.exists(HEADS_FILE) or root.exists(HEAD_FILE):
            raise JobError(f"{root.uri} holds other heads already; use another --out")
        return None
    results = []
    for task in tasks:
        place = Root(head_uri(root.address, task, len(tasks)))
        if not place.exists(METRICS_FILE):
            raise JobError(f"{root.uri} holds other heads already; use another --out")
        # A finished run with other settings must not pass for this one.
        fields = json.loads(place.read_bytes(METRICS_FILE))
        check_identity(root.uri, fields["identity"], identity)
        results.append(HeadResult.from_json({**fields, "uri": place.uri}))
    return results


def _json(fields: dict[str, Any]) -> bytes:
    return (json.dumps(fields, indent=1, ensure_ascii=False) + "\n").encode()
