"""Vision transformers of the transformers library: what is planned is what they give."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.vits import PIXELS, edit, save_vit
from vfeat.errors import EnvironmentMissing, JobError
from vfeat.models.vit import KINDS, read_vit
from vfeat.models.vit_model import load_vit

NETWORKS = {
    "BeitModel": 17,
    "CLIPModel": 17,
    "CLIPVisionModel": 17,
    "Data2VecVisionModel": 17,
    "DeiTModel": 18,
    "Dinov2Model": 17,
    "Dinov2WithRegistersModel": 21,
    "DINOv3ViTModel": 17,
    "IJepaModel": 16,
    "SiglipModel": 16,
    "SiglipVisionModel": 16,
    "ViTModel": 17,
    "ViTMSNModel": 17,
}
HEADS = (
    "BeitForImageClassification",
    "CLIPForImageClassification",
    "DeiTForImageClassificationWithTeacher",
    "Dinov2ForImageClassification",
    "SiglipForImageClassification",
    "ViTForImageClassification",
)


@pytest.mark.parametrize(("network", "tokens"), NETWORKS.items())
def test_planning_and_the_network_agree(network: str, tokens: int, tmp_path: Path) -> None:
    model = save_vit(tmp_path, network)
    frames_FCSS = torch.randn(2, 3, 32, 32)
    loaded = load_vit(str(tmp_path))
    with torch.inference_mode():
        ours_FND, logits = loaded(frames_FCSS)
        vision = model.vision_model if network in ("CLIPModel", "SiglipModel") else model
        theirs_FND = vision(pixel_values=frames_FCSS).last_hidden_state
    torch.testing.assert_close(ours_FND, theirs_FND, rtol=1e-5, atol=1e-6)
    assert logits is None
    assert loaded.label_names == ()
    assert ours_FND.shape[1:] == (loaded.info.tokens(32), loaded.info.width) == (tokens, 32)


def test_every_kind_is_tested(tmp_path: Path) -> None:
    kinds = set()
    for network in NETWORKS:
        save_vit(tmp_path / network, network)
        kinds.add(json.loads((tmp_path / network / "config.json").read_text())["model_type"])
    assert kinds == set(KINDS)


@pytest.mark.parametrize("network", HEADS)
def test_a_head_gives_labels_beside_the_tokens(network: str, tmp_path: Path) -> None:
    names = {0: "cat", 1: "dog", 2: "owl"}
    model = save_vit(tmp_path, network, id2label=names, label2id={v: k for k, v in names.items()})
    frames_FCSS = torch.randn(2, 3, 32, 32)
    loaded = load_vit(str(tmp_path))
    with torch.inference_mode():
        tokens_FND, logits_FK = loaded(frames_FCSS)
        base = model.base_model if model.base_model is not model else model.vision_model
        trunk_FND = base(pixel_values=frames_FCSS).last_hidden_state
        theirs_FK = model(pixel_values=frames_FCSS).logits
    torch.testing.assert_close(tokens_FND, trunk_FND, rtol=1e-5, atol=1e-6)
    assert logits_FK is not None
    torch.testing.assert_close(logits_FK, theirs_FK, rtol=1e-5, atol=1e-6)
    assert loaded.label_names == ("cat", "dog", "owl")


def test_frames_of_another_size_resize_the_positions(tmp_path: Path) -> None:
    model = save_vit(tmp_path)
    frames_FCSS = torch.randn(1, 3, 48, 48)
    loaded = load_vit(str(tmp_path), 48)
    with torch.inference_mode():
        ours_FND, _ = loaded(frames_FCSS)
        theirs_FND = model(frames_FCSS, interpolate_pos_encoding=True).last_hidden_state
    torch.testing.assert_close(ours_FND, theirs_FND, rtol=1e-5, atol=1e-6)
    assert ours_FND.shape[1] == loaded.info.tokens(48) == 37


@pytest.mark.parametrize(
    ("pixels", "size", "mean"),
    [
        ({}, 32, 0.5),
        ({"size": 48}, 48, 0.5),
        ({"size": {"shortest_edge": 40}, "do_center_crop": False, "crop_size": 32}, 40, 0.5),
        (
            {
                "size": {"shortest_edge": 256},
                "do_center_crop": True,
                "crop_size": {"height": 224, "width": 224},
            },
            224,
            0.5,
        ),
        ({"do_normalize": False}, 32, 0.0),
        ({"rescale_factor": 1 / 127.5, "image_mean": [1.0, 1.0, 1.0]}, 32, 0.5),
    ],
)
def test_size_and_normalisation_are_the_checkpoints(
    pixels: dict[str, Any], size: int, mean: float, tmp_path: Path
) -> None:
    save_vit(tmp_path, pixels={**PIXELS, **pixels})
    info = read_vit(str(tmp_path))
    assert info.size == size
    assert info.mean[0] == pytest.approx(mean, rel=1e-12)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that tests copy and break."""
    folder = tmp_path_factory.mktemp("vit") / "saved"
    save_vit(folder)
    return folder


@pytest.mark.parametrize(
    ("file", "changes", "sentence"),
    [
        ("config.json", {"model_type": "swin"}, "type 'swin'.*It supports vit, deit"),
        ("config.json", {"hidden_size": "wide"}, "hidden_size in config.json is a whole number"),
        ("config.json", {"num_hidden_layers": 3}, "lack .* tensors.*layer"),
        ("config.json", {"hidden_size": 64}, "tensors|could not be loaded"),
        ("preprocessor_config.json", {"image_mean": [0.5]}, "image_mean .* three numbers"),
        ("preprocessor_config.json", {"size": {"height": 32, "width": 64}}, "give --size"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(
    file: str, changes: dict[str, Any], sentence: str, saved: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(saved, tmp_path / "broken")
    edit(broken, file, **changes)
    with pytest.raises(JobError, match=sentence):
        load_vit(str(broken))


def test_without_the_package_it_says_what_to_install(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(EnvironmentMissing, match=r"pip install 'vfeat\[vit\]'"):
        load_vit(str(saved))


def test_planning_loads_neither_torch_nor_transformers(saved: Path, own_clips: Path) -> None:
    code = f"""
import sys
from vfeat.extract.run import ExtractRun
from vfeat.engine.watch import Watch
from vfeat.job.spec import parse_job
job = parse_job({{"sources": [{str(own_clips / "vp9.webm")!r}], "out": "/no/where",
    "model": {f"vit:{saved}"!r}, "num_frames": 1, "clip_seconds": 1, "executor": "inline"}})
run = ExtractRun(job, Watch())
assert run.preview().clips == 3
run.close()
assert not {{"torch", "transformers"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
