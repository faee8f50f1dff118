"""Allocator setting: freed memory stays with the process, so that no step pays its first touch.

glibc returns a large block to the system when it is freed, and each page of the next one costs a
fault and is cleared: 80,000 pages in a training step of `videomamba_motion` (decision 0011). Other
allocators keep freed blocks too, if they are preloaded; this needs nothing installed. Source:
mallopt(3).
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST = 2**31 - 1  # an int
_PAD = 64 << 20


def keep_freed_memory() -> bool:
    """Keep freed memory for the rest of this process's life.

    The process then holds as much as it ever needed at once: for processes that repeat one step in
    batches of one size.

    Returns:
        False if the C library has no such setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl, macOS
        return False
    settings = ((_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, _LARGEST), (_TOP_PAD, _PAD))
    accepted = [mallopt(name, value) == 1 for name, value in settings]
    return all(accepted)
