"""A dataset of hostile names, and commands run on terminals, pipes and in encodings."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import struct
import subprocess
import termios
from pathlib import Path

from tests.engine.commands import REPOSITORY, TINY_FLAGS, VFEAT, environment

CLIPS = REPOSITORY / "tests" / "clips"
# A name and its printed form.
HEALTHY = {
    b"[eng] film.mp4": "[eng] film.mp4",
    b"[bold red]x.mp4": "[bold red]x.mp4",
    b":warning: x.mp4": ":warning: x.mp4",
    b"red\x1b[31m.mp4": r"red\x1b[31m.mp4",
    b"two\nlines\r.mp4": r"two\nlines\r.mp4",
    b"back\\slash\\n.mp4": r"back\slash\n.mp4",
    "turned\u202e4pm.mp4".encode(): r"turned\u202e4pm.mp4",
    "映像 é.mp4".encode(): "映像 é.mp4",
    b"caf\xe9.mp4": "caf%E9.mp4",
}
BROKEN = {b"[old]\x1b[2J\n broken.mp4": r"[old]\x1b[2J\n broken.mp4"}
FLAGS = [*TINY_FLAGS, "--executor", "inline"]


def make_dataset(folder: Path) -> Path:
    """Extract tiny clips with such names into a folder whose own name is markup, too."""
    videos = os.fsencode(folder / "videos")
    os.makedirs(videos)
    for names, clip in ((HEALTHY, "one_frame.mp4"), (BROKEN, "random_bytes.mp4")):
        for name in names:
            shutil.copy(CLIPS / clip, os.path.join(videos, name))
    out = folder / "[old]" / "[" / "bold]"  # a tag and the end of a tag
    made = run("extract", folder / "videos", "--out", out, *FLAGS)
    assert made.returncode == 3, made.stderr.decode()
    return out


def run(*arguments: str | Path, **extra: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command with pipes for its output, as bytes."""
    return subprocess.run(
        [*VFEAT, *map(str, arguments)],
        env=environment(**{"COLUMNS": "200", **extra}),
        capture_output=True,
        timeout=180,
        check=False,
    )


def run_on_terminal(*arguments: str | Path, columns: int = 200, **extra: str) -> tuple[int, bytes]:
    """Run a command on a terminal of its own; its exit code and everything that it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    variables = {"TERM": "xterm-256color", **extra}
    hidden = {"NO_COLOR", "FORCE_COLOR", "COLUMNS"} - extra.keys()
    process = subprocess.Popen(
        [*VFEAT, *map(str, arguments)],
        env={k: v for k, v in environment(**variables).items() if k not in hidden},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    try:
        while block := os.read(ours, 65536):
            written += block
    except OSError:  # Linux reports the end of a terminal so
        pass
    os.close(ours)
    return process.wait(timeout=60), written


def run_without_reader(stream: str, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Run a command whose `stdout` or `stderr` is a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writer}
    try:
        return subprocess.run(
            [*VFEAT, *map(str, arguments)],
            env=environment(COLUMNS="200"),
            timeout=180,
            check=False,
            **streams,  # type: ignore[call-overload]
        )
    finally:
        os.close(writer)
