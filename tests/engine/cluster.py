"""A Ray cluster of several nodes on this machine, in a process of its own.

    python -m tests.engine.cluster FOLDER '{"num_cpus": 1}' '{"num_cpus": 2}' ...

Each argument after the folder is a node, the first one the head. It prints the address and lives
until its standard input ends.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.engine.commands import environment, wait_until


@dataclass(frozen=True)
class Nodes:
    """A running cluster."""

    address: str
    process: subprocess.Popen[str]

    def actors(self, name: str) -> list[psutil.Process]:
        """Its processes of an actor class, for example `_Feeder`."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if f"ray::{name}" in " ".join(child.cmdline()):
                    found.append(child)
        return found


@contextlib.contextmanager
def cluster(folder: Path, *nodes: dict[str, Any]) -> Iterator[Nodes]:
    """Start a cluster; it ends with the context.

    Args:
        folder: of Ray's sockets and logs; its path must be short.
        nodes: arguments of `ray.cluster_utils.Cluster.add_node`.
    """
    words = [sys.executable, "-m", "tests.engine.cluster", str(folder), *map(json.dumps, nodes)]
    process = subprocess.Popen(
        words, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, "the cluster did not start"
        yield Nodes(address, process)
    finally:
        descendants = psutil.Process(process.pid).children(recursive=True)
        process.communicate(timeout=60)  # the end of its input ends it
        wait_until(lambda: not any(p.is_running() for p in descendants), 30, "the cluster's end")


def _main() -> None:
    import ray._private.utils
    from ray.cluster_utils import Cluster

    # Otherwise every `ray.init()` of this machine would find this cluster.
    ray._private.utils.write_ray_address = lambda *_: None
    head, *others = map(json.loads, sys.argv[2:])
    started = Cluster(
        initialize_head=True,
        head_node_args={"include_dashboard": False, "temp_dir": sys.argv[1], **head},
    )
    for node in others:
        started.add_node(**node)
    print(started.address, flush=True)
    sys.stdin.read()
    started.shutdown()


if __name__ == "__main__":
    _main()
