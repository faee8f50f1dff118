"""Every kernel compiles for an H200, without one, and keeps all it holds in registers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("triton interprets in this process", allow_module_level=True)

KERNELS = {
    "conv_kernel",
    "conv_slope_kernel",
    "conv_input_kernel",
    "segment_kernel",
    "combine_kernel",
    "scan_kernel",
    "scan_grad_kernel",
    "add_norm_kernel",
    "pixel_rows_kernel",
}
# Channels and rank of the time step of VideoMamba-Tiny and -Middle.
WIDTHS = {"tiny": (384, 12), "middle": (1152, 36)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "dtype"), [("tiny", torch.float32), ("middle", torch.bfloat16)], ids=str
)
def test_no_kernel_spills(
    model: str, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vfeat.kernels.gpu import offline

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    built = {offline.build(call) for call in offline.block_calls(*WIDTHS[model], dtype)}
    for kernel in sorted(built):
        print(kernel)
    assert {kernel.name for kernel in built} == KERNELS
    assert not [kernel for kernel in built if kernel.spilled_bytes]


@pytest.mark.slow
def test_a_thread_holds_all_states_of_its_channel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tokens a turn, 16 states: sums over states that cross threads would double this."""
    from vfeat.kernels.gpu import offline

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    calls = offline.block_calls(384, 12, torch.bfloat16)
    scan = offline.build(next(call for call in calls if call.kernel.__name__ == "scan_kernel"))
    assert max(scan.loops) / (2 * 16) < 10
