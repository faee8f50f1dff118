"""Training of an encoder with Ray Train: the workers of a cluster are the peers of a training.

A worker that dies costs only time: Ray Train starts all of them again, and they go on from the last
checkpoint, exactly. So the encoder's folder must be one that every node reaches: s3://, or a shared
disk.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchConfig, TorchTrainer, get_device

from vfeat.engine.ray_connection import Connection
from vfeat.errors import EnvironmentMissing, VfeatError
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.storage.temporary import TemporaryFolder
from vfeat.train.encoder.data.clip_list import Listing
from vfeat.train.encoder.device_plan import plan_devices
from vfeat.train.encoder.history import EpochLine
from vfeat.train.encoder.peers import Distributed
from vfeat.train.encoder.run import prepare
from vfeat.train.encoder.training import Training
from vfeat.train.encoder.watch import EncoderWatch, Phase

LOOK_EVERY_S = 0.5
DEATHS = 3  # of workers, before the training is given up


def train_on_ray(job: TrainEncoderJob, watch: EncoderWatch) -> dict[str, Any]:
    """Run `train_encoder` with `job.workers` workers of Ray Train.

    Raises:
        EnvironmentMissing: no cluster, or workers that died again and again.
        VfeatError: as `train_encoder`.
    """
    prepared = prepare(job, watch)
    if prepared.done is not None:
        return prepared.done
    connection = Connection(job.address)
    try:
        board = ray.remote(MessageBoard).options(num_cpus=0).remote()
        # Ray reports workers that die on stdout, where the result belongs.
        with (
            redirect_stdout(sys.stderr),
            TemporaryFolder("ray") as storage,
        ):
            trainer = _trainer(job, prepared.listing, board, storage)
            return _watched(trainer, board, watch)
    finally:
        connection.close()


def _trainer(job: TrainEncoderJob, listing: Listing, board: Any, storage: str) -> TorchTrainer:
    gpus = ray.cluster_resources().get("GPU", 0)
    use_gpu = bool(gpus) and job.device != "cpu"
    cpus = max(1, int(ray.cluster_resources().get("CPU", 1)) // job.workers)
    return TorchTrainer(
        _work,
        train_loop_config={"job": job, "listing": listing, "board": board},
        scaling_config=ray.train.ScalingConfig(
            num_workers=job.workers,
            use_gpu=use_gpu,
            resources_per_worker={"CPU": 1 if use_gpu else cpus, **({"GPU": 1} if use_gpu else {})},
        ),
        torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
        run_config=ray.train.RunConfig(
            storage_path=storage, failure_config=ray.train.FailureConfig(max_failures=DEATHS)
        ),
    )


class MessageBoard:
    """Actor between the leading worker and the driver: passes on news and the request to stop."""

    def __init__(self) -> None:
        self.news: list[tuple[str, tuple[Any, ...]]] = []
        self.stop_requested = False
        self.over = False

    def post(self, what: str, *content: Any) -> bool:
        """Add news; return whether to stop."""
        self.news.append((what, content))
        self.over = self.over or what == "failed"
        return self.stop_requested

    def is_over(self) -> bool:
        """Return whether an error of ours in a worker has ended the training."""
        return self.over

    def take(self, stop: bool) -> list[tuple[str, tuple[Any, ...]]]:
        """Return all news since the last call."""
        self.stop_requested = self.stop_requested or stop
        news, self.news = self.news, []
        return news


class RemoteWatch(EncoderWatch):
    """Watch of a leading worker; it forwards to the message board."""

    def __init__(self, board: Any) -> None:
        self._board, self._posted_s, self._stop = board, 0.0, False

    def advanced(self, phase: Phase, epoch: int, done: int, total: int, loss: float) -> None:
        now_s = time.monotonic()
        if now_s - self._posted_s > LOOK_EVERY_S:
            self._posted_s = now_s
            self._post("advanced", phase, epoch, done, total, loss)

    def epoch_ended(self, line: EpochLine) -> None:
        self._post("epoch_ended", line)

    def note(self, text: str) -> None:
        self._post("note", text)

    def stopping(self) -> bool:
        return self._stop

    def _post(self, what: str, *content: Any) -> None:
        self._stop = ray.get(self._board.post.remote(what, *content))


def _work(config: dict[str, Any]) -> None:
    """Run one worker; Ray Train has set up torch's process group."""
    job, board = config["job"], config["board"]
    if ray.get(board.is_over.remote()):  # started again, and the same would come again
        return
    context = ray.train.get_context()
    try:
        given = None if job.device == "cpu" else get_device()
        here = context.get_local_world_size()
        plan = plan_devices(job, context.get_local_rank(), here, given)
        peers = Distributed(plan.device)
        result = Training(job, config["listing"], peers, plan, RemoteWatch(board)).run()
    except VfeatError as error:
        ray.get(board.post.remote("failed", error))
        raise  # so that Ray Train ends the others, which may wait for this one
    if peers.is_leader:
        ray.get(board.post.remote("done", result))


def _watched(trainer: TorchTrainer, board: Any, watch: EncoderWatch) -> dict[str, Any]:
    """Run the trainer in a thread, and forward the news from here."""
    failures: list[Exception] = []

    def fit() -> None:
        try:
            trainer.fit()
        except Exception as error:  # Ray's, and whatever a worker raised
            failures.append(error)

    thread = threading.Thread(target=fit, name="vfeat-ray-train", daemon=True)
    thread.start()
    outcome: dict[str, Any] = {}
    calls: dict[str, Callable[..., None]] = {
        "advanced": watch.advanced, "epoch_ended": watch.epoch_ended, "note": watch.note,
    }  # fmt: skip
    while True:
        alive = thread.is_alive()
        for what, content in ray.get(board.take.remote(watch.stopping())):
            if what in calls:
                calls[what](*content)
            else:
                outcome.setdefault(what, content[0])
        if not alive:
            break
        thread.join(LOOK_EVERY_S)
    if "failed" in outcome:
        raise outcome["failed"]
    if "done" in outcome:
        result: dict[str, Any] = outcome["done"]
        return result
    why = failures[0] if failures else "no worker gave a reason"
    raise EnvironmentMissing(
        f"Ray Train gave up; the last checkpoint is kept, and the same command goes on: {why}"
    )
