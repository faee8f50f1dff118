"""The GPU benchmark refuses without a GPU, and what it counts and compares is right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.kernels.conftest import relative
from vfeat.kernels import reference
from vfeat.kernels.bench import cuda, cuda_floors, videomamba
from vfeat.kernels.bench.attention import AttentionModel, Kind
from vfeat.ops import DirectionWeights

H200 = cuda_floors.Machine("H200", 132, 1.98e9, 4.3e12, 790e12)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to measure")
def test_without_a_gpu_it_says_so_in_one_line_and_writes_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vfeat.kernels.bench.cuda", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 4
    assert (done.stdout, done.stderr) == ("", cuda.NO_GPU + "\n")
    assert not list(tmp_path.iterdir())


def test_a_clip_of_the_tiny_model_is_463_million_state_updates() -> None:
    size = videomamba.SIZES[0]
    work = cuda_floors.block_work(size, 1569, 2).times(size.depth)
    assert work.state_updates == 2 * 384 * 16 * 1569 * 24
    least = cuda_floors.floors(work, H200)
    # 111 microseconds for the decays alone; softplus and SiLU add their share.
    assert 0.111 < least.special < 0.150
    assert least.issue < least.special


def test_a_table_states_ratio_and_floor_and_what_did_not_fit() -> None:
    work = cuda_floors.block_work(videomamba.SIZES[0], 1569, 2)
    sides: list[dict[str, object]] = [
        {"name": "triton", "ms": 1.0, "peak_bytes": 1 << 30},
        {"name": "mamba_ssm", "ms": 3.5, "peak_bytes": 2 << 30},
        {"name": "joint", "ms": None, "peak_bytes": None},
    ]
    least = cuda_floors.Floors(0.5, 0.1, 0.2, 0.1)
    text = cuda.table(cuda.Result("case", "model", "", 1, sides, work._asdict(), least._asdict()))
    assert "3.50x mamba_ssm   50% of the special floor" in text
    assert "does not fit the memory" in text


def test_without_a_baseline_there_is_no_ratio() -> None:
    work = cuda_floors.block_work(videomamba.SIZES[0], 1569, 2)
    sides: list[dict[str, object]] = [{"name": "triton", "ms": 1.0, "peak_bytes": 1}]
    least = cuda_floors.Floors(0.5, 0.1, 0.2, 0.1)
    assert "x mamba_ssm" not in cuda.table(
        cuda.Result("case", "model", "", 1, sides, work._asdict(), least._asdict())
    )


def test_every_case_of_the_plan_is_another() -> None:
    cases = list(cuda.cases())
    assert len(set(cases)) == len(cases)
    models = {(c.size.name, c.frames) for c in cases if c.what == "model"}
    assert {(s.name, f) for s in videomamba.SIZES for f in (8, 16, 64)} <= models


def test_both_layouts_of_the_model_give_the_same_features() -> None:
    torch.manual_seed(0)
    model = videomamba.Model(videomamba.Size("small test", 32, 2), frames=1)

    def turned(xz_B2EL: Tensor, forward: DirectionWeights, backward: DirectionWeights) -> Tensor:
        return reference.bidirectional_mamba(xz_B2EL.mT, forward, backward).mT

    norm = reference.add_rms_norm
    plain = videomamba.Kernels("plain", reference.bidirectional_mamba, norm)
    official = videomamba.Kernels("official", turned, norm, channel_major=True)
    video = torch.randn(1, 3, 1, 224, 224)
    with torch.no_grad():
        assert relative(model(video, official), model(video, plain)) < 1e-5


@pytest.mark.parametrize("kind", ["frames", "divided", "joint"])
def test_attention_couples_the_frames_it_should(kind: Kind) -> None:
    torch.manual_seed(0)
    model = AttentionModel(64, 1, frames=2, kind=kind, size=32).eval()
    video = torch.randn(1, 3, 2, 32, 32)
    changed = video.clone()
    changed[:, :, 1] += torch.randn(3, 32, 32)
    with torch.no_grad():
        before, after = (model.layers(model.patches(v)) for v in (video, changed))
    first_frame_sees_the_second = not torch.equal(before[:, 0], after[:, 0])
    assert first_frame_sees_the_second == (kind != "frames")
