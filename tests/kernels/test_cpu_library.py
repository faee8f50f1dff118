"""The library: how it is built, what is said when it is not there, and how it shares a host."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.kernels.cpu import needs_library
from vfeat.kernels import build, cpu_library
from vfeat.ops.cpu import CpuBackend

ROOT = Path(__file__).parents[2]
RUN = """
import torch
from tests.kernels.test_cpu_block import block
from vfeat.kernels import cpu_block
torch.set_num_threads(2)
given = block(length=400, batch=3)
first = cpu_block.bidirectional_mamba(*given)
for _ in range(20):
    assert torch.equal(cpu_block.bidirectional_mamba(*given), first)
print(float(first.double().sum()))
"""


@pytest.fixture
def not_loaded() -> Iterator[None]:
    """The library is looked for anew, before and after."""
    for cached in (cpu_library.load, cpu_library.why_missing):
        cached.cache_clear()
    yield
    for cached in (cpu_library.load, cpu_library.why_missing):
        cached.cache_clear()


def test_installing_without_a_compiler_succeeds_with_a_note(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("hatchling")
    monkeypatch.setenv("CXX", "/nowhere/c++")
    hook = runpy.run_path(str(ROOT / "hatch_build.py"))
    assert hook["build_kernels"]() is False
    assert "/nowhere/c++ is not there" in capsys.readouterr().err


def test_a_compiler_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", f"{sys.executable} -c 'import sys; sys.exit(\"no avx here\")'")
    with pytest.raises(build.CannotBuild, match="no avx here"):
        build.build(tmp_path / "library.so")
    assert not list(tmp_path.iterdir())


def test_the_doctor_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, not_loaded: None, tmp_path: Path
) -> None:
    monkeypatch.setattr(cpu_library, "LIBRARY", tmp_path / "none.so")
    reason = CpuBackend().why_not("cpu", torch.float32)
    assert reason is not None and "no compiled library: install g++" in reason


@needs_library
def test_a_stale_library_is_not_used(monkeypatch: pytest.MonkeyPatch, not_loaded: None) -> None:
    monkeypatch.setattr(cpu_library, "digest", lambda: "other sources")
    reason = CpuBackend().why_not("cpu", torch.float32)
    assert reason is not None and "older than its sources" in reason


@needs_library
def test_the_environment_names_the_instruction_set(
    monkeypatch: pytest.MonkeyPatch, not_loaded: None
) -> None:
    best = cpu_library.load().isa
    cpu_library.load.cache_clear()
    monkeypatch.setenv(cpu_library.ISA_VARIABLE, "mmx")
    reason = CpuBackend().why_not("cpu", torch.float32)
    assert reason is not None and "VFEAT_CPU_ISA=mmx" in reason and best in reason


def test_only_what_it_computes() -> None:
    assert "CPU tensors" in str(CpuBackend().why_not("cuda", torch.float32))
    assert "float64" in str(CpuBackend().why_not("cpu", torch.float64))


@needs_library
def test_four_processes_at_once_agree() -> None:
    command = [sys.executable, "-c", RUN]
    running = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert all(process.returncode == 0 for process in running)
    assert len(set(said)) == 1


@needs_library
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_threads_of_its_own() -> None:
    # No operation of torch's in the child: its OpenMP threads do not survive a fork.
    fork = (
        "import os\nchild = os.fork()\n"
        "again = cpu_block.bidirectional_mamba(*given)\n"
        "good = again.numpy().tobytes() == first.numpy().tobytes()\n"
        "if child:\n    good = good and os.waitpid(child, 0)[1] == 0\n"
        "os._exit(0 if good else 1)\n"
    )
    subprocess.run([sys.executable, "-c", RUN + fork], cwd=ROOT, check=True, timeout=60)


@needs_library
def test_nothing_but_its_functions_and_libc() -> None:
    """No C++ runtime to clash with torch's, no OpenMP, no torch."""
    try:
        read = subprocess.run(
            ["readelf", "-d", str(build.LIBRARY)], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs readelf")
    needed = [line for line in read.stdout.splitlines() if "NEEDED" in line]
    assert needed and all("libc" in n or "libpthread" in n or "libm." in n or "ld-linux" in n
                          for n in needed)  # fmt: skip
    assert not any("libstdc++" in n for n in needed)
