"""Builds mamba-ssm's scan and causal-conv1d, the baseline, on a machine that has no GPU.

    python -m benchmarks.gpu.prebuild DEST [--headers FOLDER] [--arch 90] [--work FOLDER]

Writes DEST/mamba_ssm, DEST/causal_conv1d, DEST/einops and DEST/official_mamba.so, for PYTHONPATH on
the GPU machine. Needs nvcc 13, g++ and an interpreter with torch, wheel, ninja and packaging (the
sources' set-up imports them). Built are the operations that VideoMamba's composition calls: scan
and convolution, forward and backward, bfloat16 and float32, real; everything else raises. Nothing
is linked against torch: its libraries are named only, and found where torch has loaded them. So the
library needs the torch version whose headers it was built with (those of TORCH, from its wheel).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.gpu.symbols import check_symbols

HERE = Path(__file__).parent / "baseline"
MAMBA, CONV = "mamba_ssm-2.3.2.post1", "causal_conv1d-1.7.0"
SOURCES = ("mamba-ssm==2.3.2.post1", "causal-conv1d==1.7.0")
EINOPS = "einops==0.8.2"
TORCH, CUDNN = "torch==2.11.0", "nvidia-cudnn-cu13"
WHEELS = (
    "--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp",
    "--platform", "manylinux_2_28_x86_64",
)  # fmt: skip
# Libraries that torch has loaded by the time ours is; their names in the loader's table.
LOADED = ("libtorch_cpu.so", "libtorch_cuda.so", "libc10.so", "libc10_cuda.so", "libcudart.so.13")
PACKAGES = {
    MAMBA: ("mamba_ssm/ops", "mamba_ssm/utils"),
    CONV: ("causal_conv1d",),
}
DTYPES = {"bf16": "at::BFloat16", "fp32": "float"}
CXX = ("-std=c++17", "-O3", "-fPIC", "-w", "-D_GLIBCXX_USE_CXX11_ABI=1")
# As in the packages' own set-up.
NVCC = (
    "-std=c++17", "-O3", "-w", "--use_fast_math", "--expt-relaxed-constexpr",
    "--expt-extended-lambda", "-U__CUDA_NO_HALF_OPERATORS__", "-U__CUDA_NO_HALF_CONVERSIONS__",
    "-U__CUDA_NO_BFLOAT16_OPERATORS__", "-U__CUDA_NO_BFLOAT16_CONVERSIONS__",
    "-U__CUDA_NO_BFLOAT162_OPERATORS__", "-U__CUDA_NO_BFLOAT162_CONVERSIONS__",
    "-Xcompiler", "-fPIC", "-D_GLIBCXX_USE_CXX11_ABI=1",
)  # fmt: skip


def main(argv: list[str]) -> int:
    """Fetch, compile, link, check; return 1 with a sentence if something is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.prebuild", description=__doc__)
    parser.add_argument("dest", type=Path)
    parser.add_argument("--headers", type=Path, help="torch's include folder; default: its wheel's")
    parser.add_argument("--arch", default="90", help="compute capability without the point (90)")
    parser.add_argument("--work", type=Path, help="keep downloads and objects here, and use them")
    options = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="vfeat-prebuild-") as temporary:
            work = options.work or Path(temporary)
            work.mkdir(parents=True, exist_ok=True)
            build(options.dest.resolve(), work.resolve(), options.headers, options.arch)
    except (subprocess.CalledProcessError, OSError, ValueError) as error:
        print(f"prebuild: {error}", file=sys.stderr)
        return 1
    return 0


def build(dest: Path, work: Path, headers: Path | None, arch: str) -> None:
    """Write the baseline to `dest`.

    Raises:
        ValueError: a compiler is missing, or torch's wheel is not one for CUDA 13.
        CalledProcessError: pip or a compiler failed.
    """
    nvcc, cxx = shutil.which("nvcc"), shutil.which("g++")
    if not nvcc or not cxx:
        raise ValueError("nvcc and g++ are needed on the PATH (CUDA 13.0 and GCC 11 or later)")
    dest.mkdir(parents=True, exist_ok=True)
    fetch_sources(work)
    symbols = work / "torch" / "lib"
    headers = headers or fetch_headers(work)
    includes = _includes(work, headers, _toolkit(nvcc, work))
    objects = compile_all(work, nvcc, cxx, includes, arch)
    library = link(dest, work, cxx, objects)
    copy_packages(dest, work)
    if symbols.is_dir():
        check_symbols(library, symbols)
    size = sum(path.stat().st_size for path in dest.rglob("*") if path.is_file())
    print(f"{dest}: {size / 1e6:.1f} MB, of it {library.name} {library.stat().st_size / 1e6:.1f}")


def _pip(folder: Path, *arguments: str) -> None:
    """Download packages into a folder."""
    skip = {"MAMBA_SKIP_CUDA_BUILD": "TRUE", "CAUSAL_CONV1D_SKIP_CUDA_BUILD": "TRUE"}
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    subprocess.run([*command, *arguments], check=True, env={**os.environ, **skip})


def fetch_sources(work: Path) -> None:
    """Download and unpack the pinned sources, and einops, which they import."""
    if (work / "einops").exists():
        return
    _pip(work, "--no-binary=:all:", "--no-build-isolation", *SOURCES)
    _pip(work, "--only-binary=:all:", EINOPS)
    for archive in work.glob("*.tar.gz"):
        with tarfile.open(archive) as file:
            file.extractall(work, filter="data")
    for wheel in work.glob("einops-*.whl"):
        with zipfile.ZipFile(wheel) as file:
            file.extractall(work / "einops")


