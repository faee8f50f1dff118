"""VideoMamba and ViS4mer: presets, weights and the networks themselves.

`videomamba_config`, `vis4mer_config` and `weights` do not import torch, and neither does importing
this package: the driver of a job gets names, costs and digests without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfeat.models.checkpoint import save_model
    from vfeat.models.factory import create_model
    from vfeat.models.retrieval.factory import create_retrieval
    from vfeat.models.videomamba import VideoMamba
    from vfeat.models.vis4mer import ViS4mer

_HOME = {
    "ViS4mer": "vfeat.models.vis4mer",
    "VideoMamba": "vfeat.models.videomamba",
    "create_model": "vfeat.models.factory",
    "create_retrieval": "vfeat.models.retrieval.factory",
    "save_model": "vfeat.models.checkpoint",
}
__all__ = ["ViS4mer", "VideoMamba", "create_model", "create_retrieval", "save_model"]


def __getattr__(name: str) -> object:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'vfeat.models' has no attribute {name!r}")
