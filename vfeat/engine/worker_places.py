"""Which nodes of a cluster workers belong on, and what each of them gets there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import cycle, islice

from vfeat.engine.machines import Node


@dataclass(frozen=True)
class Wanted:
    """What the job asks of the cluster.

    Attributes:
        workers: how many; None means one per GPU, or one per CPU node when there is none.
        gpus_per_worker: may be a fraction.
        device: `cpu` leaves the GPUs alone.
    """

    workers: int | None = None
    gpus_per_worker: float = 1.0
    device: str = "auto"

    def uses_gpu(self, nodes: Mapping[str, Node]) -> bool:
        """Return whether workers get GPUs."""
        return self.device != "cpu" and any(node.gpus for node in nodes.values())

    def places(self, nodes: Mapping[str, Node], held: Collection[str]) -> list[str]:
        """Return the node of each worker that the cluster can hold at present.

        Args:
            nodes: of the cluster, by name.
            held: nodes with workers, which stay where they are: nodes come in any order.
        """
        nodes = dict(sorted(nodes.items(), key=lambda item: item[0] not in held))
        if self.uses_gpu(nodes):
            share = self.gpus_per_worker
            places = [name for name, has in nodes.items() for _ in range(int(has.gpus / share))]
        else:
            places = [name for name, has in nodes.items() if has.cpus >= 1]
        if self.workers is None:
            return places
        return list(islice(cycle(places or nodes), self.workers))


def cores_each(node: Node, workers: int) -> int:
    """Return the cores of each of a node's workers."""
    return max(1, int(node.cpus or 1) // workers)


def no_place(nodes: Mapping[str, Node]) -> str:
    """Return a sentence on a cluster that has no place for any worker."""
    if not nodes:
        return "the cluster has no living node; work begins when one joins"
    has = "; ".join(f"{n.address}: {n.cpus:g} cores, {n.gpus:g} GPUs" for n in nodes.values())
    return f"no node of the cluster can hold a worker ({has}); work begins when one joins"
