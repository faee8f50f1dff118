"""The steps of `make gpu`, in the order in which they run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step, which runs in a process of its own.

    Attributes:
        key: letter that STEPS selects it by.
        title: for the table.
        limit_s: the process is killed after this many seconds.
        function: `module:function`, called with an `Assignment`.
        interprets: in a rehearsal, Triton's interpreter runs the kernels on CPU tensors.
    """

    key: str
    title: str
    limit_s: float
    function: str
    interprets: bool = False


STEPS = (
    Step("a", "the machine", 45, "benchmarks.gpu.machine:run"),
    Step("b", "correctness", 90, "benchmarks.gpu.correctness:run", interprets=True),
    Step("c", "block and model", 90, "benchmarks.gpu.speed:run", interprets=True),
    Step("d", "vfeat extract", 90, "benchmarks.gpu.extraction:run"),
    Step("e", "the pipeline", 55, "benchmarks.gpu.pipeline:run"),
    Step("f", "a training step", 50, "benchmarks.gpu.training:run", interprets=True),
    Step("g", "ViS4mer", 60, "benchmarks.gpu.long_sequence:run"),
)


def pick(keys: str | None) -> tuple[Step, ...]:
    """Return the steps of a list such as `a,c`, in their own order; all where it is empty.

    Raises:
        ValueError: a letter names no step.
    """
    wanted = [key.strip() for key in (keys or "").split(",") if key.strip()]
    unknown = [key for key in wanted if key not in {step.key for step in STEPS}]
    if unknown:
        letters = ", ".join(f"{step.key} ({step.title})" for step in STEPS)
        raise ValueError(f"no step {', '.join(unknown)}; steps are {letters}")
    return tuple(step for step in STEPS if not wanted or step.key in wanted)
