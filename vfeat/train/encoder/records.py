"""Files that a training writes beside its weights as it goes: metrics, errors, curves, events."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from vfeat.errors import EnvironmentMissing
from vfeat.storage.root import Root
from vfeat.storage.temporary import TemporaryFolder
from vfeat.train.encoder.data.broken import BrokenSamples
from vfeat.train.encoder.data.clip_list import Listing
from vfeat.train.encoder.history import EncoderResult, EpochLine, Progress
from vfeat.train.encoder.store import ERRORS_FILE
from vfeat.train.encoder.watch import EncoderWatch
from vfeat.train.metrics import Metrics
from vfeat.train.picture import to_png, two_diagrams
from vfeat.train.task import Split

CURVES_FILE = "curves.png"
DRAW_EVERY_S = 60.0
NO_EVENTS = "no TensorBoard events: tensorboardX is not installed. Run: pip install 'vfeat[train]'"


class Store(Protocol):
    """Folder of a training.

    Attributes:
        root: where it is.
    """

    root: Root

    def write_metrics(self, content: dict[str, Any]) -> None:
        """Replace `metrics.json`."""

    def write_file(self, name: str, content: bytes) -> None:
        """Replace a file for people."""


class Records:
    """`metrics.json`, `errors.csv`, `curves.png` and TensorBoard's events.

    Args:
        first_epoch: first epoch that will be written.
    """

    def __init__(
        self,
        store: Store,
        listing: Listing,
        broken: BrokenSamples,
        watch: EncoderWatch,
        first_epoch: int,
    ) -> None:
        self._store, self._listing, self._broken, self._watch = store, listing, broken, watch
        self._drawn_s = time.monotonic()
        self._events = Events(store, first_epoch)
        if self._events.missing:
            watch.note(self._events.missing)

    def epoch(self, progress: Progress) -> None:
        """Write an epoch; the picture, which takes a second, is not drawn after every one."""
        self._events.write(progress.history[-1])
        if time.monotonic() - self._drawn_s > DRAW_EVERY_S:
            self._draw(progress)
        self._write(progress, {}, finished=False)

    def end(self, progress: Progress, metrics: Mapping[Split, Metrics]) -> dict[str, Any]:
        """Write the final records; return the final content of `metrics.json`."""
        self._draw(progress)
        return self._write(progress, metrics, finished=True)

    def close(self) -> None:
        """Close the event file."""
        self._events.close()

    def _write(
        self, progress: Progress, metrics: Mapping[Split, Metrics], finished: bool
    ) -> dict[str, Any]:
        if len(self._broken):
            self._store.write_file(ERRORS_FILE, self._broken.to_csv())
        content = self._content(progress, metrics, finished)
        self._store.write_metrics(content)
        return content

    def _content(
        self, progress: Progress, metrics: Mapping[Split, Metrics], finished: bool
    ) -> dict[str, Any]:
        """Return the content of `metrics.json`."""
        result = EncoderResult(
            self._store.root.uri, self._listing.classes, self._listing.counts(), progress,
            len(self._broken), metrics, finished,
        )  # fmt: skip
        return result.to_json()

    def _draw(self, progress: Progress) -> None:
        try:
            self._store.write_file(CURVES_FILE, draw_curves(progress.history))
        except EnvironmentMissing as error:
            self._watch.note(str(error))
        self._drawn_s = time.monotonic()


def draw_curves(history: Sequence[EpochLine]) -> bytes:
    """Return a PNG of a training: its losses, and the share of right answers.

    Raises:
        EnvironmentMissing: matplotlib is not installed.
    """
    figure, losses, scores = two_diagrams()
    epochs = [line.epoch for line in history]
    for name in history[-1].losses:
        if name != "gradient_norm":
            losses.plot(epochs, [line.losses[name] for line in history], label=f"training {name}")
    measured = [line for line in history if line.val is not None]
    found = [(line.epoch, line.val) for line in measured if line.val is not None]
    if found:
        losses.plot([e for e, _ in found], [m.loss for _, m in found], label="validation loss")
        scores.plot([e for e, _ in found], [m.score for _, m in found], label="validation top-1")
        best = max((line for line in measured if line.best), key=lambda line: line.epoch)
        if best.val is not None:
            scores.plot([best.epoch], [best.val.score], "o", label=f"kept: epoch {best.epoch}")
    scores.plot(
        epochs, [line.waited_share for line in history], ":", label="time waiting for clips"
    )
    losses.set(title="loss", xlabel="epoch")
    scores.set(title="shares", xlabel="epoch", ylim=(0, 1))
    return to_png(figure)


class Events:
    """TensorBoard's event files, where tensorboardX is installed.

    Scalars of each epoch are written to a temporary file and published whole, S3 or not.
    """

    def __init__(self, store: Store, first_epoch: int) -> None:
        self._store = store
        self._writer: Any = None
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            return
        self._folder = TemporaryFolder("events")
        self._writer = SummaryWriter(self._folder.name, purge_step=first_epoch)

    @property
    def missing(self) -> str | None:
        """The reason why no events are written; None when they are."""
        return NO_EVENTS if self._writer is None else None

    def write(self, line: EpochLine) -> None:
        """Publish the scalars of one epoch."""
        if self._writer is None:
            return
        scalars = {f"train/{name}": value for name, value in line.losses.items()}
        scalars |= {"lr": line.lr, "waited_share": line.waited_share}
        scalars |= {f"val/{name}": value for name, value in (line.val_losses or {}).items()}
        if line.val is not None:
            name, value = line.val.headline()
            scalars |= {f"val/{name}": value, "val/loss": line.val.loss}
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, line.epoch)
        self._writer.flush()
        for path in Path(self._folder.name).iterdir():
            self._store.write_file(path.name, path.read_bytes())

    def close(self) -> None:
        """End the event file."""
        if self._writer is not None:
            self._writer.close()
            self._folder.cleanup()
