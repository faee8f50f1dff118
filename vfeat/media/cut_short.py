"""Check whether a file lacks bytes that its own structure counts on.

Only then is a header's duration a promise that the packets fail to keep. A header alone proves
nothing: durations of a billion seconds are found in files of three.
"""

from __future__ import annotations

import struct

from vfeat.media.container import Opened

_HEAD_BYTES = 4096
_SEGMENT = b"\x18\x53\x80\x67"  # Matroska's element that holds everything else
_FLV_SIZE = b"\x00\x08filesize\x00"  # a number of FLV's metadata, as a double


def lacks_bytes(opened: Opened) -> bool:
    """Return whether an index or a size in the header points beyond the end of the file."""
    size_bytes = opened.container.size
    if size_bytes <= 0:
        return False
    return max(_indexed_end(opened), _declared_end(opened)) > size_bytes


def _indexed_end(opened: Opened) -> int:
    """Return the byte at which the last packet of the index ends; 0 without an index."""
    entries = opened.stream.index_entries
    last = entries[-1] if len(entries) else None
    return last.pos + last.size if last is not None else 0


def _declared_end(opened: Opened) -> int:
    """Return the byte at which the file should end by its own header; 0 if it gives none."""
    name = opened.container.format.name
    if "matroska" not in name and name != "flv":
        return 0
    head = opened.source.glance(_HEAD_BYTES)
    return _flv_end(head) if name == "flv" else _segment_end(head)


def _segment_end(head: bytes) -> int:
    place = head.find(_SEGMENT) + len(_SEGMENT)
    if place < len(_SEGMENT) or place >= len(head) or head[place] == 0:
        return 0
    length = 9 - head[place].bit_length()  # leading zero bits count the bytes that follow
    value = int.from_bytes(head[place : place + length]) & ((1 << 7 * length) - 1)
    is_unknown = value == (1 << 7 * length) - 1  # a live stream
    return 0 if is_unknown else place + length + value


def _flv_end(head: bytes) -> int:
    place = head.find(_FLV_SIZE) + len(_FLV_SIZE)
    if place < len(_FLV_SIZE) or place + 8 > len(head):
        return 0
    (value,) = struct.unpack_from(">d", head, place)
    return int(value) if 0 < value < 1 << 62 else 0
