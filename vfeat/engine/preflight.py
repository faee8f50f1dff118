"""What a node must have before it gets work, and what it has.

Each worker looks around while it is set up, on all nodes at once. A node that differs from the
others, or cannot reach a source, is named and left out before it holds a lease.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import vfeat
from vfeat.engine.cores import usable_cores
from vfeat.errors import EnvironmentMissing, NodeDiffers, VfeatError
from vfeat.storage.listing import find_object

LOW_SPACE = 2 << 30  # bytes below which a node's temporary folder is short
MUST_AGREE = ("python", "vfeat", "torch")
_SHOWN_NODES = 20
_PACKAGES = ("torch", "pyarrow", "av")
_MEMORY_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class NodeFacts:
    """What a worker has found on its node.

    Attributes:
        versions: of Python and of packages, by name.
        kernel: back-end of the model's kernels.
        cores: by affinity and the container's limits.
        memory_bytes: of the machine, or the container's limit.
        free_bytes: of its temporary folder.
        gpus: their names.
        unreachable: why a source could not be looked at; None when it could, or none was named.
    """

    host: str
    versions: dict[str, str]
    kernel: str
    cores: int
    memory_bytes: int
    temporary: str
    free_bytes: int
    gpus: tuple[str, ...]
    unreachable: str | None = None

    def line(self) -> str:
        """Return all of it in one line."""
        kinds = {name: self.gpus.count(name) for name in self.gpus}
        gpus = "".join(f", {count} x {name}" for name, count in kinds.items())
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return (
            f"{self.host}: {self.cores} cores, {self.memory_bytes / 2**30:.0f} GiB memory, "
            f"{self.free_bytes / 2**30:.1f} GiB free in {self.temporary}{gpus}; "
            f"kernel {self.kernel}; {versions}"
        )


def versions() -> dict[str, str]:
    """Return the versions of this process that nodes are compared by; imports no package."""
    found = {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "vfeat": vfeat.__version__,  # of the code that runs, however it came here
    }
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            # What follows the plus names a build, such as that for a GPU.
            found[package] = version(package).partition("+")[0]
    return found


def check_versions(driver: Mapping[str, str]) -> None:
    """Compare the versions of this node with the driver's.

    Raises:
        NodeDiffers: naming all that differ.
    """
    mine = versions()
    different = [
        f"{name} {mine.get(name, 'missing')} instead of {driver[name]}"
        for name in MUST_AGREE
        if name in driver and mine.get(name) != driver[name]
    ]
    if different:
        raise NodeDiffers(
            f"{socket.gethostname()} has {', '.join(different)}: install what the driver has"
        )


def look_around(sample: str | None) -> NodeFacts:
    """Return what this node has; imports torch.

    Args:
        sample: address of a source to be looked at.
    """
    import torch

    from vfeat.ops import describe_backends

    unreachable = None
    if sample is not None:
        try:
            find_object(sample)
        except VfeatError as error:
            unreachable = str(error)
    folder = tempfile.gettempdir()
    return NodeFacts(
        socket.gethostname(),
        versions(),
        next((backend.name for backend in describe_backends() if backend.chosen), "none"),
        usable_cores(),
        _memory_bytes(),
        folder,
        shutil.disk_usage(folder).free,
        tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())),
        unreachable,
    )


def _memory_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in _MEMORY_LIMITS:
        with suppress(OSError, ValueError):
            return min(total, int((cgroup / name).read_text()))
    return total


class Preflight:
    """The driver's record of its nodes.

    Attributes:
        sample: address of a source that every node must reach; None: none is looked at.
    """

    def __init__(self) -> None:
        self.sample: str | None = None
        self._facts: dict[str, NodeFacts] = {}
        self._kernels: dict[bool, tuple[str, str]] = {}  # with GPUs and without: kernel, host
        self._is_shown = False

    @property
    def facts(self) -> tuple[NodeFacts, ...]:
        """What the nodes have, in the order in which they came."""
        return tuple(self._facts.values())

    def admit(self, node: str, facts: NodeFacts) -> Iterator[str]:
        """Take a node's facts; yield warnings.

        Raises:
            NodeDiffers: it has another kernel than nodes of its kind, or does not reach a source
                that this process reaches.
        """
        is_new = node not in self._facts
        self._facts[node] = facts
        kernel, host = self._kernels.setdefault(bool(facts.gpus), (facts.kernel, facts.host))
        if facts.kernel != kernel:
            raise NodeDiffers(
                f"{facts.host} uses the kernel {facts.kernel}, and {host} uses {kernel}: "
                "`vfeat doctor` gives the reason on each; VFEAT_KERNEL chooses one for all"
            )
        if facts.unreachable is not None and self._reaches_sample():
            raise NodeDiffers(
                f"{facts.host} does not reach a source that the driver reaches: "
                f"{facts.unreachable}; mount it there, or give the node its credentials"
            )
        if is_new and facts.free_bytes < LOW_SPACE:
            yield (
                f"{facts.host}: only {facts.free_bytes / 2**30:.2f} GiB are free in "
                f"{facts.temporary}; shards and videos pass through it"
            )

    def _reaches_sample(self) -> bool:
        try:
            return self.sample is not None and bool(find_object(self.sample))
        except VfeatError:
            return False

    def table(self) -> Iterator[str]:
        """Yield a line for each node, once, where there are several."""
        if self._is_shown or len(self._facts) < 2:
            return
        self._is_shown = True
        for facts in self.facts[:_SHOWN_NODES]:
            yield facts.line()
        if len(self._facts) > _SHOWN_NODES:
            yield f"and {len(self._facts) - _SHOWN_NODES} more nodes; all are in the run's summary"


def together(errors: list[Exception]) -> EnvironmentMissing:
    """Return one error of all nodes' reasons."""
    return EnvironmentMissing("no node can work:", *dict.fromkeys(map(str, errors)))
