"""Video ids in bulk: 16 raw bytes each in numpy, 32 hex digits in tables."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ids = npt.NDArray[np.bytes_]  # dtype S16
ID = np.dtype("S16")
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
# the two digits of each byte, and back
_PAIRS = np.stack([np.repeat(_DIGITS, 16), np.tile(_DIGITS, 16)], 1).reshape(-1).view(np.uint16)
_BYTES = np.zeros(1 << 16, np.uint8)
_BYTES[_PAIRS] = np.arange(256)


def hex_ids(ids: Ids) -> pa.Array:
    """Return ids as an array of 32 hex digits each."""
    raw = np.frombuffer(np.ascontiguousarray(ids, ID).tobytes(), np.uint8)
    digits = _PAIRS[raw]
    offsets = np.arange(len(ids) + 1, dtype=np.int32) * 32
    return pa.StringArray.from_buffers(len(ids), pa.py_buffer(offsets), pa.py_buffer(digits))


def raw_ids(column: pa.Array | pa.ChunkedArray) -> Ids:
    """Return a column of hex digits as raw ids.

    Raises:
        ValueError: a value has another length.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [_raw(chunk.cast(pa.string())) for chunk in chunks if len(chunk)]
    return np.concatenate(parts) if parts else np.empty(0, ID)


def _raw(texts: pa.StringArray) -> Ids:
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32, len(texts) + 1, 4 * texts.offset)
    if (np.diff(bounds) != 32).any():
        raise ValueError("a video_id has 32 hex digits")
    pairs = np.frombuffer(data, np.uint16, 16 * len(texts), int(bounds[0]))
    return _BYTES[pairs].view(ID)
