"""The second socket between a child and its parent: requests for bytes, answers, descriptors.

A request is a number for what is asked and two positions. An answer is a state and a length; bytes
or a descriptor follow. The child names no file: its parent holds the name of what its task reads.
"""

from __future__ import annotations

import struct
from enum import IntEnum

REQUEST = struct.Struct("<BQQ")
ANSWER = struct.Struct("<BQ")
# of one range; a reader asks for more in pieces
MOST_BYTES = 16 << 20


class Asked(IntEnum):
    """What a child may ask for.

    OPEN: a descriptor of a local file, or the size of a remote object.
    RANGE: bytes of a remote object.
    COPY: a descriptor of a local copy of a remote object.
    CHECK: comparison of the object with its listing, once everything is read.
    """

    OPEN = 1
    RANGE = 2
    COPY = 3
    CHECK = 4


class Answered(IntEnum):
    """State of an answer: a length or bytes, a descriptor, or a failure whose text stays behind."""

    BYTES = 1
    DESCRIPTOR = 2
    FAILED = 3
    CHANGED = 4
