"""VideoMamba: presets, weights and the network itself.

`registry` and `weights` need no torch, and importing this package loads none: the
driver of a job knows names, costs and digests without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfeat.models.checkpoint import save_model
    from vfeat.models.factory import create_model
    from vfeat.models.videomamba import VideoMamba

_HOME = {
    "VideoMamba": "vfeat.models.videomamba",
    "create_model": "vfeat.models.factory",
    "save_model": "vfeat.models.checkpoint",
}
__all__ = ["VideoMamba", "create_model", "save_model"]


def __getattr__(name: str) -> object:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'vfeat.models' has no attribute {name!r}")
