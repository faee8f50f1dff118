"""Batches in flight: every clip gets its own result, and no buffer is used twice at a time.

Without a GPU its streams are played by a device whose events come only when they are let.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.engine.jobs import tiny_job
from vfeat.extract.encoder import Encoded, Encoder, Outputs
from vfeat.extract.in_flight import GPU_BATCHES, InFlight
from vfeat.extract.lanes import Lanes
from vfeat.extract.model_outline import outline
from vfeat.extract.prepare import make_recipe
from vfeat.kernels.gpu import graphs

BATCH = 3


class Later:
    """An event that comes when its device is let go on."""

    def __init__(self, device: SlowDevice) -> None:
        self.device, self.number = device, device.marks
        device.marks += 1

    def query(self) -> bool:
        return self.number < self.device.come

    def synchronize(self) -> None:
        self.device.waits += 1
        self.device.come = max(self.device.come, self.number + 1)

    def elapsed_time(self, other: Later) -> float:
        assert self.query()
        assert other.query()
        return 1000.0 * (other.number - self.number)


class SlowDevice(Lanes):
    """Lanes of a GPU that computes at once and whose events come late.

    Attributes:
        marks: events made; come: those of them that have come; waits: how often it was waited for.
    """

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.overlap = True
        self.marks = self.come = self.waits = 0

    def on(self, stream: Any) -> AbstractContextManager[Any]:
        return nullcontext()

    def mark(self, stream: Any) -> Later:
        return Later(self)

    def after(self, stream: Any, event: Any) -> None:
        pass

    def host(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return torch.empty(tuple(shape), dtype=dtype)

    def go_on(self) -> None:
        """Let all events come that were made so far."""
        self.come = self.marks


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    job = tiny_job("-", "-")
    return Encoder(make_recipe(job, outline(job)), "cpu", BATCH)


def clips(encoder: Encoder, count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(count, *encoder.clip_shape), dtype=np.uint8)


def put_all(flying: InFlight[int], frames: Sequence[np.ndarray | Tensor]) -> list[int]:
    """Put clips, launching full batches; return the numbers of those that were released."""
    released: list[int] = []
    for number, one in enumerate(frames):
        flying.put(number, one, lambda number=number: released.append(number))  # type: ignore[misc]
        if flying.is_full:
            flying.launch()
    if flying.waiting:
        flying.launch()
    return released


def assert_own(found: list[tuple[int, Encoded]], truth: list[Encoded]) -> None:
    assert [number for number, _ in found] == list(range(len(truth)))
    for number, one in found:
        assert one.embedding == pytest.approx(truth[number].embedding, rel=1e-4, abs=1e-5)
        assert [name for name, _ in one.labels] == [name for name, _ in truth[number].labels]


@pytest.mark.parametrize("count", [1, BATCH, 3 * BATCH + 1])
def test_each_clip_gets_its_own_result_in_order(encoder: Encoder, count: int) -> None:
    frames = clips(encoder, count)
    truth = [encoder.encode(one[None])[0] for one in frames]
    flying: InFlight[int] = InFlight(encoder)
    found: list[tuple[int, Encoded]] = []
    for number, one in enumerate(frames):
        flying.put(number, one, lambda: None)
        if flying.is_full or number == count - 1:
            flying.launch()
            found += flying.results()
    assert_own(found, truth)
    assert not flying.is_computing
    assert flying.computed_s > 0


def test_clips_are_released_as_soon_as_they_are_copied(encoder: Encoder) -> None:
    flying: InFlight[int] = InFlight(encoder)
    frames = clips(encoder, 1)
    truth = encoder.encode(frames)
    released: list[bool] = []
    flying.put(0, frames[0], lambda: released.append(True))
    assert released
    frames[:] = 0  # its child writes the next clip there
    flying.launch()
    assert_own(list(flying.results()), truth)


def test_results_come_when_the_device_is_done_and_not_before(encoder: Encoder) -> None:
    device = SlowDevice()
    flying: InFlight[int] = InFlight(encoder, device)
    frames = clips(encoder, BATCH + 1)
    truth = encoder.encode(frames)
    put_all(flying, list(frames))
    assert list(flying.results()) == []
    assert flying.is_computing
    device.go_on()
    assert_own(list(flying.results()), truth)
    assert not flying.is_computing
    assert device.waits == 0


def test_three_batches_are_under_way_before_anything_waits(encoder: Encoder) -> None:
    device = SlowDevice()
    flying: InFlight[int] = InFlight(encoder, device)
    frames = clips(encoder, (GPU_BATCHES + 2) * BATCH)
    truth = encoder.encode(frames)
    put_all(flying, list(frames[: GPU_BATCHES * BATCH]))
    assert device.waits == 0
    put_all(flying, list(frames[:BATCH]))  # a fourth: the oldest must be done first
    assert device.waits == 1
    device.go_on()
    numbers = [number for number, _ in flying.results()]
    assert numbers == [*range(GPU_BATCHES * BATCH), *range(BATCH)]
    found: list[tuple[int, Encoded]] = []
    for number, one in enumerate(frames):  # buffers are used again and again
        flying.put(number, one, lambda: None)
        if flying.is_full:
            flying.launch()
            found += flying.results()
    device.go_on()
    assert_own(found + list(flying.results()), truth)


def test_frames_on_the_device_are_released_when_their_copy_is_done(encoder: Encoder) -> None:
    device = SlowDevice()
    flying: InFlight[int] = InFlight(encoder, device)
    frames = clips(encoder, BATCH)
    truth = encoder.encode(frames)
    mixed = [frames[0], torch.from_numpy(frames[1]), frames[2]]  # the tensor is "on the device"
    released = put_all(flying, mixed)
    assert released == [0, 2]
    assert list(flying.results()) == []
    device.go_on()
    assert_own(list(flying.results()), truth)
    assert sorted(released) == [0, 1, 2]


def test_the_gpus_own_clock_counts(encoder: Encoder) -> None:
    device = SlowDevice()
    flying: InFlight[int] = InFlight(encoder, device)
    put_all(flying, list(clips(encoder, 2 * BATCH)))
    device.go_on()
    assert len(list(flying.results())) == 2 * BATCH
    assert flying.computed_s == 2.0  # one mark lies between begin and end of each


def test_a_batch_that_does_not_fit_is_cut_and_the_next_ones_are_smaller(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = clips(encoder, 5)
    truth = encoder.encode(frames)
    whole = encoder._outputs
    tried: list[int] = []

    def small(frames_BVTSSC: Tensor) -> object:
        tried.append(len(frames_BVTSSC))
        if len(frames_BVTSSC) > 1:
            raise torch.cuda.OutOfMemoryError("the test has no more")
        return whole(frames_BVTSSC)

    monkeypatch.setattr(encoder, "_outputs", small)
    monkeypatch.setattr(encoder, "batch_size", BATCH)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    flying: InFlight[int] = InFlight(encoder)
    found: list[tuple[int, Encoded]] = []
    for number, one in enumerate(frames):
        flying.put(number, one, lambda: None)
        if flying.is_full:
            flying.launch()
            found += flying.results()
    assert_own(found, truth)
    assert encoder.batch_size == 1
    assert tried == [3, 1, 2, 1, 1, 1, 1]


def test_warming_up_finds_a_batch_that_fits(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encoder._outputs
    ran: list[int] = []

    def small(frames_BVTSSC: Tensor) -> object:
        if len(frames_BVTSSC) > 10:
            raise torch.cuda.OutOfMemoryError("the test has no more")
        ran.append(len(frames_BVTSSC))
        return whole(frames_BVTSSC)

    monkeypatch.setattr(encoder, "_outputs", small)
    monkeypatch.setattr(encoder, "batch_size", 32)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    encoder.warm_up()
    assert encoder.batch_size == 8
    assert ran[-3:] == [8, 2, 1]


def test_a_recorded_pass_caches_no_narrow_weights(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache is freed when autocast ends, and a graph would go on reading its memory."""
    cached: list[bool] = []
    network = encoder.network

    def watched(pixels: Any) -> Any:
        cached.append(torch.is_autocast_cache_enabled())
        return network(pixels)

    frames = torch.from_numpy(clips(encoder, 1))
    monkeypatch.setattr(encoder, "network", watched)
    encoder.run(frames)
    monkeypatch.setattr(encoder, "_graphed", graphs.Graphed(encoder._outputs, ()))
    encoder.run(frames)
    assert cached == [True, False]


def test_batches_of_any_size_use_at_most_three_graphs(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = clips(encoder, 16)
    truth = encoder.encode(frames)
    sizes: list[int] = []

    def capture(function: Any, x: Tensor, memory: object) -> graphs.Captured[Outputs]:
        sizes.append(len(x))
        static, output = x.clone(), function(x)

        def replay() -> None:
            for to, one in zip(output, function(static), strict=True):
                if to is not None:
                    to.copy_(one)

        return graphs.Captured(static, output, replay)

    monkeypatch.setattr(graphs, "capturable", lambda x: True)
    monkeypatch.setattr(graphs, "capture", capture)
    monkeypatch.setattr(encoder, "batch_size", 16)
    monkeypatch.setattr(encoder, "_graphed", graphs.Graphed(encoder._outputs, ()))
    for count in range(16, 0, -1):
        found = encoder.encode(frames[:count])
        assert_own(list(enumerate(found)), truth[:count])
    assert sizes == [16, 4, 1]
