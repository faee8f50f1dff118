"""The start of a child's process, and the words that it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import IO

_STDERR_TAIL_BYTES = 8192
_MESSAGE_CHARS = 400
# All that a child has of the environment, where it is set: what finds libraries.
_KEPT = (
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT", "TZ",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER",  # its GPU is that of its parent
)  # fmt: skip


def start_child(
    output: IO[bytes],
    *handles: int,
    module: str = "vfeat.media.children.child_main",
    further: tuple[str, ...] = (),
) -> subprocess.Popen[bytes]:
    """Start a child.

    Args:
        output: file for its standard output and error.
        handles: descriptors that it receives, in the order of its arguments.
        module: what it runs.
        further: arguments after the id of this process.
    """
    command = [sys.executable, "-m", module]
    return subprocess.Popen(
        [*command, *map(str, handles), str(os.getpid()), *further],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=handles,
        env=environment(),
    )


def environment() -> dict[str, str]:
    """Return the child's environment: no credential, no home, nothing but how to find modules."""
    # What this process can import the child must find too (user decoders, Ray's paths).
    paths = [os.path.abspath(path) for path in sys.path]
    found = {name: os.environ[name] for name in _KEPT if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    fixed = {"LANG": "C.UTF-8", "CUDA_CACHE_DISABLE": "1"}  # there is no home to keep one in
    return {**found, **threads, "PYTHONPATH": os.pathsep.join(paths), **fixed}


def explain_exit(code: int, output: IO[bytes]) -> str:
    """Return why a child has ended, with the end of what it wrote.

    Args:
        code: exit code; below zero the number of a signal.
        output: file for its standard error.
    """
    tail = _tail(output)
    tail = f"; it wrote: {tail}" if tail else ""
    if code < 0:
        return f"the decoder died with {_signal_name(-code)}{tail}"
    return f"the decoder left with code {code}{tail}"


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _STDERR_TAIL_BYTES))
    lines = output.read(_STDERR_TAIL_BYTES).decode(errors="replace").strip("\0").splitlines()
    # faulthandler's list of loaded modules says nothing about the video
    told = [line.strip() for line in lines if not line.startswith("Extension modules")]
    return " | ".join(line for line in told if line)[-_MESSAGE_CHARS:]


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name} (out of memory?)" if name == "SIGKILL" else name
