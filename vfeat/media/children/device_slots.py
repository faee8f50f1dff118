"""Slots in the memory of a device that decodes.

The parent allocates the memory and its child opens it, as with slots in main memory: a child that
dies takes its mapping along, and the parent's stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vfeat.media.children.clip_slots import Shape, slot_bytes
from vfeat.media.decoders.base import Pixels
from vfeat.media.devices.base import load_device


class DeviceRing:
    """Slots on a device."""

    def __init__(
        self, bytes_n: Tensor, slots: int, shape: Shape, finish: Callable[[], None]
    ) -> None:
        """Lay slots over memory.

        Args:
            bytes_n: uint8, at least as large as all slots.
            finish: waits until everything is written.
        """
        self._slots = bytes_n[: slots * slot_bytes(shape)].view(slots, *shape)
        self._finish = finish

    def write(self, index: int, pictures: Sequence[Pixels]) -> None:
        for position, picture in enumerate(pictures):
            if not isinstance(picture, Tensor):
                picture = torch.from_numpy(picture)
            self._slots[index, :, position].copy_(picture)
        self._finish()

    def view(self, index: int) -> Tensor:
        return self._slots[index]


def create_ring(name: str, slots: int, shape: Shape) -> tuple[DeviceRing, str]:
    """Allocate slots; return them with the handle, hexadecimal, by which a child opens them.

    Args:
        name: of the device, `module:class`.

    Raises:
        DeviceFailed: its memory is full.
    """
    device = load_device(name)
    memory = device.allocate(slots * slot_bytes(shape))
    return DeviceRing(memory.bytes_n, slots, shape, device.finish), memory.handle.hex()
