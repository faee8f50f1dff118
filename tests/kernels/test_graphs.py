"""When a pass is captured, when again, and that it runs where it cannot be.

Capturing itself needs a GPU; here a stand-in records what would have been captured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from vfeat.kernels.gpu import graphs


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, ...]]]:
    """Shapes captured so far, on a device that pretends to have graphs."""
    shapes: list[tuple[int, ...]] = []

    def capture(
        function: Callable[[Tensor], Tensor], x: Tensor, memory: object
    ) -> graphs.Captured[Tensor]:
        shapes.append(tuple(x.shape))
        static, output = x.clone(), function(x).clone()

        def replay() -> None:
            output.copy_(function(static))

        return graphs.Captured(static, output, replay)

    monkeypatch.setattr(graphs, "capturable", lambda x: True)
    monkeypatch.setattr(graphs, "capture", capture)
    yield shapes


def doubled(x: Tensor) -> Tensor:
    return 2 * x


def test_each_shape_is_captured_once(captures: list[tuple[int, ...]]) -> None:
    run = graphs.Graphed(doubled, [])
    for size in (2, 3, 2, 3):
        x = torch.randn(size)
        assert torch.equal(run(x), 2 * x)
    assert captures == [(2,), (3,)]


def test_a_result_outlives_the_next_call(captures: list[tuple[int, ...]]) -> None:
    run = graphs.Graphed(doubled, [])
    first = run(torch.ones(2))
    run(torch.zeros(2))
    assert torch.equal(first, torch.full((2,), 2.0))


def test_autocast_is_another_graph(captures: list[tuple[int, ...]]) -> None:
    run = graphs.Graphed(doubled, [])
    run(torch.ones(2))
    with torch.autocast("cpu", torch.bfloat16):
        run(torch.ones(2))
    assert len(captures) == 2


def test_the_longest_unused_is_dropped(captures: list[tuple[int, ...]]) -> None:
    run = graphs.Graphed(doubled, [], limit=2)
    for size in (1, 2, 1, 3, 1, 2):
        run(torch.ones(size))
    assert captures == [(1,), (2,), (3,), (2,)]


def test_a_changed_weight_is_captured_again(captures: list[tuple[int, ...]]) -> None:
    weight = torch.ones(2)
    run = graphs.Graphed(lambda x: weight * x, [weight])
    run(torch.ones(2))
    weight.mul_(3)
    assert torch.equal(run(torch.ones(2)), torch.full((2,), 3.0))
    assert len(captures) == 2


def test_what_cannot_be_captured_runs_all_the_same(
    captures: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> graphs.Captured[Tensor]:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graphs, "capture", refuse)
    run = graphs.Graphed(doubled, [])
    with pytest.warns(graphs.GraphWarning, match=r"batch of 2x3.*not permitted"):
        assert torch.equal(run(torch.ones(2, 3)), torch.full((2, 3), 2.0))
    assert torch.equal(run(torch.ones(2, 3)), torch.full((2, 3), 2.0))  # and no second warning


def test_cpu_tensors_pass_through() -> None:
    assert not graphs.capturable(torch.ones(1))
    assert torch.equal(graphs.Graphed(doubled, [])(torch.ones(2)), torch.full((2,), 2.0))


class Pair(NamedTuple):
    """A result of two tensors, one of which may be left out."""

    first: Tensor
    second: Tensor | None


def test_a_named_tuple_comes_back_as_one_and_outlives_the_next_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def capture(
        function: Callable[[Tensor], Pair], x: Tensor, memory: object
    ) -> graphs.Captured[Pair]:
        static, output = x.clone(), function(x)

        def replay() -> None:
            output.first.copy_(static + 1)

        return graphs.Captured(static, output, replay)

    monkeypatch.setattr(graphs, "capturable", lambda x: True)
    monkeypatch.setattr(graphs, "capture", capture)
    run = graphs.Graphed(lambda x: Pair(x + 1, None), [])
    first = run(torch.ones(2))
    run(torch.zeros(2))
    assert isinstance(first, Pair)
    assert torch.equal(first.first, torch.full((2,), 2.0))
    assert first.second is None


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("0", False), (None, True)])
def test_they_are_the_default(
    value: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv(graphs.VARIABLE, raising=False)
    else:
        monkeypatch.setenv(graphs.VARIABLE, value)
    assert graphs.wanted() is expected


@pytest.mark.parametrize(
    ("batch", "sizes"), [(1, (1,)), (3, (1, 3)), (16, (1, 4, 16)), (64, (4, 16, 64))]
)
def test_a_run_uses_at_most_three_sizes(batch: int, sizes: tuple[int, ...]) -> None:
    assert graphs.graph_sizes(batch) == sizes
