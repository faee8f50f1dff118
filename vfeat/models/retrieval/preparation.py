"""Clips and frames of a dual encoder whose weights record none; without torch."""

from __future__ import annotations

from vfeat.job.recipe import ClipSpec, FrameSpec

# The official evaluation of words and video spreads 8 frames over videos of some ten seconds, and
# resizes whole pictures.
RETRIEVAL_CLIP = ClipSpec(8, 8.0, 8.0)
RETRIEVAL_FRAME = FrameSpec(resize="bicubic", fit="squash")
