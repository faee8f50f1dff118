"""Stage one on one device: decoder children, the model, and the shards in progress.

A single pump thread takes events from the children and runs the model, so that batches mix clips of
several videos and of the next shard. `run` may be called from two threads: the second lease's units
queue behind the first's, and decoding never pauses between shards.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass

from vfeat.engine.feeding import Feed
from vfeat.engine.work_clock import WorkClock
from vfeat.engine.worker_protocol import Progress, ShardReport
from vfeat.errors import MachineFull
from vfeat.extract.encoder import Encoder
from vfeat.extract.fed_pool import FedPool
from vfeat.extract.in_flight import InFlight
from vfeat.extract.once_more import OnceMore
from vfeat.extract.open_shard import OpenShard, known_outcome, public_outcome, publish_shard
from vfeat.extract.spec import WorkerSettings
from vfeat.extract.store_wait import StoreWait, Tried
from vfeat.extract.worker_pool import make_pool
from vfeat.job.fingerprint import Recipe
from vfeat.kernels.heap import keep_freed_memory
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import ClipReady, DecodeTask, Event, TaskDone
from vfeat.media.shots.detectors import check_detector
from vfeat.models.device import device_name
from vfeat.plan.unit import Lease, Unit
from vfeat.storage.root import Root

IDLE_S = 0.05  # a batch that is not full waits this long for another clip
POLL_S = 0.002  # while a GPU computes, its results are looked for this often


@dataclass
class _Clip:
    shard: OpenShard
    unit: Unit
    index: int
    start_s: float
    end_s: float


class ExtractWorker:
    """Worker of stage one on one device. Close it, or use it as a context manager."""

    def __init__(
        self,
        recipe: Recipe,
        settings: WorkerSettings,
        cores: int = 1,
        pool: DecodePool | None = None,
    ) -> None:
        """Load the model and start the decoder children.

        Args:
            recipe: of the dataset.
            settings: of this worker.
            cores: of this machine, for all processes of the worker.
            pool: decodes instead of children of this worker; closed with it.
        """
        self.recipe = recipe
        self.root = Root(settings.root, patience_s=settings.patience_s)
        check_detector(recipe.clip.shots)
        self.encoder = Encoder(recipe, settings.device, settings.batch_size)
        gpu = self.encoder.device.type == "cuda"
        if gpu:
            self.encoder.warm_up()
        else:
            keep_freed_memory()
        if pool is None:
            pool = make_pool(recipe, settings, cores, gpu=gpu)
        self.pool = pool
        self.counters = Progress(device=device_name(self.encoder.device))
        self.fed_pool = FedPool(self.pool, settings.decode_workers, self.counters)
        self._store_wait = StoreWait(settings.patience_s)
        self._once_more = OnceMore()
        self._tasks: dict[int, tuple[OpenShard, Unit]] = {}
        self._taken: dict[int, int] = {}  # last clip of each task that came
        self._ids = itertools.count()
        self._clock = WorkClock()
        self._lock = threading.Lock()
        self._batches: InFlight[_Clip] = InFlight(self.encoder)
        self._failure: BaseException | None = None
        self._shards: dict[int, OpenShard] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._pump, name="vfeat-pump", daemon=True)
        self._thread.start()

    def __enter__(self) -> ExtractWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._closed.set()
        self._thread.join(timeout=30)  # a batch in the model is finished, not cut off
        self._store_wait.close()
        self.fed_pool.close()
        self.pool.close()

    def attach(self, feed: Feed) -> None:
        """Let a feeder decode a part of the units; see `vfeat.engine.feeding.FedWorker`."""
        self.fed_pool.attach(feed)

    def run(self, lease: Lease) -> ShardReport:
        """Process a whole lease and publish its file; blocks until the commit or the refusal."""
        with self._clock:
            return self._run(lease)

    def _run(self, lease: Lease) -> ShardReport:
        began = time.monotonic()
        shard = self._begin(lease)
        shard.finished.wait()
        with self._lock:
            del self._shards[id(shard)]
        failure = self._failure or shard.failure
        if failure is not None:
            raise failure
        results = shard.results()
        outcomes = tuple(result.outcome for result in results)
        # A unit that runs alone is a suspect: its result goes to the driver, not into a file.
        if lease.alone is not None:
            return ShardReport(lease.shard, outcomes, False, time.monotonic() - began, results[0])
        written = time.monotonic()
        ours = publish_shard(self.root, lease.shard, results, self.recipe, self.encoder.shape)
        self.counters.write_s += time.monotonic() - written
        return ShardReport(lease.shard, outcomes, ours, time.monotonic() - began)

    def progress(self) -> Progress:
        """Return the counters, with the children's processes and memory."""
        children = self.pool.stats()
        self.counters.run_s = self._clock.seconds
        self.counters.children = self.pool.children
        self.counters.child_s = self.pool.could_work_s(self.counters.run_s)
        self.counters.child_pids = tuple(child.pid for child in children)
        self.counters.child_rss_bytes = sum(child.rss_bytes for child in children)
        self.counters.store_waits = self._store_wait.held
        self.counters.feeds = self.fed_pool.sessions
        return self.counters

    def _begin(self, lease: Lease) -> OpenShard:
        units = lease.to_do(Unit)
        shard = OpenShard(lease, len(units), self.recipe.clip)
        with self._lock:
            self._shards[id(shard)] = shard
            # The pump has died and would never finish this shard.
            if self._failure is not None:
                shard.finished.set()
                return shard
        # Known failures first: once a task is submitted, the shard belongs to the pump.
        known = {unit.key: known_outcome(unit) for unit in units}
        for unit in units:
            if (outcome := known[unit.key]) is not None:
                shard.add_outcome(unit, outcome)
        for unit in units:
            if known[unit.key] is None:
                self._submit(shard, unit)
        return shard

    def _submit(self, shard: OpenShard, unit: Unit) -> None:
        task_id = next(self._ids)
        with self._lock:
            self._tasks[task_id] = (shard, unit)
        if shard.lease.alone is not None:  # a suspect kills the process that it is blamed for
            self.fed_pool.keep(task_id)
        self.pool.submit(
            DecodeTask(
                task_id,
                unit.video_id,
                unit.read_from,
                unit.size_bytes,
                unit.probe.timeline if unit.probe else None,
                unit.first_clip,
                unit.last_clip,
                unit.unit_clips,
                unit.etag,
            )
        )

    def _pump(self) -> None:
        try:
            last_event_s = time.monotonic()
            while not self._closed.is_set():
                event = self._next_event()
                now_s = time.monotonic()
                if event is not None:
                    last_event_s = now_s
                if isinstance(event, ClipReady):
                    self._take(event)
                elif isinstance(event, TaskDone):
                    self._finish(event)
                while (tried := self._store_wait.settled()) is not None:
                    self._settle(tried)
                is_idle = event is None and now_s - last_event_s >= IDLE_S
                if self._batches.waiting and (is_idle or self._batches.is_full or not self._tasks):
                    self._batches.launch()
                self._add_results()
        except BaseException as error:  # any error is raised again in the callers of run()
            with self._lock:
                self._failure = error
                for shard in self._shards.values():
                    shard.finished.set()

    def _next_event(self) -> Event | None:
        """Wait for an event of the decoders, or briefly while the GPU computes."""
        if self._batches.is_computing:
            return self.pool.next_event(POLL_S)
        began = time.monotonic()
        event = self.pool.next_event(IDLE_S)
        self.counters.wait_s += time.monotonic() - began
        return event

    def _take(self, event: ClipReady) -> None:
        shard, unit = self._tasks[event.task_id]
        if event.clip_index <= self._taken.get(event.task_id, -1):
            event.release()  # it came before: a feeder was lost, and the unit is decoded again
            return
        self._taken[event.task_id] = event.clip_index
        shard.unencoded += 1
        clip = _Clip(shard, unit, event.clip_index, event.start_s, event.end_s)
        self._batches.put(clip, event.frames, event.release)

    def _finish(self, event: TaskDone) -> None:
        with self._lock:
            shard, unit = self._tasks.pop(event.task_id)
        self._taken.pop(event.task_id, None)
        self.fed_pool.settled(event.task_id)
        self.counters.units += 1
        self.counters.read_s += event.read_s
        self.counters.decode_s += event.decode_s
        self.counters.blocked_s += event.blocked_s
        if event.no_room is not None:
            shard.fail(
                MachineFull(
                    f"{event.no_room}: free some space or raise the limit of open files there, "
                    "then run the same command again"
                )
            )
            return
        # Checked again: a file that was replaced meanwhile gave clips of both contents.
        outcome = known_outcome(unit) or public_outcome(unit, event.outcome)
        if self._store_wait.take(shard, unit, outcome):
            return
        if self._once_more.take(shard, unit, outcome):
            self._submit(shard, unit)
        else:
            shard.add_outcome(unit, self._once_more.settled(shard, unit, outcome))

    def _settle(self, tried: Tried) -> None:
        """Decode a unit again whose store was away, or let its failure stand."""
        if tried.again:
            self._submit(tried.shard, tried.unit)
        else:
            tried.shard.add_outcome(tried.unit, tried.outcome)

    def _add_results(self) -> None:
        """Add the rows of the batches that the device has done."""
        for clip, result in self._batches.results():
            self.counters.clips += 1
            clip.shard.add_clip(clip.unit, clip.index, clip.start_s, clip.end_s, result)
        self.counters.encode_s = self._batches.computed_s
        self.counters.hand_over_s = self._batches.hand_over_s
