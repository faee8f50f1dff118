"""A model's forward pass as one CUDA graph for each shape: one launch instead of hundreds.

With a small batch the GPU waits for the CPU to launch kernels. A graph records the kernels of one
pass, with the addresses of their inputs and outputs, and replays them. Whoever calls with batches
of any size pads them to a few sizes, since each costs a recording and memory.
"""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

VARIABLE = "VFEAT_GRAPHS"
# Passes before the capture: kernels are compiled and libraries take their workspaces.
WARM_UPS = 2

R = TypeVar("R")  # a tensor, or a tuple of tensors and None, named or not


class Captured(NamedTuple, Generic[R]):
    """A graph with its input and output memory."""

    input: Tensor
    output: R
    replay: Callable[[], None]


class GraphWarning(UserWarning):
    """A pass could not be captured; it runs without a graph."""


def wanted() -> bool:
    """Return whether graphs are to be used: unless VFEAT_GRAPHS=0 forbids them."""
    return os.environ.get(VARIABLE) != "0"


def graph_sizes(batch: int) -> tuple[int, ...]:
    """Return the batch sizes to pad to, ascending: a whole batch, a quarter and a sixteenth."""
    return tuple(sorted({batch, -(-batch // 4), -(-batch // 16)}))


class Graphed(Generic[R]):
    """A function of one tensor, captured for each shape, dtype and autocast setting.

    For inference: with gradients enabled, on a CPU, or where the capture fails, the function runs
    as it is. Graphs hold the addresses of the weights, so all are dropped when a weight was changed
    or moved.

    Args:
        function: maps a tensor to new ones, without reading values on the CPU; autocast within it
            must not cache.
        weights: everything else that it reads.
        limit: number of graphs kept, least recently used dropped first. They share the memory of
            one pass, since they run one after another.
    """

    def __init__(
        self, function: Callable[[Tensor], R], weights: Iterable[Tensor], limit: int = 4
    ) -> None:
        self.function = function
        self.weights = tuple(weights)
        self.limit = limit
        self._graphs: OrderedDict[tuple[object, ...], Captured[R] | None] = OrderedDict()
        self._memory: object | None = None
        self._state = self._weights_state()

    def __call__(self, x: Tensor) -> R:
        """Return the function's result, in memory of its own."""
        if not capturable(x):
            return self.function(x)
        captured = self._graph_for(x)
        if captured is None:
            return self.function(x)
        captured.input.copy_(x)
        captured.replay()
        return _cloned(captured.output)

    def _graph_for(self, x: Tensor) -> Captured[R] | None:
        """Return the graph of this shape, captured at its first use; None if that failed."""
        state = self._weights_state()
        if state != self._state:
            self._graphs.clear()
            self._state = state
        kind = x.device.type
        autocast = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind)
        key = (tuple(x.shape), x.dtype, x.device, autocast)
        if key not in self._graphs:
            while len(self._graphs) >= self.limit:
                self._graphs.popitem(last=False)
            self._graphs[key] = self._try(x)
        self._graphs.move_to_end(key)
        return self._graphs[key]

    def _try(self, x: Tensor) -> Captured[R] | None:
        try:
            if self._memory is None and x.is_cuda:
                self._memory = torch.cuda.graph_pool_handle()
            return capture(self.function, x, self._memory)
        except RuntimeError as problem:
            shape = "x".join(map(str, x.shape))
            warnings.warn(
                f"no CUDA graph for a batch of {shape}, which runs without one: {problem}",
                GraphWarning,
                stacklevel=4,
            )
            return None

    def _weights_state(self) -> tuple[tuple[int, int], ...]:
        """Return a state that changes when a weight is written or moved.

        Inference tensors have no version counter; only their address counts.
        """
        return tuple((w.data_ptr(), 0 if w.is_inference() else w._version) for w in self.weights)


def capturable(x: Tensor) -> bool:
    """Return whether the tensor is on a GPU, without gradients, and no other capture runs."""
    if not x.is_cuda or torch.is_grad_enabled():
        return False
    return not torch.cuda.is_current_stream_capturing()


def capture(function: Callable[[Tensor], R], x: Tensor, memory: Any = None) -> Captured[R]:
    """Record one pass.

    Args:
        memory: a pool of graphs that never run at the same time; None for memory of its own.

    Raises:
        RuntimeError: something in the pass waits for the GPU, or the memory is not there.
    """
    kind = x.device.type
    # Casts that autocast caches are freed when its context ends, but the graph lives on.
    uncached = torch.autocast(
        kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind), cache_enabled=False
    )
    with torch.cuda.device(x.device), uncached:
        static = x.clone()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                function(static)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Threads that decode or copy may use the GPU meanwhile.
        with torch.cuda.graph(graph, pool=memory, capture_error_mode="thread_local"):
            output = function(static)
    return Captured(static, output, graph.replay)


def _cloned(result: R) -> R:
    """Copy a result out of the graph's memory, which the next replay overwrites."""
    if isinstance(result, Tensor):
        return cast(R, result.clone())
    assert isinstance(result, tuple)
    parts = [None if part is None else part.clone() for part in result]
    make = getattr(result, "_make", tuple)  # of a named tuple
    return cast(R, make(parts))
