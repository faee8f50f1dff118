"""Records that a training writes beside its weights, as it goes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from vfeat.errors import EnvironmentMissing
from vfeat.train.encoder.curves import draw_curves
from vfeat.train.encoder.data.broken import BrokenSamples
from vfeat.train.encoder.data.clip_list import Listing
from vfeat.train.encoder.events import Events
from vfeat.train.encoder.history import Progress
from vfeat.train.encoder.result import EncoderResult
from vfeat.train.encoder.store import ERRORS_FILE, EncoderStore
from vfeat.train.encoder.watch import EncoderWatch
from vfeat.train.metrics import Metrics
from vfeat.train.task import Split

CURVES_FILE = "curves.png"
DRAW_EVERY_S = 60.0


class Records:
    """`metrics.json`, `errors.csv`, `curves.png` and TensorBoard's events.

    Args:
        first_epoch: first epoch that will be written.
    """

    def __init__(
        self,
        store: EncoderStore,
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
        result = EncoderResult(
            self._store.root.uri, self._listing.classes, self._listing.counts(), progress,
            len(self._broken), metrics, finished,
        )  # fmt: skip
        content = result.to_json()
        self._store.write_metrics(content)
        return content

    def _draw(self, progress: Progress) -> None:
        try:
            self._store.write_file(CURVES_FILE, draw_curves(progress.history))
        except EnvironmentMissing as error:
            self._watch.note(str(error))
        self._drawn_s = time.monotonic()
