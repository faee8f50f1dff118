"""The import worker: reads sequences, checks every step and commits shards."""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import ExitStack
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from vfeat.engine.work_clock import WorkClock
from vfeat.engine.worker_protocol import Progress, ShardReport, UnitResult
from vfeat.errors import StorageError, UnitError
from vfeat.importing.imported_rows import ImportedSequence, publish_imported
from vfeat.importing.recipe import is_half, width_of
from vfeat.importing.sequence_file import (
    SequenceFile,
    as_steps,
    explained,
    opened_sequences,
    suffix_of,
)
from vfeat.importing.spec import ImportSpec
from vfeat.outcome import Outcome, RangeError
from vfeat.plan.unit import Lease, Unit
from vfeat.storage.failures import MissingObject, ObjectChanged
from vfeat.storage.root import Root
from vfeat.video_facts import Probe, Timeline


class ImportWorker:
    """Reader of sequences; one lease at a time, and one file open at a time."""

    def __init__(self, spec: ImportSpec) -> None:
        self.spec = spec
        self.root = Root(spec.root, patience_s=spec.patience_s)
        self.counters = Progress()
        self._clock = WorkClock()
        self._lock = threading.Lock()
        self._open: tuple[str, SequenceFile] | None = None
        self._stack = ExitStack()

    def close(self) -> None:
        """Close the file that is open."""
        self._stack.close()
        self._open = None

    def progress(self) -> Progress:
        """Return the counters."""
        self.counters.run_s = self._clock.seconds
        return self.counters

    def run(self, lease: Lease) -> ShardReport:
        """Read a lease's sequences and publish their file."""
        with self._clock:
            return self._run(lease)

    def _run(self, lease: Lease) -> ShardReport:
        began = time.monotonic()
        with self._lock:
            reading = time.monotonic()
            try:
                results = [self._unit(unit) for unit in lease.to_do(Unit)]
            finally:
                self.close()
                self.counters.read_s += time.monotonic() - reading
        outcomes = tuple(result.outcome for result in results)
        if lease.alone is not None:
            return ShardReport(lease.shard, outcomes, False, time.monotonic() - began, results[0])
        written = time.monotonic()
        ours = publish_imported(self.root, lease.shard, results, self.spec.recipe)
        self.counters.write_s += time.monotonic() - written
        return ShardReport(lease.shard, outcomes, ours, time.monotonic() - began)

    def _unit(self, unit: Unit) -> UnitResult:
        self.counters.units += 1
        if unit.error_class is not None:  # the listing found it damaged
            failed = unit.failure(unit.error_class, unit.message or "", unit.attempts)
            return UnitResult(failed, ())
        try:
            result = self._read(unit)
        except (MissingObject, ObjectChanged):
            return UnitResult(unit.changed(), ())
        except UnitError as error:
            return UnitResult(
                unit.failure(error.error_class, error.message).after(unit.attempts), ()
            )
        except StorageError as error:
            return UnitResult(unit.failure("storage", str(error)).after(unit.attempts), ())
        self.counters.clips += result.outcome.rows
        return result

    def _read(self, unit: Unit) -> UnitResult:
        assert unit.source is not None
        recipe, name = self.spec.recipe, unit.uri.removeprefix(unit.source).removeprefix("/")
        with explained(unit.uri):
            array = self._file(unit).read(name)
            dtype = np.float16 if is_half(recipe) else np.float32
            values_LD = as_steps(array, self.spec.reading, width_of(recipe), dtype)
        digest = hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16)
        steps = len(values_LD)
        last = steps - 1 if unit.last_clip is None else min(unit.last_clip, steps - 1)
        first = unit.first_clip
        finite = np.isfinite(values_LD[first : last + 1]).all(axis=1)
        clips = (np.flatnonzero(finite) + first).astype(np.int32)
        outcome = Outcome(
            unit.video_id, unit.uri, first, last, len(clips),
            errors=tuple(_errors(unit.uri, finite, first)),
            probe=_probe(unit.uri, steps, recipe.clip.stride) if unit.last_clip is None else None,
        ).after(unit.attempts)  # fmt: skip
        rows = ImportedSequence(
            unit.video_id, unit.uri, clips, values_LD[clips], digest.hexdigest()
        )
        return UnitResult(outcome, (rows,))

    def _file(self, unit: Unit) -> SequenceFile:
        """Open a unit's file, which may be open already: units of a file stand together."""
        assert unit.source is not None
        if self._open is None or self._open[0] != unit.source:
            self.close()
            # a StorageError on the way out of `opened_sequences` stays one
            opened = self._stack.enter_context(
                opened_sequences(unit.source, self.spec.reading, unit.size_bytes, unit.etag)
            )
            self._open = (unit.source, opened)
        return self._open[1]


def _errors(uri: str, finite_L: npt.NDArray[np.bool_], first: int) -> list[RangeError]:
    """Return the ranges of steps that hold no finite vector."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], finite_L, [True]]).astype(np.int8)))
    return [
        RangeError(
            first + begin, first + end - 1, "unreadable",
            f"{uri}: steps {first + begin} to {first + end - 1} hold NaN, infinity or values "
            "beyond the stored type",
        )
        for begin, end in edges.reshape(-1, 2).tolist()
    ]  # fmt: skip


def _probe(uri: str, steps: int, step: Fraction) -> Probe:
    """Describe a sequence as a video is described: one tick is one step."""
    timeline = Timeline(step.numerator, step.denominator, 0, steps, steps)
    return Probe(suffix_of(uri).lstrip("."), "features", 0, 0, 0, timeline, steps, 0, 0.0, True)
