"""ViS4mer beside self-attention, and beside itself with S4's kernels rebuilt every time.

    python benchmarks/vis4mer.py [--quick] [--lengths 512 11820] [--device cuda] [--json FILE]

Five sides, each in its own process, run in turn:

    vis4mer      as it is: in evaluation the kernels' spectra are kept
    rebuilt      the same, its kernels made again in every forward pass by our own builder
    official     rebuilt in every forward pass by the official code's sums
    attention    the same decoder, S4 replaced by plain multi-head attention
    flash        the same attention through torch's scaled_dot_product_attention

One sequence of width 1024, three layers; 11,820 steps are ViS4mer's own setting (60 s of
197 tokens). Medians of the rounds; memory is the process's largest resident size, on a GPU
torch's largest allocation. There flash attention runs in bfloat16, its kernels' own type. A
ratio is printed only where the sides that should agree do.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfeat.kernels.processor import processor

LENGTHS = (512, 2048, 8192, 11820, 16384)
TRAINING_LENGTHS = (512, 2048, 11820)
QUICK_LENGTHS, QUICK_TRAINING = (512, 2048), (512,)
SIDES = ("vis4mer", "rebuilt", "official", "attention", "flash")
LAYERS, HEADS, STATES = 3, 8, 32
SLOW_S = 15.0  # a side that has run for longer at one length is not run again
# Largest difference of logits (or gradients of the input) over their largest value.
GATES = {"rebuilt": ("vis4mer", 1e-5), "official": ("vis4mer", 1e-3), "flash": ("attention", 1e-3)}
GPU_GATES = {**GATES, "rebuilt": ("vis4mer", 1e-4), "flash": ("attention", 5e-2)}
OFFICIAL_ELEMENTS = {"cpu": 1 << 19, "cuda": 1 << 25}


class Attention(nn.Module):
    """Multi-head self-attention in the place of an S4 layer, with the same two halves."""

    def __init__(self, width: int, flash: bool) -> None:
        super().__init__()
        self.flash = flash
        self.to_qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def convolve(self, u_BLD: Tensor, lengths_B: object) -> Tensor:
        q, k, v = self.to_qkv(u_BLD).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        if self.flash:
            narrow = torch.bfloat16 if q.is_cuda else q.dtype
            q, k, v = (t.to(narrow) for t in (q, k, v))
            y = F.scaled_dot_product_attention(q, k, v).to(u_BLD.dtype)
        else:
            y = (q * q.shape[-1] ** -0.5 @ k.mT).softmax(-1) @ v
        return y.transpose(1, 2).flatten(2)

    def mix(self, y_BLD: Tensor) -> Tensor:
        return self.out(y_BLD)


def official_kernel(weights: Any, nodes_F: Tensor, taps: int | None = None) -> Tensor:
    """`nplr_kernel` by the official sums, a chunk of channels at a time."""
    from vfeat.kernels.s4 import reference

    nodes_F = nodes_F.to(weights.B.dtype)
    z_F = 2 * (1 - nodes_F) / (1 + nodes_F)
    size = max(1, OFFICIAL_ELEMENTS[nodes_F.device.type] // (STATES * len(nodes_F)))
    parts = [
        reference.cauchy_kernel(weights.channels(slice(i, i + size)), nodes_F, z_F)
        for i in range(0, len(weights.log_dt), size)
    ]
    return torch.cat(parts)[:, :taps]


def make_model(side: str, length: int, width: int) -> nn.Module:
    """The same seed for all: sides of one family have the same weights."""
    import vfeat.models.s4
    from vfeat.models import create_model

    torch.manual_seed(0)
    model = create_model(
        "vis4mer", d_input=width, l_max=length, d_output=10, d_model=width, n_layers=LAYERS,
        dropout=0.0,
    )  # fmt: skip
    if side == "official":
        vfeat.models.s4.s4.nplr_kernel = official_kernel
    if side in ("attention", "flash"):
        for index in range(LAYERS):
            model.s4_layers[index] = Attention(width >> index, side == "flash")
    return model


def make_run(
    side: str, training: bool, length: int, width: int, device: str
) -> Callable[[], Tensor]:
    """What is timed: a forward pass, or forward, backward and the optimizer's step."""
    model = make_model(side, length, width).train(training).to(device)
    sequence = torch.randn(1, length, width, generator=torch.Generator().manual_seed(1))
    sequence, target = sequence.to(device), torch.zeros(1, dtype=torch.long, device=device)

    def evaluate() -> Tensor:
        if side in ("rebuilt", "official"):
            model.clear_cache()  # type: ignore[operator]
        with torch.no_grad():
            return model(sequence)

    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)  # the same step every time

    def train() -> Tensor:
        sequence.requires_grad_().grad = None
        optimizer.zero_grad()
        F.cross_entropy(model(sequence), target).backward()
        optimizer.step()
        assert sequence.grad is not None
        return sequence.grad[:, ::16]

    return train if training else evaluate


