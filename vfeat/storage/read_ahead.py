"""A file over ranges of bytes: read ahead a little where reads jump, far where they go on."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from vfeat.surroundings import here

FIRST_BYTES = 256 << 10
MOST_BYTES = 4 << 20
# A block that took longer is not followed by a larger one: reads must return while the reader's
# own time limit runs.
_QUICK_S = 2.0
# demuxers read two or three places of a file in turn: video, audio, index
_MAX_BLOCKS = 3


@dataclass
class Block:
    """A part of the object in memory, and the size of the one that would follow it."""

    first: int
    data: bytes
    next_bytes: int

    @property
    def end(self) -> int:
        """First byte behind the block."""
        return self.first + len(self.data)

    def holds(self, position: int) -> bool:
        """Return whether a byte is in the block."""
        return self.first <= position < self.end


class ReadAhead(io.BufferedIOBase):
    """A file of known size for reading and seeking; subclasses fetch its bytes.

    No byte is fetched before it is read.
    """

    def __init__(self, size_bytes: int) -> None:
        """Stand at the beginning.

        Args:
            size_bytes: size of the whole object.
        """
        self._size = size_bytes
        self._position = 0
        self._blocks: list[Block] = []  # the last used is last

    def fetch(self, first: int, end: int) -> bytes:
        """Return bytes first..end-1, all of them."""
        raise NotImplementedError

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes from here; all that is left when negative."""
        rest = max(self._size - self._position, 0)
        left = rest if size is None or size < 0 else min(size, rest)
        parts: list[bytes] = []
        while left:
            part = self._some(left)
            parts.append(part)
            self._position += len(part)
            left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readinto(self, buffer: Any, /) -> int:
        """Fill `buffer`; return the number of bytes read."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move the position; nothing is fetched before the next read."""
        base = (0, self._position, self._size)[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset} is before the beginning")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Return the position in bytes from the start."""
        return self._position

    def size(self) -> int:
        """Return the size of the whole object in bytes."""
        return self._size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._blocks = []
        super().close()

    def _some(self, wanted: int) -> bytes:
        """Return some of the wanted bytes from the position on, at least one."""
        at = self._position
        block = next((block for block in self._blocks if block.holds(at)), None)
        if block is None:
            if wanted > MOST_BYTES:
                return self.fetch(at, at + wanted)
            block = self._next_block(at, wanted)
        if block is not self._blocks[-1]:
            self._blocks.remove(block)
            self._blocks.append(block)
        return block.data[at - block.first : at - block.first + wanted]

    def _next_block(self, at: int, wanted: int) -> Block:
        before = next(
            (block for block in self._blocks if 0 <= at - block.end <= block.next_bytes), None
        )
        step = FIRST_BYTES if before is None else before.next_bytes
        if before is not None:
            self._blocks.remove(before)
        elif len(self._blocks) == _MAX_BLOCKS:
            del self._blocks[0]
        behind = (block.first for block in self._blocks if block.first > at)
        end = min(at + max(step, wanted), self._size, *behind)
        started_s = here().now_s()
        data = self.fetch(at, end)
        quick = here().now_s() - started_s < _QUICK_S
        block = Block(at, data, min(2 * step, MOST_BYTES) if quick else step)
        self._blocks.append(block)
        return block
