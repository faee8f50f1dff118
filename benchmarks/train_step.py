"""A training step of VideoMamba: our kernels beside what one would train with instead.

    python -m benchmarks.train_step [--device cuda] [--model videomamba_tiny] [--size 112]
                                    [--batch-size 2] [--rounds 5] [--sides triton,torch]
                                    [--model-option depth=1] [--json FILE]

On a CPU our C++ kernels beside the torch fallback; on a GPU our Triton kernels beside the package
mamba-ssm, composed as the official VideoMamba does, and the torch fallback.

A step is what `vfeat train encoder` does with a batch that has been decoded: augmentation, forward,
backward, clipping, AdamW. All sides start from the same weights and learn from the same clips, in
turn in one process; medians of the rounds. Nothing is timed before the loss and every gradient of
each agree with the torch fallback's within 1e-3 of the gradient's largest value.
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
from vfeat.errors import EnvironmentMissing
from vfeat.job.spec import parse_train_encoder
from vfeat.kernels.processor import processor
from vfeat.models import VideoMamba, create_model
from vfeat.ops.registry import VARIABLE, choose
from vfeat.train.encoder.data.augment import Augment, channels_first, normalised
from vfeat.train.encoder.data.clip_list import Sample
from vfeat.train.encoder.data.epoch_order import Pick
from vfeat.train.encoder.data.footage import Footage
from vfeat.train.encoder.objectives.base import Classification
from vfeat.train.encoder.peers import Peers
from vfeat.train.encoder.trainer import EncoderTrainer
from vfeat.video_facts import Timeline

# As VFEAT_KERNEL calls them: ours first, and last the one that always runs.
SIDES = {"cpu": ("cpu", "torch"), "cuda": ("triton", "mamba_ssm", "torch")}
BATCH_SIZES = {"cpu": 2, "cuda": 32}
NO_GPU = "--device cuda: torch sees no NVIDIA GPU here; nothing was measured"
GATE = 1e-3
CLASSES = 10


class Side:
    """A trainer that runs under one back-end."""

    def __init__(self, name: str, model: VideoMamba, options: argparse.Namespace) -> None:
        self.name, self.device = name, torch.device(options.device)
        self.seconds: list[float] = []
        job = parse_train_encoder(
            {
                "source": "none.csv", "out": "none", "model": options.model, "jitter": 0.3,
                "num_frames": options.num_frames, "size": options.size, "device": options.device,
                "hflip": True, "batch_size": options.batch_size,
            }
        )  # fmt: skip
        objective = Classification(copy.deepcopy(model), 0.1).to(self.device)
        augment = Augment(job, [str(k) for k in range(CLASSES)])
        self.trainer = EncoderTrainer(objective, augment, job, 100, self.device, Peers())

    def step(self, frames: torch.Tensor, picks: tuple[Pick, ...], number: int) -> None:
        """One step, timed."""
        os.environ[VARIABLE] = self.name
        frames = frames.clone()  # augmentation overwrites it
        began = time.perf_counter()
        self.trainer.step(frames, picks, 1, number)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - began)

    def gradients(self, frames: torch.Tensor) -> dict[str, torch.Tensor]:
        """Of one loss, by parameter, and the loss itself."""
        os.environ[VARIABLE] = self.name
        model = self.trainer.objective.model
        video = normalised(channels_first(frames.to(self.device)))
        model.zero_grad()
        labels = torch.arange(len(video), device=self.device) % CLASSES
        loss = torch.nn.functional.cross_entropy(model(video), labels)
        loss.backward()
        found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        model.zero_grad()
        return {**found, "loss": loss.detach()}


def largest_error(sides: list[Side], frames: torch.Tensor) -> tuple[str, float]:
    """Where a side differs most from the last, and by how much of that value's largest entry."""
    *others, reference = (side.gradients(frames) for side in sides)
    errors = {
        f"{side.name}, {name}": float((found[name] - value).abs().max() / value.abs().max())
        for side, found in zip(sides, others, strict=False)
        for name, value in reference.items()
    }
    name = max(errors, key=lambda key: errors[key])
    return name, errors[name]


def sides_of(device: str, wanted: tuple[str, ...]) -> list[str]:
    """Those that can run here; it says of the others why not."""
    running = []
    for name in wanted:
        os.environ[VARIABLE] = name
        try:
            choose(device)
        except EnvironmentMissing as error:
            print(f"not run: {error}")
        else:
            running.append(name)
    return running


def machine() -> dict[str, Any]:
    """Where and when; the load shows whether the machine was ours alone."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": processor("model name") or platform.machine(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def main() -> int:
    """0 measured, 1 the sides do not agree, 4 there is nothing to compare."""
    options = read_options()
    if options.device == "cuda" and not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 4
    torch.manual_seed(0)
    shape = {"num_frames": options.num_frames, "img_size": options.size, "num_classes": CLASSES}
    model = create_model(options.model, **shape | dict(options.model_option))
    names = sides_of(options.device, options.sides or SIDES[options.device])
    sides = [Side(name, model, options) for name in names]
    if len(sides) < 2:
        print("nothing to compare with; nothing was measured", file=sys.stderr)
        return 4
    size = (options.batch_size, options.num_frames, options.size, options.size, 3)
    frames = torch.randint(0, 256, size, dtype=torch.uint8)
    name, error = largest_error(sides, frames)
    print(json.dumps(machine()))
    print(f"largest difference of loss and gradients: {error:.1e} ({name}), allowed {GATE:g}")
    if not error <= GATE:
        print("red: nothing is timed")
        return 1
    take_steps(sides, frames, options.rounds)
    if options.json:
        seconds = {side.name: side.seconds for side in sides}
        content = {"machine": machine(), **vars(options), "error": error, "seconds": seconds}
        Path(options.json).write_text(json.dumps(content) + "\n")
    return 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=sorted(SIDES), default="cpu")
    parser.add_argument("--model", default="videomamba_tiny")
    parser.add_argument("--num-frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch-size", type=int, help="default: 2 on a CPU, 32 on a GPU")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sides", type=lambda text: tuple(text.split(",")), help="ours first")
    parser.add_argument("--model-option", type=_option, action="append", default=[])
    parser.add_argument("--json", help="write the figures here")
    options = parser.parse_args()
    options.batch_size = options.batch_size or BATCH_SIZES[options.device]
    return options


def _option(text: str) -> tuple[str, int]:
    key, _, value = text.partition("=")
    return key, int(value)


def take_steps(sides: list[Side], frames: torch.Tensor, rounds: int) -> None:
    """In turn, and one to warm up; print each side's median and its ratio to the first's."""
    clips = len(frames)
    footage = [
        Footage(Sample(row, Video(str(row), 0, ""), row % CLASSES), Timeline(1, 8, 0, 8, 8), 0, 0)
        for row in range(clips)
    ]
    picks = tuple(Pick(f, 0, seed) for seed, f in enumerate(footage))
    for number in range(rounds + 1):
        for side in sides:
            side.step(frames, picks, number)
    medians = {side.name: statistics.median(side.seconds[1:]) for side in sides}
    for name, median in medians.items():
        ratio = median / medians[sides[0].name]
        print(f"{name:10}{median:9.4f} s a step of {clips} clips, {ratio:.2f}x")


if __name__ == "__main__":
    sys.exit(main())
