"""Weights of ViS4mer: published forms are read, misfits are named."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models.test_vis4mer import SMALL, small
from vfeat.errors import JobError
from vfeat.models import create_model, save_model
from vfeat.models.vis4mer_config import resolve_head

NEEDED = {"d_input": 6, "l_max": 24, "d_output": 3}


@pytest.fixture
def state() -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in small().state_dict().items()}


@pytest.mark.parametrize("wrapper", ["", "model", "module", "state_dict", "state_dict model"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "encoder.", "module.backbone."])
def test_published_forms(
    wrapper: str, prefix: str, state: dict[str, Tensor], tmp_path: Path
) -> None:
    content: Any = {prefix + key: tensor for key, tensor in state.items()}
    for key in reversed(wrapper.split()):
        content = {key: content, "epoch": 3, "args": argparse.Namespace(lr=0.1, name="x")}
    torch.save(content, tmp_path / "w.pth")
    found = create_model("vis4mer", weights=str(tmp_path / "w.pth"), **SMALL).state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)


@pytest.mark.parametrize("kernel", ["nplr", "s4d"])
def test_saved_and_loaded_is_the_same_model(kernel: str, tmp_path: Path) -> None:
    model = small(kernel=kernel, dropout=0.1)
    save_model(model, tmp_path)
    again = create_model("vis4mer", weights=str(tmp_path)).eval()
    sequence = torch.randn(1, 20, 6)
    assert again.config == model.config
    assert torch.equal(again(sequence), model(sequence))
    assert all(p.requires_grad for p in again.parameters())


def test_the_same_random_weights_everywhere() -> None:
    state = torch.random.get_rng_state()
    first = small().state_dict()
    torch.rand(3)
    assert all(torch.equal(first[k], t) for k, t in small().state_dict().items())
    torch.random.set_rng_state(state)
    assert not torch.equal(create_model("vis4mer", **SMALL).decoder.weight, first["decoder.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d_input": 7}, r"encoder\.weight: .*\(16, 6\), the model \(16, 7\)"),
        ({"d_model": 32}, r"encoder\.weight: .*\(16, 6\), the model \(32, 6\)"),
        ({"d_output": 4}, r"decoder\.weight: .*\(3, 2\), the model \(4, 2\)"),
        ({"n_layers": 2}, r"decoder\.weight: .*\(3, 2\), the model \(3, 4\)"),
        ({"l_max": 40}, r"krylov\.nodes: .*\(13, 2\), the model \(21, 2\)"),
        ({"l_max": 25}, r"s4_layers\.0\.kernel\.krylov\.nodes: .*length 24, .*length 25"),
        ({"kernel": "s4d"}, r"krylov\.log_A_real: missing from the checkpoint"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_misfit_names_the_tensor_and_both_shapes(
    change: dict[str, Any], message: str, state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(JobError, match=message):
        create_model("vis4mer", weights=str(tmp_path / "w.pth"), **SMALL | change)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"d_modl": 8}, r"no option 'd_modl'.*d_model"),
        ({"l_max": 0}, "l_max is a whole number of at least 1, not 0"),
        ({"d_input": 2.5}, "d_input is a whole number"),
        ({"n_layers": 5, "d_model": 16}, "5 layers halve d_model 16 and l_max 24 too often"),
        ({"kernel": "s5"}, "kernel is one of nplr, s4d, not 's5'"),
        ({"dropout": 1.0}, r"dropout is at least 0 and below 1, not 1\.0"),
        ({"prenorm": "yes"}, "prenorm is true or false"),
    ],
    ids=str,
)
def test_values_that_cannot_be(config: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        resolve_head(NEEDED | config)


def test_sizes_without_a_default_are_asked_for() -> None:
    with pytest.raises(JobError, match="needs l_max, d_output"):
        create_model("vis4mer", d_input=6)
