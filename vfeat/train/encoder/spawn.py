"""Several processes on this machine: this one leads, the others are its children."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import torch.distributed as dist

from vfeat.errors import VfeatError
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.storage.temporary import TemporaryFolder
from vfeat.train.encoder.data.clip_list import Listing
from vfeat.train.encoder.device_plan import plan_devices
from vfeat.train.encoder.peers import Distributed
from vfeat.train.encoder.training import Training
from vfeat.train.encoder.watch import EncoderWatch

ERROR_WAIT_S = 5.0  # how long the error of a child that died is waited for


def spawned(job: TrainEncoderJob, listing: Listing, watch: EncoderWatch) -> dict[str, Any]:
    """Train with `job.workers` processes; return the content of `metrics.json`.

    Raises:
        VfeatError: the error that ended one of them.
    """
    plan_devices(job, 0, job.workers)  # refused here, before anything starts
    context = multiprocessing.get_context("spawn")
    errors: SimpleQueue[VfeatError] = context.SimpleQueue()
    with TemporaryFolder("peers") as folder:
        meeting = f"file://{Path(folder) / 'meeting'}"
        children = [
            context.Process(target=_child, args=(job, listing, rank, meeting, errors), daemon=True)
            for rank in range(1, job.workers)
        ]
        for child in children:
            child.start()
        try:
            return _take_part(job, listing, 0, meeting, watch)
        except VfeatError:
            raise
        except RuntimeError as error:  # torch's, when a peer is gone
            raise first_worker_error(children, errors) or error from None
        finally:
            for child in children:
                child.terminate()
                child.join()


def _take_part(
    job: TrainEncoderJob, listing: Listing, rank: int, meeting: str, watch: EncoderWatch
) -> dict[str, Any]:
    plan = plan_devices(job, rank, job.workers)
    backend = "nccl" if plan.device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=meeting, rank=rank, world_size=job.workers)
    try:
        return Training(job, listing, Distributed(plan.device), plan, watch).run()
    finally:
        dist.destroy_process_group()


def _child(
    job: TrainEncoderJob, listing: Listing, rank: int, meeting: str,
    errors: SimpleQueue[VfeatError],
) -> None:  # fmt: skip
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal signals all; the leader decides
    try:
        _take_part(job, listing, rank, meeting, EncoderWatch())
    except VfeatError as error:
        errors.put(error)
    except Exception as error:
        trace = "".join(traceback.format_exception(error))
        errors.put(VfeatError(f"worker {rank} of the training failed:\n{trace}"))


def first_worker_error(
    children: Sequence[BaseProcess], errors: SimpleQueue[VfeatError]
) -> VfeatError | None:
    """Return the error of the first child that died; None when all live."""
    for child in children:
        child.join(ERROR_WAIT_S / len(children))
    if not errors.empty():
        return errors.get()
    dead = [child for child in children if child.exitcode]
    if not dead:
        return None
    return VfeatError(
        f"worker {children.index(dead[0]) + 1} of the training died with exit code "
        f"{dead[0].exitcode}; the last checkpoint is kept, and the same command goes on from it"
    )
