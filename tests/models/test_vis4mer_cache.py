"""Spectra are made once for the weights as they are, and never outlive them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from tests.models.test_vis4mer import small
from vfeat.models import ViS4mer, spectrum_cache
from vfeat.models.s4 import S4Layer


class Count:
    """How many kernels were made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kernels = 0
        made = S4Layer.full_kernel

        def counted(layer: S4Layer, doublings: int, taps: int) -> Tensor:
            self.kernels += 1
            return made(layer, doublings, taps)

        monkeypatch.setattr(S4Layer, "full_kernel", counted)


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Count:
    return Count(monkeypatch)


def run(model: ViS4mer, length: int = 20) -> Tensor:
    generator = torch.Generator().manual_seed(length)
    with torch.no_grad():
        return model(torch.randn(1, length, 6, generator=generator))


def test_kernels_are_made_once(count: Count) -> None:
    model = small()
    first = run(model)
    assert count.kernels == 3
    assert torch.equal(run(model), first) and count.kernels == 3


def test_near_lengths_share_a_kernel(count: Count) -> None:
    model = small(l_max=1024)
    for length in range(577, 641):
        run(model, length)
    assert count.kernels <= 6


def optimizer_step(model: ViS4mer) -> None:
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD(model.parameters(), lr=0.1).step()


def load(model: ViS4mer) -> None:
    model.load_state_dict({k: t + 0.1 for k, t in model.state_dict().items()})


def assign(model: ViS4mer) -> None:
    model.load_state_dict({k: t + 0.1 for k, t in model.state_dict().items()}, assign=True)


def write_data(model: ViS4mer) -> None:
    for parameter in model.parameters():
        parameter.data.mul_(1.1)


def skip_only(model: ViS4mer) -> None:
    for layer in model.s4_layers:
        assert isinstance(layer, S4Layer)
        with torch.no_grad():
            layer.D.add_(0.5)


@pytest.mark.parametrize("change", [optimizer_step, load, assign, write_data, skip_only])
def test_changed_weights_make_new_kernels(change: Callable[[ViS4mer], None]) -> None:
    model = small()
    before = run(model)
    change(model)
    changed = run(model)
    fresh = small()
    fresh.load_state_dict(model.state_dict())
    assert not torch.equal(changed, before)
    assert torch.equal(changed, run(fresh))


def test_training_forgets(count: Count) -> None:
    model = small()
    run(model)
    model.train()
    assert all(len(layer.spectra) == 0 for layer in model.s4_layers if isinstance(layer, S4Layer))
    run(model.eval())
    assert count.kernels == 6


def test_gradients_in_evaluation_are_those_of_training() -> None:
    model = small(dropout=0.0)
    run(model)
    sequence = torch.randn(1, 20, 6)
    gradients = []
    for training in (False, True):
        model.train(training).zero_grad()
        model(sequence).sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_frozen_weights_pass_gradients_on(count: Count) -> None:
    model = small().requires_grad_(False)
    with torch.inference_mode():  # a spectrum made here must serve where gradients flow
        model(torch.randn(1, 20, 6))
    sequence = torch.randn(1, 20, 6, requires_grad=True)
    model(sequence).sum().backward()
    assert sequence.grad is not None and sequence.grad.ne(0).any() and count.kernels == 3


def test_models_made_in_inference_mode() -> None:
    with torch.inference_mode():
        model = small()
        first = run(model)
        model.s4_layers[0].D.add_(1.0)  # type: ignore[operator]
        assert not torch.equal(run(model), first)


def test_few_lengths_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small()
    layer = model.s4_layers[0]
    assert isinstance(layer, S4Layer)
    for length in range(1, 400, 7):
        run(model, length)
        assert len(layer.spectra) <= spectrum_cache.MAX_SPECTRA
    monkeypatch.setattr(spectrum_cache, "MAX_BYTES", 1)
    run(model, 401)
    assert len(layer.spectra) == 1


def test_threads_build_once(count: Count) -> None:
    model = small()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: run(model), range(16)))
    assert count.kernels == 3
    assert all(torch.equal(logits, found[0]) for logits in found)


def test_copies_are_independent() -> None:
    model = small()
    before = run(model)
    other, sent = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    with torch.no_grad():
        model.s4_layers[0].D.add_(1.0)  # type: ignore[operator]
    assert torch.equal(run(other), before) and torch.equal(run(sent), before)
    assert not torch.equal(run(model), before)
