"""Detection of a joined recording, of which FFmpeg reads the first file only."""

from __future__ import annotations

import re

from vfeat.media.container import Opened

_LOOK_BYTES = 16 << 20
# First bytes of a file of these formats; long enough not to occur by chance.
_BEGINS = {
    "mov": re.compile(rb"\x00\x00\x00[\x08-\xff]ftyp", re.DOTALL),
    "flv": re.compile(rb"FLV\x01[\x01\x04\x05]\x00\x00\x00\x09"),
    "asf": re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"),
}


def another_file(opened: Opened, from_byte: int) -> int | None:
    """Return the byte at which another file of the same format begins, or None.

    Args:
        opened: the first file.
        from_byte: a byte behind the beginning of its last packet.
    """
    begins = _BEGINS.get(opened.container.format.name.partition(",")[0])
    if begins is None or from_byte >= opened.container.size:
        return None
    found = begins.search(opened.source.glance(_LOOK_BYTES, from_byte))
    return from_byte + found.start() if found else None
