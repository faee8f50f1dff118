"""Compile csrc/ into `_vfeat_cpu.so` beside this file: `python -m vfeat.kernels.build`.

pip does the same when it installs vfeat and finds a compiler. Standard library only, because the
build environment has nothing else.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "csrc"
LIBRARY = HERE / "_vfeat_cpu.so"
COMPILERS = ("c++", "g++", "clang++")
FLAGS = (
    "-std=c++17", "-O3", "-fPIC", "-fno-exceptions", "-fno-rtti", "-fvisibility=hidden",
    "-pthread", "-Wall",
)  # fmt: skip
# Name, floats of a vector, the compiler's name of a vector register, flags. Every other
# machine has the baseline alone, of four floats; on ARM that is NEON.
X86_SETS = (
    ("avx512", 16, "v", ("-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma")),
    ("avx2", 8, "x", ("-mavx2", "-mfma")),
    ("baseline", 4, "x", ()),
)
REGISTER = {"x86_64": "x", "aarch64": "w", "arm64": "w"}


class CannotBuild(Exception):
    """No compiler, or one that failed; the message contains its name and its output."""


def build(library: Path = LIBRARY) -> Path:
    """Compile, and move the library into place in one step.

    Raises:
        CannotBuild: there is no C++ compiler here, or it failed.
    """
    compiler = _compiler()
    with tempfile.TemporaryDirectory(prefix="vfeat-build-") as folder:
        objects = list(_objects(Path(folder)))
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(lambda step: _run([*compiler, *FLAGS, *step[1]]), objects))
        built = Path(folder) / LIBRARY.name
        _run([*compiler, "-shared", "-o", str(built), *(str(o) for o, _ in objects), *_linking()])
        fresh = library.with_suffix(f".{os.getpid()}")
        shutil.copy(built, fresh)
        fresh.replace(library)  # a running process keeps the old file
    return library


def digest() -> str:
    """Hash all sources; the library carries the digest, so that a stale one is detected."""
    state = hashlib.sha256()
    for path in sorted(SOURCES.iterdir()):
        state.update(path.name.encode() + b"\0" + path.read_bytes())
    return state.hexdigest()[:16]


def _compiler() -> list[str]:
    """Return CXX if it is set, otherwise the first of the usual compilers."""
    named = os.environ.get("CXX")
    for name in [named] if named else COMPILERS:
        words = shlex.split(name)
        if words and shutil.which(words[0]):
            return words
    raise CannotBuild(f"no C++ compiler: {f'CXX={named} is not there' if named else COMPILERS}")


def _objects(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield object files, each with the rest of the command that compiles it."""
    machine = platform.machine()
    sets = X86_SETS if machine == "x86_64" else (("baseline", 4, REGISTER.get(machine, "m"), ()),)
    for name, width, register, flags in sets:
        target = folder / f"isa_{name}.o"
        defines = [f"-DISA={name}", f"-DW={width}", f'-DOPAQUE_REGISTER="{register}"']
        source = str(SOURCES / "isa.cpp")
        yield target, [*flags, *defines, "-c", source, "-o", str(target)]
    for path in sorted(SOURCES.glob("*.cpp")):
        if path.name != "isa.cpp":
            target = folder / f"{path.stem}.o"
            yield target, [f'-DVFEAT_SOURCE="{digest()}"', "-c", str(path), "-o", str(target)]


def _linking() -> list[str]:
    """Link the C++ runtime statically: no clash with torch's, and no package needed."""
    if sys.platform == "darwin":
        return ["-pthread"]
    return ["-pthread", "-static-libstdc++", "-static-libgcc", "-Wl,--exclude-libs,ALL"]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBuild(f"{shlex.join(command)}\n{done.stderr.strip()}")


if __name__ == "__main__":
    try:
        print(build())
    except CannotBuild as error:
        sys.exit(f"{error}")
