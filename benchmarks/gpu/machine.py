"""Step a: what the machine is, and what is missing on it."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shutil
import subprocess
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.gpu.assignment import Assignment, StepFailed, python

QUERY = (
    "name,driver_version,memory.total,clocks.max.sm,clocks.max.memory,power.limit,"
    "temperature.gpu,utilization.gpu,mig.mode.current"
)
# Folders of driver libraries in images that leave them off the loader's path.
DRIVER_FOLDERS = ("/usr/local/nvidia/lib64", "/usr/local/nvidia/lib", "/usr/local/cuda/compat")
LIBRARIES = {
    "libcuda": "libcuda.so.1",
    "libnvcuvid": "libnvcuvid.so.1",
    "libnvidia-ml": "libnvidia-ml.so.1",
}
PACKAGES = (
    "torch", "triton", "numpy", "ray", "av", "pydantic", "pyarrow", "opencv-python-headless",
    "mamba-ssm", "causal-conv1d", "nvidia-ml-py", "PyNvVideoCodec", "torchcodec",
)  # fmt: skip
MODULES = ("mamba_ssm", "causal_conv1d", "pynvml", "PyNvVideoCodec", "s3fs", "psutil")


def run(job: Assignment) -> None:
    """Record hardware, driver, libraries and packages; then what this GPU copies and multiplies.

    Raises:
        StepFailed: torch finds no GPU.
    """
    job.record("python", platform.python_version())
    job.record("cores", len(os.sched_getaffinity(0)))
    job.record("memory_gb", round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9))
    job.record("nvidia_smi", card_facts())
    job.record("libraries", {name: loads(library) for name, library in LIBRARIES.items()})
    job.record("packages", {name: installed(name) for name in PACKAGES})
    job.record("modules", {name: found(name) for name in MODULES})
    job.record("tools", {name: bool(shutil.which(name)) for name in ("gcc", "g++", "nvcc", "make")})
    headers = Path(sysconfig.get_path("include"), "Python.h").exists()
    job.record("python_headers", headers)
    has_gpu = _torch(job)
    job.record("cpu_kernels", _cpu_kernels())
    if not job.rehearse:
        job.record("doctor", _doctor())
        if not has_gpu:
            raise StepFailed("torch finds no GPU here: see `doctor` in the results")
    _rates(job)
    job.record("headline", _headline(job.recorded))


def card_facts() -> dict[str, str]:
    """Return nvidia-smi's facts by name; empty where there is none."""
    if not shutil.which("nvidia-smi"):
        return {}
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    rows = done.stdout.strip().splitlines()
    if done.returncode or not rows:
        return {}
    values = [value.strip() for value in rows[0].split(",")]
    return dict(zip(QUERY.split(","), values, strict=False)) | {"cards": str(len(rows))}


def loads(library: str) -> bool:
    """Return whether the library can be opened, from the loader's path or a driver's folder."""
    for place in (library, *(f"{folder}/{library}" for folder in DRIVER_FOLDERS)):
        try:
            ctypes.CDLL(place)
        except OSError:
            continue
        return True
    return False


def found(module: str) -> bool:
    """Return whether a module is there to be imported; a broken one is not."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def installed(package: str) -> str | None:
    """Return a package's version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_kernels() -> str:
    """Return `there`, or why the C++ kernels are missing, after an attempt to build them."""
    from vfeat.kernels import cpu_library

    if cpu_library.why_missing() is None:
        return "there"
    # Fails in a read-only checkout; the CPU's side of step d then takes longer.
    built = subprocess.run(python("-m", "vfeat.kernels.build"), capture_output=True, text=True)
    lines = (built.stdout + built.stderr).strip().splitlines()
    return "built" if built.returncode == 0 else f"missing: {lines[-1] if lines else 'no output'}"


def _doctor() -> list[str]:
    """Return the lines of `vfeat doctor`, which imports what the other steps need."""
    done = subprocess.run(python("-m", "vfeat", "doctor"), capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().splitlines()


def _torch(job: Assignment) -> bool:
    """Record torch's view; return whether it finds a GPU."""
    import torch

    facts: dict[str, Any] = {"version": torch.__version__, "cuda": torch.version.cuda}
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        facts["name"] = properties.name
        facts["capability"] = f"{properties.major}.{properties.minor}"
        facts["multiprocessors"] = properties.multi_processor_count
        facts["memory_gb"] = round(properties.total_memory / 1e9)
    job.record("torch", facts)
    return torch.cuda.is_available()


def _rates(job: Assignment) -> None:
    """Measure the rates that floors are computed from."""
    from vfeat.kernels.bench.cuda_floors import measure_machine

    job.record("rates", measure_machine(job.device)._asdict())


def _headline(recorded: dict[str, Any]) -> str:
    """Return a line for the table."""
    rates, packages = recorded["rates"], recorded["packages"]
    missing = [name for name, there in recorded["libraries"].items() if not there]
    return (
        f"{recorded['torch'].get('name', 'CPU')}, torch {packages['torch']}, triton "
        f"{packages['triton']}, {rates['bytes_per_s'] / 1e12:.2f} TB/s, "
        f"{rates['flops_per_s'] / 1e12:.0f} TFLOP/s"
        + (f"; not there: {', '.join(missing)}" if missing else "")
    )
