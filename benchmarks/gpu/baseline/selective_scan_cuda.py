"""The official scan's module, whose functions come from a library without Python's own symbols."""

from __future__ import annotations

from pathlib import Path

import torch

torch.ops.load_library(str(Path(__file__).with_name("official_mamba.so")))
fwd = torch.ops.official_mamba.scan_forward
bwd = torch.ops.official_mamba.scan_backward
