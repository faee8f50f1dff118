"""Random numbers that depend on their name only: the same however a run was cut or resumed."""

from __future__ import annotations

import hashlib


def draw(*name: object) -> int:
    """63 random bits for a name such as (seed, "order", epoch, video_id)."""
    text = "\x1f".join(map(str, name))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
