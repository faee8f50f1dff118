"""Weights: every published form is read, every misfit is named, nothing is executed."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.models.conftest import SMALL
from vfeat.errors import JobError
from vfeat.models import VideoMamba, create_model, save_model

State = dict[str, Tensor]


@pytest.fixture
def state(small: VideoMamba) -> State:
    return {key: tensor.clone() for key, tensor in small.state_dict().items()}


def stored(folder: Path, content: object) -> str:
    torch.save(content, folder / "w.pth")
    return str(folder / "w.pth")


def load(weights: str, **config: Any) -> VideoMamba:
    """A model from weights that must fit without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return create_model("videomamba", weights=weights, **SMALL | config)


def assert_same(model: VideoMamba, state: State) -> None:
    found = model.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)


@pytest.mark.parametrize("wrapper", ["", "model", "module", "state_dict", "state_dict model"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "encoder.", "module.backbone."])
def test_published_forms(wrapper: str, prefix: str, state: State, tmp_path: Path) -> None:
    content: Any = {prefix + key: tensor for key, tensor in state.items()}
    for key in reversed(wrapper.split()):
        content = {key: content, "epoch": 3, "args": argparse.Namespace(lr=0.1, name="x")}
    assert_same(load(stored(tmp_path, content)), state)


def test_old_format_pickles(state: State, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"model": state}, path, _use_new_zipfile_serialization=False)
    assert_same(load(str(path)), state)


def test_half_precision_becomes_float32(state: State, tmp_path: Path) -> None:
    model = load(stored(tmp_path, {key: tensor.half() for key, tensor in state.items()}))
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_bare_safetensors_file(state: State, tmp_path: Path) -> None:
    save_file(state, tmp_path / "w.safetensors")
    assert_same(load(str(tmp_path / "w.safetensors")), state)


def test_saved_and_loaded_is_the_same_model(small: VideoMamba, tmp_path: Path) -> None:
    save_model(small, tmp_path / "new" / "folder")
    again = create_model("videomamba", weights=str(tmp_path / "new" / "folder"))
    assert again.config == small.config
    assert_same(again, small.state_dict())
    assert all(p.requires_grad for p in again.parameters())
    assert sorted(os.listdir(tmp_path / "new/folder")) == ["config.json", "model.safetensors"]


def test_options_go_before_the_folders_own(small: VideoMamba, tmp_path: Path) -> None:
    save_model(small, tmp_path)
    longer = create_model("videomamba", weights=str(tmp_path), num_frames=6)
    assert longer.config.num_frames == 6 and longer.config.depth == small.config.depth


def test_a_preset_keeps_its_size_over_the_folders(small: VideoMamba, tmp_path: Path) -> None:
    save_model(small, tmp_path)
    with pytest.raises(JobError, match=r"cls_token.*\(1, 1, 32\).*\(1, 1, 192\)"):
        create_model("videomamba_tiny", weights=str(tmp_path))


def test_any_fsspec_uri(state: State, tmp_path: Path) -> None:
    import fsspec

    content = Path(stored(tmp_path, state)).read_bytes()
    with fsspec.open("memory://weights/w.pth", "wb") as file:
        file.write(content)
    assert_same(load("memory://weights/w.pth"), state)
    assert_same(load(f"file://{tmp_path}/w.pth"), state)


def test_a_remote_folder(small: VideoMamba, tmp_path: Path) -> None:
    import fsspec

    save_model(small, tmp_path)
    for name in ("config.json", "model.safetensors"):
        with fsspec.open(f"memory://models/ours/{name}", "wb") as file:
            file.write((tmp_path / name).read_bytes())
    assert_same(create_model("videomamba", weights="memory://models/ours"), small.state_dict())


