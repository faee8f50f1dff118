"""VideoMamba and ViS4mer: presets, weights and the networks themselves.

`registry`, `heads` and `weights` need no torch, and importing this package loads none: the
driver of a job knows names, costs and digests without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfeat.models.checkpoint import save_model
    from vfeat.models.factory import create_model
    from vfeat.models.videomamba import VideoMamba
    from vfeat.models.vis4mer import ViS4mer

_HOME = {
    "ViS4mer": "vfeat.models.vis4mer",
    "VideoMamba": "vfeat.models.videomamba",
    "create_model": "vfeat.models.factory",
    "save_model": "vfeat.models.checkpoint",
}
__all__ = ["ViS4mer", "VideoMamba", "create_model", "save_model"]


def __getattr__(name: str) -> object:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'vfeat.models' has no attribute {name!r}")