def work(side: str, training: bool, length: int, width: int, device: str, result: str) -> None:
    """One side's process: a run for every line on stdin, then its figures."""
    run = make_run(side, training, length, width, device)
    on_gpu, output = device == "cuda", None
    before = torch.cuda.memory_allocated() if on_gpu else psutil.Process().memory_info().rss
    for _ in sys.stdin:
        began = time.perf_counter()
        output = run()
        if on_gpu:
            torch.cuda.synchronize()
        print(time.perf_counter() - began, flush=True)
    torch.save(None if output is None else output.cpu(), result)
    peak = (
        torch.cuda.max_memory_allocated()
        if on_gpu
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    print(json.dumps({"before_mb": before // 10**6, "peak_mb": peak // 10**6}), flush=True)


@dataclass
class Side:
    """One side's figures at one length."""

    name: str
    seconds: list[float] = field(default_factory=list)
    peak_mb: int = 0
    before_mb: int = 0
    error: float | None = None
    allowed: float = 0.0
    skipped: str = ""

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)


def needed_gb(side: str, training: bool, length: int, width: int) -> float:
    """What the largest intermediates of the first layer take."""
    if side == "attention":  # scores and weights; their gradients too
        return HEADS * length**2 * 4 * (4 if training else 2) / 1e9
    if side == "official" and training:  # four sums, six complex tensors each, by autograd
        return width * STATES * (length // 2) * 4 * 6 * 8 / 1e9
    return 0.0


def compare(training: bool, length: int, options: argparse.Namespace, scratch: Path) -> list[Side]:
    """All sides at one length, in turn."""
    sides = [Side(name) for name in options.sides if not (training and name == "rebuilt")]
    workers: dict[str, subprocess.Popen[str]] = {}
    for side in sides:
        gb = needed_gb(side.name, training, length, options.width)
        if gb > options.memory_gb:
            side.skipped = f"needs {gb:.0f} GB, the limit is {options.memory_gb:.0f}"
            continue
        mode = "training" if training else "evaluation"
        command = [sys.executable, __file__, "--width", str(options.width)]
        command += ["--device", options.device]
        command += [
            "--threads",
            str(options.threads),
            "--worker",
            side.name,
            mode,
            str(length),
            str(scratch / f"{side.name}.pt"),
        ]
        workers[side.name] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    running = [side for side in sides if side.name in workers]
    for side in running:
        _ask(workers[side.name])  # first touch of everything; spectra are made
    for _ in range(options.rounds):
        for side in running:
            if sum(side.seconds) < SLOW_S:
                side.seconds.append(_ask(workers[side.name]))
    for side in running:
        remaining, _ = workers[side.name].communicate()
        found = json.loads(remaining)
        side.peak_mb, side.before_mb = found["peak_mb"], found["before_mb"]
    outputs = {side.name: torch.load(scratch / f"{side.name}.pt") for side in running}
    for side in running:
        like, _ = options.gates.get(side.name, ("", 0))
        if like in outputs:
            difference = (outputs[side.name] - outputs[like]).abs().max()
            side.error = float(difference / outputs[like].abs().max())
            side.allowed = options.gates[side.name][1]
    return sides


def _ask(worker: subprocess.Popen[str]) -> float:
    """One run; its seconds."""
    assert worker.stdin and worker.stdout
    worker.stdin.write("\n")
    worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        raise SystemExit(f"{' '.join(map(str, worker.args))} ended with {worker.wait()}")  # type: ignore[arg-type]
    return float(line)


def report(title: str, sides: list[Side]) -> bool:
    """A table; whether the gates are green."""
    ours = sides[0]
    print(f"\n{title}\n{'':10}{'seconds':>9}{'/ vis4mer':>11}{'peak MB':>9}{'/ vis4mer':>11}")
    green = True
    for side in sides:
        if side.skipped:
            print(f"{side.name:10}  skipped: {side.skipped}")
            continue
        red = side.error is not None and not side.error <= side.allowed
        green = green and not red
        time_ratio, memory_ratio = side.median_s / ours.median_s, side.peak_mb / ours.peak_mb
        ratios = [f"{time_ratio:10.2f}x", f"{memory_ratio:10.2f}x"] if not red else ["red", "red"]
        agreement = "" if side.error is None else f"   error {side.error:.0e}"
        print(
            f"{side.name:10}{side.median_s:9.3f}{ratios[0]:>11}{side.peak_mb:9}{ratios[1]:>11}"
            f"{agreement}",
            flush=True,
        )
    return green


def free_gb(device: str) -> float:
    """Memory that a side can take."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0] / 1e9
    return psutil.virtual_memory().available / 1e9


def machine() -> dict[str, Any]:
    """Where and when; the load shows whether the machine was ours alone."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": processor("model name") or platform.machine(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def main() -> int:
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two short lengths, under a minute")
    parser.add_argument("--lengths", type=int, nargs="*", help="steps, for both tables")
    parser.add_argument("--only", choices=("evaluation", "training"), help="one table of the two")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sides", nargs="*", choices=SIDES, default=SIDES, help="ours first")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--memory-gb", type=float,
        help="a side whose intermediates need more is skipped; default 0.8 of what is free",
    )  # fmt: skip
    parser.add_argument("--json", help="write the figures here")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.worker:
        side, mode, length, result = options.worker
        work(side, mode == "training", int(length), options.width, options.device, result)
        return 0
    options.gates = GPU_GATES if options.device == "cuda" else GATES
    if options.memory_gb is None:
        options.memory_gb = 0.8 * free_gb(options.device)
    evaluated = options.lengths or (QUICK_LENGTHS if options.quick else LENGTHS)
    trained = options.lengths or (QUICK_TRAINING if options.quick else TRAINING_LENGTHS)
    content = {"machine": machine(), "width": options.width, "layers": LAYERS, "heads": HEADS}
    print(json.dumps(content["machine"]))
    tables, green = [], True
    for mode, lengths in (("evaluation", evaluated), ("training step", trained)):
        training = mode == "training step"
        for length in lengths if options.only in (None, mode.split()[0]) else ():
            with tempfile.TemporaryDirectory() as scratch:
                load = os.getloadavg()[0]
                sides = compare(training, length, options, Path(scratch))
            green &= report(f"{mode}, {length} steps (load before: {load:.1f})", sides)
            figures = [asdict(side) for side in sides]
            tables.append({"mode": mode, "length": length, "load": load, "sides": figures})
            if options.json:
                Path(options.json).write_text(json.dumps(content | {"tables": tables}) + "\n")
    return 0 if green else 1


if __name__ == "__main__":
    sys.exit(main())