def fetch_headers(work: Path) -> Path:
    """Download torch's wheel (530 MB), keep its headers and its libraries' symbols.

    Raises:
        ValueError: the wheel is for another CUDA than 13.
    """
    if (work / "torch").exists():
        return work / "torch" / "include"
    _pip(work, *WHEELS, TORCH)
    (wheel,) = work.glob("torch-*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        (about,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        if CUDNN not in file.read(about).decode():
            raise ValueError(f"{wheel.name} does not ask for {CUDNN}: it is not for CUDA 13")
        libraries = {f"torch/lib/{name}" for name in LOADED}
        wanted = [n for n in names if n.startswith("torch/include/") or n in libraries]
        file.extractall(work, wanted)
    wheel.unlink()
    return work / "torch" / "include"


def _toolkit(nvcc: str, work: Path) -> Path:
    """Return CUDA's folder, as nvcc itself names it: the program on the PATH may be a script."""
    empty = work / "empty.cu"
    empty.write_text("")
    shown = subprocess.run(
        [nvcc, "--dryrun", "-c", str(empty)], check=True, capture_output=True, text=True
    ).stderr
    (top,) = [line for line in shown.splitlines() if line.startswith("#$ TOP=")]
    return Path(top.removeprefix("#$ TOP=")).resolve()


def _includes(work: Path, headers: Path, cuda: Path) -> list[str]:
    """Return the folders of headers: ours stand in for those that would include Python's."""
    stand_ins = work / "stand-ins" / "torch"
    stand_ins.mkdir(parents=True, exist_ok=True)
    for name in ("extension.h", "python.h"):
        (stand_ins / name).write_text('#include "module.h"\n')
    folders = [
        stand_ins.parent, HERE, work / MAMBA / "csrc" / "selective_scan", work / CONV / "csrc",
        headers, headers / "torch" / "csrc" / "api" / "include", cuda / "include",
    ]  # fmt: skip
    return [f"-I{folder}" for folder in folders]


def cuda_sources(work: Path) -> Iterator[Path]:
    """Write a source for each kernel: the official one, with the instantiations that are called.

    Those that take longest come first.
    """
    for way, parameters in (("bwd", "SSMParamsBwd"), ("fwd", "SSMParamsBase")):
        for name, dtype in DTYPES.items():
            path = work / f"scan_{way}_{name}.cu"
            path.write_text(
                f'#include "selective_scan_{way}_kernel.cuh"\n'
                f"template void selective_scan_{way}_cuda<{dtype}, float>"
                f"({parameters} &, cudaStream_t);\n"
            )
            yield path
    for way, parameters in (("bwd", "ConvParamsBwd"), ("fwd", "ConvParamsBase")):
        text = (work / CONV / "csrc" / f"causal_conv1d_{way}.cu").read_text()
        lines = [line for line in text.splitlines() if not line.startswith("template void ")]
        lines += [
            f"template void causal_conv1d_{way}_cuda<{dtype}, {dtype}>"
            f"({parameters} &, cudaStream_t);"
            for dtype in DTYPES.values()
        ]
        path = work / f"conv_{way}.cu"
        path.write_text("\n".join(lines) + "\n")
        yield path


def compile_all(work: Path, nvcc: str, cxx: str, includes: list[str], arch: str) -> list[Path]:
    """Compile everything, as many files at a time as there are cores."""
    target = ["-gencode", f"arch=compute_{arch},code=sm_{arch}"]

    def compiled(source: Path) -> Path:
        began, built = time.monotonic(), work / f"{source.stem}-{arch}.o"
        if built.exists():
            return built
        tool = [nvcc, *NVCC, *target] if source.suffix == ".cu" else [cxx, *CXX]
        draft = built.with_suffix(".draft.o")
        subprocess.run([*tool, *includes, "-c", str(source), "-o", str(draft)], check=True)
        draft.rename(built)
        print(f"{source.name}: {time.monotonic() - began:.0f} s", flush=True)
        return built

    # The bindings first: a header that is missing shows at once.
    sources = [*sorted(HERE.glob("*.cpp")), *cuda_sources(work)]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        return list(threads.map(compiled, sources))


def link(dest: Path, work: Path, cxx: str, objects: list[Path]) -> Path:
    """Link against empty libraries of the right names."""
    empty = work / "empty.c"
    empty.write_text("")
    named = []
    for name in LOADED:
        named.append(work / f"named-{name}")
        subprocess.run(
            [cxx, "-shared", "-x", "c", str(empty), f"-Wl,-soname,{name}", "-o", str(named[-1])],
            check=True,
        )
    library = dest / "official_mamba.so"
    subprocess.run(
        [cxx, "-shared", "-o", str(library), *map(str, objects), "-Wl,--no-as-needed",
         *map(str, named), "-s"],
        check=True,
    )  # fmt: skip
    return library


def copy_packages(dest: Path, work: Path) -> None:
    """Copy the Python files that the baseline imports; the packages' own start imports far more."""
    for source, folders in PACKAGES.items():
        for folder in folders:
            shutil.copytree(work / source / folder, dest / folder, dirs_exist_ok=True)
    (dest / "mamba_ssm" / "__init__.py").write_text('__version__ = "2.3.2.post1"\n')
    shutil.copytree(work / "einops" / "einops", dest / "einops", dirs_exist_ok=True)
    for module in HERE.glob("*.py"):
        shutil.copy(module, dest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
