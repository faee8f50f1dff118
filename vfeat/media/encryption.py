"""Encrypted video in MP4: FFmpeg opens it like any other and decodes noise."""

from __future__ import annotations

from typing import BinaryIO

_LARGEST_INDEX_BYTES = 256 << 20
# Sample entries that stand in place of the codec's own: Common Encryption, and Apple's.
_ENTRIES = (b"encv", b"drmi")
# What follows the size and the name of a sample entry: six zeros, and the data reference.
_RESERVED = bytes(6)


def is_encrypted(file: BinaryIO) -> bool:
    """Return whether the index of an MP4 or MOV file, from here on, describes encrypted video."""
    index = _index(file)
    for entry in _ENTRIES:
        place = index.find(entry)
        while place >= 0:
            if index[place + 4 : place + 10] == _RESERVED:
                return True
            place = index.find(entry, place + 1)
    return False


def _index(file: BinaryIO) -> bytes:
    """Return the content of the box `moov`; nothing when the file holds none."""
    while len(head := file.read(16)) >= 8:
        size, header = int.from_bytes(head[:4]), 8
        if size == 1:  # a 64-bit size follows the name
            size, header = int.from_bytes(head[8:16]), 16
        if head[4:8] == b"moov":
            file.seek(header - len(head), 1)
            return file.read(min(size - header, _LARGEST_INDEX_BYTES) if size else -1)
        if size < header:
            break
        file.seek(size - len(head), 1)
    return b""
