"""Stage two on one device: heads over stored sequences, whole or window by window.

A head without a window reads a video whole. A head with one reads sliding windows; its prediction
for the video is the mean of theirs (probabilities and logits alike), as in the LVU protocol.
Windows of one length share a batch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from vfeat.classify.spec import ClassifySpec, windows_of
from vfeat.engine.work_clock import WorkClock
from vfeat.engine.worker_protocol import Progress, ShardReport, UnitResult
from vfeat.errors import StorageError, UnitError, VfeatError
from vfeat.models.device import choose_device, device_name
from vfeat.models.vis4mer import ViS4mer
from vfeat.outcome import Outcome, RangeError
from vfeat.plan.sequence_ref import SequenceRef
from vfeat.plan.unit import Lease, SequenceUnit
from vfeat.sequences.head import Head, load_head_model
from vfeat.sequences.reader import FeatureSequence, SequenceReader
from vfeat.sequences.windows import SequenceWindow
from vfeat.storage.root import Root
from vfeat.tables import dataset
from vfeat.tables.kind import PREDICTIONS
from vfeat.tables.parquet import opened
from vfeat.tables.predictions import (
    PredictionRow,
    predictions_table,
    replaced_rows,
    write_predictions,
)
from vfeat.tables.publish import publish_file

BATCH_BYTES = 64 << 20  # bytes of float32 inputs in one forward pass


@dataclass(frozen=True)
class WindowPrediction:
    """Scores, logits and embedding of one window.

    Attributes:
        scores: [K], probabilities, or values in the labels' units.
        logits: [K].
        embedding: [W], input of the head's last layer.
        clips: number of present clips.
    """

    scores: np.ndarray
    logits: np.ndarray
    embedding: np.ndarray
    clips: int


class ClassifyWorker:
    """All heads of a job, loaded once. It takes one lease at a time: reading is far cheaper."""

    def __init__(self, spec: ClassifySpec) -> None:
        self.spec = spec
        self.root = Root(spec.root, patience_s=spec.patience_s)
        self.device = choose_device(spec.device)
        features = dataset.open(spec.features)
        self.stride_s = features.recipe.clip.stride_s
        self.clip_s = features.recipe.clip.clip_s
        self.models = [load_head_model(head).to(self.device) for head in spec.heads]
        self.readers = {head.level: SequenceReader(features, head.level) for head in spec.heads}
        self.counters = Progress(device=device_name(self.device))
        self._clock = WorkClock()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Do nothing: the worker holds no resource beyond its memory."""

    def progress(self) -> Progress:
        """Return the counters."""
        self.counters.run_s = self._clock.seconds
        return self.counters

    def run(self, lease: Lease) -> ShardReport:
        """Classify a lease's videos and publish their file."""
        with self._clock:
            return self._run(lease)

    def _run(self, lease: Lease) -> ShardReport:
        began = time.monotonic()
        with self._lock:
            # in the order of the features files, so that each is read once
            ordered = sorted(lease.to_do(SequenceUnit), key=lambda unit: unit.ref.pieces)
            results = [self._unit(unit) for unit in ordered]
        outcomes = tuple(result.outcome for result in results)
        if lease.alone is not None:
            return ShardReport(lease.shard, outcomes, False, time.monotonic() - began, results[0])
        written = time.monotonic()
        ours = publish_predictions(self.root, lease.shard, results, self.spec, again=lease.again)
        self.counters.write_s += time.monotonic() - written
        return ShardReport(lease.shard, outcomes, ours, time.monotonic() - began)

    def _unit(self, unit: SequenceUnit) -> UnitResult:
        try:
            places = list(self._rows(unit.ref))
        except VfeatError as error:
            return UnitResult(_failed(unit, error), ())
        rows = tuple(row for row in places if row is not None)
        empty = tuple((place, place) for place, row in enumerate(places) if row is None)
        self.counters.clips += len(rows)
        self.counters.units += 1
        outcome = Outcome(
            unit.video_id, unit.uri, unit.first_clip, unit.last_clip, len(rows), empty
        )
        return UnitResult(outcome, rows)

    def _rows(self, ref: SequenceRef) -> Iterator[PredictionRow | None]:
        """Yield rows in prediction order; None for a window without a clip (a gap)."""
        index = 0
        for head, model in zip(self.spec.heads, self.models, strict=True):
            stretches = windows_of(head, ref, self.spec, self.stride_s, self.clip_s)
            predictions = self._predict(head, model, ref, stretches)
            span = SequenceWindow(0, ref.clips - 1, 0.0, stretches[-1].end_s)
            yield self._row(ref, head, index, None, span, _mean(ref, predictions))
            index += 1
            if self.spec.windows:
                for number, (window, one) in enumerate(zip(stretches, predictions, strict=True)):
                    yield None if one is None else self._row(ref, head, index, number, window, one)
                    index += 1

    def _predict(
        self, head: Head, model: ViS4mer, ref: SequenceRef, windows: list[SequenceWindow]
    ) -> list[WindowPrediction | None]:
        """Predict each window, in order; None for one without clips.

        Windows of equal length share a batch.
        """
        predictions: list[WindowPrediction | None] = []
        batch: list[FeatureSequence] = []
        for window in windows:
            began = time.monotonic()
            sequence = self.readers[head.level].read(ref, window.first_clip, window.last_clip)
            _check_finite(ref, sequence)
            self.counters.read_s += time.monotonic() - began
            size = sequence.values_LD.nbytes
            other = batch and len(batch[0].mask_L) != len(sequence.mask_L)
            nothing = not sequence.mask_L.any()
            if batch and (other or nothing or (len(batch) + 1) * size > BATCH_BYTES):
                predictions += self._forward(head, model, batch)
                batch = []
            if nothing:
                predictions.append(None)
            else:
                batch.append(sequence)
        return predictions + (self._forward(head, model, batch) if batch else [])

    @torch.inference_mode()
    def _forward(
        self, head: Head, model: ViS4mer, batch: list[FeatureSequence]
    ) -> list[WindowPrediction]:
        began = time.monotonic()
        values_BLD = torch.from_numpy(np.stack([one.values_LD for one in batch])).to(self.device)
        mask_BL = torch.from_numpy(np.stack([one.mask_L for one in batch])).to(self.device)
        features_BW = model.forward_features(values_BLD, mask_BL)
        logits_BK = model.decoder(features_BW).float()
        if head.kind == "classification":
            scores_BK = logits_BK.softmax(-1)
        elif head.kind == "multilabel":
            scores_BK = logits_BK.sigmoid()
        else:
            scores_BK = logits_BK * head.scale + head.centre
        arrays = [t.float().cpu().numpy() for t in (scores_BK, logits_BK, features_BW)]
        self.counters.encode_s += time.monotonic() - began
        clips = [int(one.mask_L.sum()) // one.steps_per_clip for one in batch]
        return [WindowPrediction(*parts) for parts in zip(*arrays, clips, strict=True)]

    def _row(
        self,
        ref: SequenceRef,
        head: Head,
        index: int,
        number: int | None,
        window: SequenceWindow,
        prediction: WindowPrediction,
    ) -> PredictionRow:
        names = head.classes or (head.task,)
        order = np.argsort(-prediction.scores, kind="stable")[: self.spec.top_k]
        # Windows are laid over the sequence; times are those of the video.
        start_s = window.start_s + ref.left_out(window.first_clip) * self.stride_s
        end_s = window.end_s + ref.left_out(window.last_clip) * self.stride_s
        return PredictionRow(
            ref.video_id, ref.uri, index, head.task, number, start_s, end_s,
            prediction.clips,
            tuple((names[k], float(prediction.scores[k])) for k in order),
            tuple(float(value) for value in prediction.logits),
            prediction.embedding if self.spec.embedding else None,
        )  # fmt: skip


def publish_predictions(
    root: Root, shard: str, results: list[UnitResult], spec: ClassifySpec, *, again: bool = False
) -> bool:
    """Commit a shard of predictions; return False when another attempt was first.

    Args:
        root: the dataset.
        shard: name of the shard.
        results: results of its units.
        spec: settings of the stage.
        again: the shard is committed already; the results replace those of the same videos.
    """
    key = PREDICTIONS.key(shard)
    rows = [row for result in results for row in result.rows if isinstance(row, PredictionRow)]
    table = predictions_table(rows, shard, embedding=spec.embedding)
    outcomes = [result.outcome for result in results]
    if again:
        with opened(root, key, checked=True) as stored:
            table, outcomes = replaced_rows(table, stored, outcomes)
    recipe = spec.recipe().to_json()
    return publish_file(
        root,
        key,
        lambda path: write_predictions(path, table, outcomes, recipe),
        again=again,
        has_errors=any(outcome.errors for outcome in outcomes),
    )


def _mean(ref: SequenceRef, predictions: list[WindowPrediction | None]) -> WindowPrediction:
    """Average the predictions of a video's windows.

    Raises:
        UnitError: none of its clips is stored.
    """
    present = [one for one in predictions if one is not None]
    if not present:
        raise UnitError("unreadable", f"{ref.uri}: none of its {ref.clips} clips is stored")
    scores, logits, embedding = (
        np.mean([getattr(one, name) for one in present], axis=0)
        for name in ("scores", "logits", "embedding")
    )
    return WindowPrediction(scores, logits, embedding, ref.rows)


def _check_finite(ref: SequenceRef, sequence: FeatureSequence) -> None:
    bad = int((~np.isfinite(sequence.values_LD).all(axis=1)).sum())
    if bad:
        raise UnitError(
            "unreadable",
            f"{ref.uri}: {bad} of its stored feature vectors hold NaN or infinity; extract the "
            "video again into another root",
        )


def _failed(unit: SequenceUnit, error: VfeatError) -> Outcome:
    if isinstance(error, UnitError):
        error_class = error.error_class
    else:
        error_class = "storage" if isinstance(error, StorageError) else "internal"
    failure = RangeError(unit.first_clip, unit.last_clip, error_class, str(error), 1)
    return Outcome(unit.video_id, unit.uri, unit.first_clip, unit.last_clip, 0, errors=(failure,))
