"""Which back-end runs, and what a user reads when theirs cannot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from vfeat import ops
from vfeat.errors import EnvironmentMissing
from vfeat.ops import registry
from vfeat.ops.backend import TorchBackend


class Absent(TorchBackend):
    """A back-end whose hardware is never there."""

    name = "absent"

    def why_not(self, device_type: str, dtype: torch.dtype) -> str | None:
        return "it needs a device that nobody has."


class Narrow(TorchBackend):
    """A back-end that computes nothing but float32."""

    name = "narrow"

    def why_not(self, device_type: str, dtype: torch.dtype) -> str | None:
        return None if dtype == torch.float32 else "it computes in float32 only."


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test starts with torch alone and no choice in the environment."""
    monkeypatch.setattr(registry, "_backends", [TorchBackend()])
    monkeypatch.delenv(registry.VARIABLE, raising=False)
    yield


def test_torch_always_runs() -> None:
    assert ops.choose("cpu").name == "torch"
    status = ops.describe_backends()[-1]
    assert (status.name, status.runs, status.reason, status.chosen) == ("torch", True, "", True)


def test_one_that_cannot_run_is_passed_over_and_says_why() -> None:
    ops.register(Absent())
    assert ops.choose("cpu").name == "torch"
    assert ops.describe_backends()[0] == (
        "absent",
        False,
        Absent().why_not("cpu", torch.float32),
        False,
    )


def test_the_best_for_the_dtype_runs() -> None:
    ops.register(Narrow())
    assert ops.choose("cpu", torch.float32).name == "narrow"
    assert ops.choose("cpu", torch.float64).name == "torch"


def test_the_environment_forces_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ops.register(Narrow())
    monkeypatch.setenv(registry.VARIABLE, "torch")
    assert ops.choose("cpu").name == "torch"
    assert [s.chosen for s in ops.describe_backends()] == [False, True]


def test_forcing_one_that_cannot_run_gives_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    ops.register(Absent())
    monkeypatch.setenv(registry.VARIABLE, "absent")
    with pytest.raises(EnvironmentMissing, match=r"device that nobody has.*torch \(runs\)"):
        ops.causal_conv1d(torch.zeros(1, 2, 3), torch.zeros(2, 4))


def test_forcing_one_that_does_not_exist_lists_those_that_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(registry.VARIABLE, "fpga")
    with pytest.raises(EnvironmentMissing, match=r"VFEAT_KERNEL=fpga.*torch \(runs\)"):
        ops.choose("cpu")
    assert not any(s.chosen for s in ops.describe_backends())


def test_kernels_know_nothing_of_vfeat() -> None:
    """A leaf: importable as a folder of its own package, under any name."""
    code = (
        "import sys, types, pathlib; import vfeat; "
        "package = types.ModuleType('leaf'); "
        "package.__path__ = [str(pathlib.Path(vfeat.__file__).parent / 'kernels')]; "
        "sys.modules['leaf'] = package; import leaf.torch_ops; "
        "assert not [m for m in sys.modules if m.startswith('vfeat.')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
