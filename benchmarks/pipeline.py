"""Loss between decoder and rows: a worker whose clips cost nothing, beside the bare model.

    python benchmarks/pipeline.py [--model videomamba_tiny] [--batch 64] [--dtype bfloat16]
                                  [--device cuda] [--seconds 10] [--rounds 3] [--json FILE]

Two sides in turn, in one process, on the same weights:

    bare      the model alone over clips that lie on its device, one batch after another, outputs
              left there; normalised before, or uint8, whichever is faster
    pipeline  an extract worker: clips of noise from host memory through its batches to rows in
              Parquet files, two leases at a time

Printed are clips/s of both, their ratio, CPU seconds a clip, which other work on the machine does
not change, and the shares of the worker's time in handing over and in the model, of a GPU by its
own clock.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from torch import Tensor

    from vfeat.extract.encoder import Encoder
    from vfeat.extract.worker import ExtractWorker
    from vfeat.job.fingerprint import Recipe
    from vfeat.plan.unit import Lease

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in vfeat's workers

LEASES = 2  # at a time, as the engine gives them
UNITS = 4  # of a lease


def recipe_of(model: str, dtype: str, options: dict[str, int], size: int | None) -> Recipe:
    from vfeat.extract.model_outline import outline
    from vfeat.extract.prepare import make_recipe
    from vfeat.job.spec import parse_extract

    job = {"sources": ["-"], "out": "-", "model": model, "weights": "random", "dtype": dtype}
    parsed = parse_extract({**job, "model_options": options, **({"size": size} if size else {})})
    return make_recipe(parsed, outline(parsed))


def lease(number: int, clips: int) -> Lease:
    from vfeat.plan.unit import Lease, Unit

    each = max(1, clips // UNITS)
    units = [
        Unit(f"{number:028x}{k:04x}", f"s3://noise/{number}-{k}", 0, "", 0, each - 1, 1.0)
        for k in range(UNITS)
    ]
    return Lease(f"p00001-{number:05d}", tuple(units))


def pipeline_rate(worker: ExtractWorker, clips: int, begin: int) -> tuple[float, int]:
    """Run leases in LEASES threads; return clips/s and the number of leases."""
    count = 2 * LEASES
    leases = [lease(begin + n, clips) for n in range(count)]
    todo, lock = iter(leases), threading.Lock()

    def serve() -> None:
        while True:
            with lock:
                one = next(todo, None)
            if one is None:
                return
            worker.run(one)

    threads = [threading.Thread(target=serve) for _ in range(LEASES)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    return sum(unit.clips for one in leases for unit in one.units) / seconds, count


def bare_passes(encoder: Encoder, batch: int) -> dict[str, Callable[[], Any]]:
    """Return one pass of the model from either kind of input."""
    import torch

    from vfeat.extract.networks import WholeClip
    from vfeat.models.pixels import Pixels
    from vfeat.ops import graphs

    frames = torch.randint(256, (batch, *encoder.clip_shape), dtype=torch.uint8)
    frames = frames.to(encoder.device)
    half = encoder.output.dtype == "bfloat16"
    pixels = Pixels(frames.flatten(0, 1), encoder.mean_C, encoder.std_C)
    video = pixels.video(torch.bfloat16 if half else torch.float32)
    network = cast(WholeClip, encoder.network)

    def of_video(video: Tensor) -> Tensor:
        kind = encoder.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=half, cache_enabled=kind == "cpu"):
            return network.model.head(network.run(video)).float().softmax(-1)

    def of_pixels(frames: Tensor) -> Tensor:
        return of_video(Pixels(frames.flatten(0, 1), encoder.mean_C, encoder.std_C))  # type: ignore[arg-type]

    passes: dict[str, Callable[[Tensor], Tensor]] = {"video": of_video, "uint8": of_pixels}
    if encoder.device.type == "cuda" and graphs.wanted():
        weights = encoder.network.weights or ()
        passes = {name: graphs.Graphed(run, weights) for name, run in passes.items()}
    given = {"video": video, "uint8": frames}
    return {name: lambda run=run, x=given[name]: run(x) for name, run in passes.items()}  # type: ignore[misc]


def bare_rate(
    one_pass: Callable[[], Any], batch: int, seconds: float, *, gpu: bool
) -> tuple[float, float]:
    """Run passes for some seconds; return clips/s and CPU seconds a clip."""
    import torch

    with torch.inference_mode():
        for _ in range(2):
            one_pass()
        _finish(gpu=gpu)
        began, used, passes = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - began < seconds:
            for _ in range(4 if gpu else 1):
                one_pass()
                passes += 1
            _finish(gpu=gpu)
        clips = passes * batch
        used = time.process_time() - used
        return clips / (time.perf_counter() - began), used / clips


def _finish(*, gpu: bool) -> None:
    if gpu:
        import torch

        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--model", default="videomamba_tiny")
    parser.add_argument("--option", action="append", default=[], help="NAME=NUMBER of the model")
    parser.add_argument("--size", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--seconds", type=float, default=10, help="of each side and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    from vfeat.extract.spec import WorkerSettings
    from vfeat.extract.worker import ExtractWorker

    options = {name: int(value) for name, value in (o.split("=") for o in chosen.option)}
    recipe = recipe_of(chosen.model, chosen.dtype, options, chosen.size)
    shape = (recipe.frame.crops, recipe.clip.num_frames, recipe.frame.size, recipe.frame.size, 3)
    from benchmarks.null_pool import NullPool

    with tempfile.TemporaryDirectory(prefix="vfeat-pipeline-") as out:
        settings = WorkerSettings(out, chosen.device, chosen.batch)
        with ExtractWorker(recipe, settings, pool=cast(Any, NullPool(shape))) as worker:
            found = compare(worker, chosen.seconds, chosen.rounds)
    found |= {"model": chosen.model, "dtype": chosen.dtype, "rounds": chosen.rounds}
    print(
        f"{found['model']}, batch {found['batch']}, {found['dtype']}, {found['device']}: bare "
        f"{found['bare_clips_s']:.2f} clips/s ({found['bare_input']}), pipeline "
        f"{found['pipeline_clips_s']:.2f}, ratio {found['ratio']:.3f}; hand-over "
        f"{found['hand_over_share']:.1%} of the time, model {found['compute_share']:.1%}; CPU "
        f"seconds a clip {found['bare_cpu_s']:.4f} and {found['pipeline_cpu_s']:.4f}"
    )
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")


def compare(worker: ExtractWorker, seconds: float, rounds: int) -> dict[str, Any]:
    """Measure both sides in turn; return medians."""
    encoder = worker.encoder
    batch, gpu = encoder.batch_size, encoder.device.type == "cuda"
    passes = bare_passes(encoder, batch)
    speeds = {name: bare_rate(run, batch, seconds / 4, gpu=gpu)[0] for name, run in passes.items()}
    best = max(speeds, key=lambda name: speeds[name])
    # Leases of whole batches, so that the last one of each is not a small one.
    clips = max(1, round(speeds[best] * seconds / (2 * LEASES) / (UNITS * batch))) * UNITS * batch
    _, done = pipeline_rate(worker, UNITS * batch, 0)
    before = worker.progress().encode_s, worker.progress().hand_over_s
    bare, piped, bare_cpu, piped_cpu, spent = [], [], [], [], 0.0
    for _ in range(rounds):
        rate, used = bare_rate(passes[best], batch, seconds, gpu=gpu)
        bare.append(rate)
        bare_cpu.append(used)
        began, used = time.perf_counter(), time.process_time()
        rate, count = pipeline_rate(worker, clips, done)
        spent += time.perf_counter() - began
        done += count
        piped.append(rate)
        piped_cpu.append((time.process_time() - used) / (count * clips))
    progress = worker.progress()
    return {
        "device": progress.device,
        "batch": batch,
        "bare_clips_s": statistics.median(bare),
        "bare_input": best,
        "bare_speeds": speeds,
        "pipeline_clips_s": statistics.median(piped),
        "ratio": statistics.median(p / b for p, b in zip(piped, bare, strict=True)),
        "bare_cpu_s": statistics.median(bare_cpu),
        "pipeline_cpu_s": statistics.median(piped_cpu),
        "compute_share": (progress.encode_s - before[0]) / spent,
        "hand_over_share": (progress.hand_over_s - before[1]) / spent,
    }


if __name__ == "__main__":
    main()