class Attack:
    """A pickle that leaves a file behind when it is run."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


def test_a_malicious_pickle_is_refused_and_not_run(state: State, tmp_path: Path) -> None:
    target = tmp_path / "owned"
    weights = stored(tmp_path, {"model": state, "args": Attack(target)})
    with pytest.raises(JobError, match=r"w\.pth refused: .*posix\.system.*Nothing in it was run"):
        load(weights)
    plain = tmp_path / "plain.pth"
    plain.write_bytes(pickle.dumps(Attack(target)))
    with pytest.raises(JobError, match=r"refused|not a PyTorch checkpoint"):
        load(str(plain))
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut short", b"\0" * 8 + b"{bad"])
def test_what_is_not_a_checkpoint(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(JobError, match=r"w\.pth"):
        load(str(tmp_path / "w.pth"))


def test_a_file_without_tensors(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"no tensors found.*model, module, state_dict"):
        load(stored(tmp_path, {"model": {"epoch": 3}}))


def test_a_head_of_other_classes_is_dropped_with_a_warning(state: State, tmp_path: Path) -> None:
    weights = stored(tmp_path, state)
    config = SMALL | {"num_classes": 9}
    with pytest.warns(UserWarning, match=r"5 classes, the model one of 9.*num_classes=5 keeps it"):
        first = create_model("videomamba", weights=weights, **config)
    torch.rand(3)  # whatever else drew random numbers
    with pytest.warns(UserWarning):
        second = create_model("videomamba", weights=weights, **config)
    assert first.head.weight.shape == (9, 32)
    assert torch.equal(first.head.weight, second.head.weight)
    assert torch.equal(first.norm_f.weight, state["norm_f.weight"])


def test_a_checkpoint_without_a_head_warns(state: State, tmp_path: Path) -> None:
    del state["head.weight"], state["head.bias"]
    with pytest.warns(UserWarning, match="has no head"):
        create_model("videomamba", weights=stored(tmp_path, state), **SMALL)


def test_no_head_wanted_no_warning(state: State, tmp_path: Path) -> None:
    model = load(stored(tmp_path, state), num_classes=0)
    assert "head.weight" not in model.state_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embed_dim": 48}, r"cls_token: .*\(1, 1, 32\), the model \(1, 1, 48\)"),
        ({"patch_size": 8}, r"patch_embed.proj.weight: .*\(32, 3, 1, 16, 16\).*\(32, 3, 1, 8, 8\)"),
        ({"tubelet_size": 2}, r"\(32, 3, 1, 16, 16\).*\(32, 3, 2, 16, 16\)"),
        ({"depth": 3}, r"layers\.2\.\S+: missing from the checkpoint, the model has shape"),
        ({"depth": 1}, r"layers\.1\.\S+: in the checkpoint with shape .*unknown to the model"),
        ({"num_frames": 0}, r"patch_embed.proj.weight: .*\(32, 3, 1, 16, 16\).*\(32, 3, 16, 16\)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_misfit_names_the_tensor_and_both_shapes(
    change: dict[str, int], message: str, state: State, tmp_path: Path
) -> None:
    with pytest.raises(JobError, match=message):
        load(stored(tmp_path, state), **change)


def test_a_grid_that_is_not_square_is_named(state: State, tmp_path: Path) -> None:
    state["pos_embed"] = torch.zeros(1, 7, 32)
    with pytest.raises(JobError, match=r"pos_embed: .*\(1, 7, 32\), the model \(1, 5, 32\)"):
        load(stored(tmp_path, state))


def test_two_tensors_of_one_name(state: State, tmp_path: Path) -> None:
    state["encoder.cls_token"] = state["cls_token"]
    with pytest.raises(JobError, match="two tensors are called cls_token"):
        load(stored(tmp_path, state))


def test_a_damaged_folder_config(small: VideoMamba, tmp_path: Path) -> None:
    save_model(small, tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(JobError, match=r"config\.json is not JSON"):
        create_model("videomamba", weights=str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps([1]))
    with pytest.raises(JobError, match="holds a list"):
        create_model("videomamba", weights=str(tmp_path))
