"""The class token's attention: of the last layer, without a change of the tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.models.test_vit import NETWORKS
from tests.models.vits import save_vit
from vfeat.errors import JobError
from vfeat.models.vit_attention import ClassAttention
from vfeat.models.vit_model import load_vit

SILENT = {
    "Data2VecVisionModel": "architecture",
    "IJepaModel": "class token",
    "SiglipModel": "class token",
    "SiglipVisionModel": "class token",
}


@pytest.mark.parametrize("network", [name for name in NETWORKS if name not in SILENT])
def test_attention_of_each_patch(network: str, tmp_path: Path) -> None:
    save_vit(tmp_path, network)
    frames_FCSS = torch.randn(2, 3, 32, 32)
    model = load_vit(str(tmp_path))
    with torch.inference_mode():
        expected_FMD, _ = model(frames_FCSS)
        tokens_FMD, attention_FP = ClassAttention(model, 32)(frames_FCSS)
    torch.testing.assert_close(tokens_FMD, expected_FMD, rtol=1e-5, atol=1e-5)
    assert attention_FP.shape == (2, 16)
    assert (attention_FP > 0).all() and (attention_FP.sum(1) < 1).all()
    assert not torch.equal(attention_FP[0], attention_FP[1])


def test_attention_weighs_the_patch_that_matters(tmp_path: Path) -> None:
    """Computed by hand from the last layer's own projections."""
    network = save_vit(tmp_path)
    frames_FCSS = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        _, attention_FP = ClassAttention(load_vit(str(tmp_path)), 32)(frames_FCSS)
        hidden = network(frames_FCSS, output_hidden_states=True).hidden_states[-2]
        layer = network.layers[-1]
        normed = layer.layernorm_before(hidden)
        query, key = (
            getattr(layer.attention, name)(normed).view(17, 2, 16).transpose(0, 1)
            for name in ("q_proj", "k_proj")
        )
        weights = (query @ key.mT / 4).softmax(-1).mean(0)
    torch.testing.assert_close(attention_FP[0], weights[0, 1:], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("network", "reason"), SILENT.items())
def test_a_network_that_cannot_tell(network: str, reason: str, tmp_path: Path) -> None:
    save_vit(tmp_path, network)
    with pytest.raises(JobError, match=reason):
        ClassAttention(load_vit(str(tmp_path)), 32)
