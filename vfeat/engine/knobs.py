"""The one thing to change so that a run's slowest resource is no longer the slowest."""

from __future__ import annotations

import math
from dataclasses import dataclass

MOST_FACTOR = 4.0  # of decoders at a time; the next run may ask for more


@dataclass(frozen=True)
class Knobs:
    """What the choice depends on.

    Attributes:
        resource: the slowest one.
        busy: share of the time in which its hands were busy.
        next_busy: the same of the next busiest hands.
        decoders, workers: how many there were.
        cores: of a worker's machine.
        noun: of the stage's rows.
        has_gpu: the model is on GPUs.
        is_fed: other nodes decoded, too.
    """

    resource: str
    busy: float
    next_busy: float
    decoders: int
    workers: int
    cores: int
    noun: str
    has_gpu: bool
    is_fed: bool


def knob(found: Knobs) -> str:
    """Return what to change, with the option of the command line and its value if there is one."""
    return {
        "storage": _storage,
        "decode": _decode,
        "hand-over": _hand_over,
        "model": _model,
        "write": _write,
    }[found.resource](found)


def more_decoders(found: Knobs) -> int:
    """Return the decoders of a worker at which the next resource becomes the slowest."""
    own = max(1, found.decoders // max(1, found.workers))
    factor = min(MOST_FACTOR, found.busy / max(found.next_busy, 1e-9))
    return max(own + 1, math.ceil(own * factor))


def _storage(found: Knobs) -> str:
    nearer = "a store nearer to the workers"
    if found.noun != "clips":
        return f"{nearer}, or more workers (--actors)"
    return f"--decode-workers {more_decoders(found)}, which reads more videos at once, or {nearer}"


def _decode(found: Knobs) -> str:
    wanted = more_decoders(found)
    own = found.decoders // max(1, found.workers)
    if not found.is_fed and own < found.cores:
        return f"--decode-workers {min(wanted, found.cores)}"
    if found.has_gpu:
        return (
            "nodes without a GPU, which decode for it (--decode-on all), or --decoder nvdec into "
            "another dataset if it is not set"
        )
    return "more nodes: every core of these decodes already"


def _hand_over(found: Knobs) -> str:
    return "a larger --batch-size"


def _model(found: Knobs) -> str:
    if found.noun != "clips":
        return "more workers (--actors)" if found.has_gpu else "a GPU, or more workers (--actors)"
    if found.has_gpu:
        return (
            "--dtype bfloat16 into another dataset if it is not set, more GPUs, or a smaller model"
        )
    return "a GPU, more nodes, or a smaller model"


def _write(found: Knobs) -> str:
    size = "--shard-megabytes" if found.noun == "steps" else "--shard-minutes"
    return f"larger shards ({size}), or an output folder nearer to the workers"
