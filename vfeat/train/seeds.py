"""Random numbers that depend on their name only: the same however a run was cut or resumed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def draw(*name: object) -> int:
    """Return 63 random bits for a name such as (seed, "order", epoch, video_id)."""
    text = "\x1f".join(map(str, name))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's random numbers inside the block; outside they continue unchanged."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
