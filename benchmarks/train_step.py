"""A training step of VideoMamba on a CPU: our C++ kernels beside the torch fallback.

    python -m benchmarks.train_step [--model videomamba_tiny] [--size 112] [--batch-size 2]
                                    [--rounds 5] [--json FILE]

A step is what `vfeat train encoder` does with a batch that has been decoded: augmentation, forward,
backward, clipping, AdamW. Both sides start from the same weights and learn from the same clips, in
turn in one process; medians of the rounds. Nothing is timed before the loss and every gradient of
the two agree within 1e-3 of the gradient's largest value.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from vfeat.corpus import Video
from vfeat.job.spec import parse_train_encoder
from vfeat.kernels.processor import processor
from vfeat.media.timeline import Timeline
from vfeat.models import VideoMamba, create_model
from vfeat.ops.registry import VARIABLE
from vfeat.train.encoder.augment import Augment, channels_first, normalised
from vfeat.train.encoder.listing import Sample
from vfeat.train.encoder.objective import Classification
from vfeat.train.encoder.order import Pick
from vfeat.train.encoder.peers import Peers
from vfeat.train.encoder.probing import Footage
from vfeat.train.encoder.trainer import EncoderTrainer

SIDES = ("cpu", "torch")  # as VFEAT_KERNEL calls them
GATE = 1e-3
CLASSES = 10


class Side:
    """A trainer that runs under one back-end."""

    def __init__(self, name: str, model: VideoMamba, options: argparse.Namespace) -> None:
        self.name = name
        self.seconds: list[float] = []
        job = parse_train_encoder(
            {
                "source": "none.csv", "out": "none", "model": options.model, "jitter": 0.3,
                "num_frames": options.num_frames, "size": options.size, "device": "cpu",
                "hflip": True, "batch_size": options.batch_size,
            }
        )  # fmt: skip
        objective = Classification(copy.deepcopy(model), 0.1)
        augment = Augment(job, [str(k) for k in range(CLASSES)])
        self.trainer = EncoderTrainer(objective, augment, job, 100, torch.device("cpu"), Peers())

    def step(self, frames: torch.Tensor, picks: tuple[Pick, ...], number: int) -> None:
        """One step, timed."""
        os.environ[VARIABLE] = self.name
        frames = frames.clone()  # augmentation overwrites it
        began = time.perf_counter()
        self.trainer.step(frames, picks, 1, number)
        self.seconds.append(time.perf_counter() - began)

    def gradients(self, frames: torch.Tensor) -> dict[str, torch.Tensor]:
        """Of one loss, by parameter, and the loss itself."""
        os.environ[VARIABLE] = self.name
        model = self.trainer.objective.model
        video = normalised(channels_first(frames))
        model.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(video), torch.arange(len(video)) % CLASSES)
        loss.backward()
        found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        model.zero_grad()
        return {**found, "loss": loss.detach()}


def largest_error(sides: list[Side], frames: torch.Tensor) -> tuple[str, float]:
    """The value on which the sides differ most, and by how much of its largest entry."""
    first, second = (side.gradients(frames) for side in sides)
    errors = {
        name: float((first[name] - second[name]).abs().max() / second[name].abs().max())
        for name in second
    }
    name = max(errors, key=lambda key: errors[key])
    return name, errors[name]


def machine() -> dict[str, Any]:
    """Where and when; the load shows whether the machine was ours alone."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": processor("model name") or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="videomamba_tiny")
    parser.add_argument("--num-frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="write the figures here")
    options = parser.parse_args()
    torch.manual_seed(0)
    shape = {"num_frames": options.num_frames, "img_size": options.size, "num_classes": CLASSES}
    model = create_model(options.model, **shape)
    sides = [Side(name, model, options) for name in SIDES]
    size = (options.batch_size, options.num_frames, options.size, options.size, 3)
    frames = torch.randint(0, 256, size, dtype=torch.uint8)
    name, error = largest_error(sides, frames)
    print(json.dumps(machine()))
    print(f"largest difference of loss and gradients: {error:.1e} ({name}), allowed {GATE:g}")
    if not error <= GATE:
        print("red: nothing is timed")
        return 1
    footage = [
        Footage(Sample(row, Video(str(row), 0, ""), row % CLASSES), Timeline(1, 8, 0, 8, 8), 0, 0)
        for row in range(options.batch_size)
    ]
    picks = tuple(Pick(f, 0, seed) for seed, f in enumerate(footage))
    for number in range(options.rounds + 1):
        for side in sides:
            side.step(frames, picks, number)
    medians = {side.name: statistics.median(side.seconds[1:]) for side in sides}  # one to warm up
    for side in sides:
        print(f"{side.name:6}{medians[side.name]:9.3f} s a step of {options.batch_size} clips")
    print(f"ratio {medians['torch'] / medians['cpu']:.2f}x")
    if options.json:
        seconds = {side.name: side.seconds for side in sides}
        content = {"machine": machine(), **vars(options), "error": error, "seconds": seconds}
        Path(options.json).write_text(json.dumps(content) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
