"""The composition around mamba-ssm and causal-conv1d, with stand-ins for the packages.

The stand-ins compute by the reference and refuse what the real functions refuse. The
packages themselves need a GPU.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from torch import Tensor

from tests.kernels.conftest import random_direction, random_scan, relative
from vfeat.kernels import mamba_ssm_ops, reference


def selective_scan_fn(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> tuple[Tensor, Tensor]:
    """mamba-ssm 2.3.2, which tells dtypes apart and returns two values only when asked."""
    assert return_last_state
    assert A.dtype == torch.float32
    assert delta.dtype == u.dtype and (z is None or z.dtype == u.dtype)
    assert all(t.dtype == (torch.float32 if t.dim() == 2 else u.dtype) for t in (B, C))
    assert all(t is None or t.dtype == torch.float32 for t in (D, delta_bias))
    return reference.selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus)


def causal_conv1d_fn(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str | None = None
) -> Tensor:
    """causal-conv1d 1.7.0."""
    assert activation in (None, "silu", "swish")
    assert 2 <= weight.shape[1] <= 4
    return reference.causal_conv1d(x, weight, bias, activation is not None)


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stand-ins under the packages' names."""
    functions = {
        "mamba_ssm.ops.selective_scan_interface": selective_scan_fn,
        "causal_conv1d": causal_conv1d_fn,
    }
    for name in ("mamba_ssm", "mamba_ssm.ops", *functions):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name, function in functions.items():
        setattr(sys.modules[name], function.__name__, function)
    mamba_ssm_ops.why_broken.cache_clear()
    yield
    mamba_ssm_ops.why_broken.cache_clear()


@pytest.mark.parametrize("length", [1, 3, 40])
def test_block_equals_reference(packages: None, length: int) -> None:
    given = torch.randn(2, length, 48), random_direction(0, 24), random_direction(1, 24)
    found = mamba_ssm_ops.bidirectional_mamba(*given)
    assert relative(found, reference.bidirectional_mamba(*given)) < 2e-6


def test_bfloat16_stays_bfloat16(packages: None) -> None:
    given = torch.randn(2, 9, 48).bfloat16(), random_direction(0, 24), random_direction(1, 24)
    found = mamba_ssm_ops.bidirectional_mamba(*given)
    assert found.dtype == torch.bfloat16
    # Rounded after each operation, as the official code is.
    assert relative(found, reference.bidirectional_mamba(*given)) < 3e-2


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_scan_equals_reference(packages: None, reverse: bool) -> None:
    given = tuple(random_scan(batch=2, channels=4, length=9).values())
    y, h = mamba_ssm_ops.selective_scan(*given, delta_softplus=True, reverse=reverse)
    want = reference.selective_scan(*given, delta_softplus=True, reverse=reverse)
    assert relative(y, want[0]) < 1e-6
    assert relative(h, want[1]) < 1e-6


@pytest.mark.parametrize("taps", [4, 5], ids=["its own", "more taps than it has kernels for"])
def test_convolution_equals_reference(packages: None, taps: int) -> None:
    x, weight, bias = torch.randn(2, 5, 9), torch.randn(5, taps), torch.randn(5)
    found = mamba_ssm_ops.causal_conv1d(x, weight, bias, silu=True, reverse=True)
    assert relative(found, reference.causal_conv1d(x, weight, bias, True, True)) < 1e-6


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mamba_ssm_ops, "find_spec", lambda name: None)
    reason = mamba_ssm_ops.why_not("cuda", torch.float32)
    assert reason == "packages not installed: mamba-ssm and causal-conv1d (pip install)."
    monkeypatch.setattr(
        mamba_ssm_ops, "find_spec", lambda name: None if name == "causal_conv1d" else object()
    )
    reason = mamba_ssm_ops.why_not("cuda", torch.float32)
    assert reason == "package not installed: causal-conv1d (pip install)."


def test_it_needs_a_gpu_and_a_dtype_it_has(packages: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mamba_ssm_ops, "find_spec", lambda name: object())
    assert "GPU" in (mamba_ssm_ops.why_not("cpu", torch.float32) or "")
    assert "float64" in (mamba_ssm_ops.why_not("cuda", torch.float64) or "")
    assert mamba_ssm_ops.why_not("cuda", torch.bfloat16) is None


def test_a_package_built_for_another_torch_is_named(
    packages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> None:
        raise OSError(f"{name}.so: undefined symbol: _ZN3c10\nand so on")

    monkeypatch.setattr(mamba_ssm_ops, "find_spec", lambda name: object())
    monkeypatch.setattr(mamba_ssm_ops, "import_module", load)
    reason = mamba_ssm_ops.why_not("cuda", torch.float32) or ""
    assert "interface cannot be imported (OSError: " in reason and "_ZN3c10)" in reason
