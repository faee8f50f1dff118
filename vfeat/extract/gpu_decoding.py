"""Decoding by the GPU that the model runs on, if the recipe names it."""

from __future__ import annotations

from vfeat.errors import EnvironmentMissing
from vfeat.media.children.device_trial import try_device
from vfeat.media.devices.base import CUDA, NVDEC

# Two for each video engine of the cards that have most: one decodes while the other converts.
MOST_CHILDREN = 14
_INSTEAD = "or use --decoder pyav, which chooses the same frames"


def refuse_without_gpu(decoder: str, has_gpu: bool) -> None:
    """Refuse a recipe that no worker can carry out, before anything is written.

    Args:
        decoder: name of the recipe's decoder.
        has_gpu: the workers have GPUs.

    Raises:
        EnvironmentMissing: the decoder needs one.
    """
    if decoder == NVDEC and not has_gpu:
        raise EnvironmentMissing(
            f"decoder {NVDEC} needs an NVIDIA GPU that the model runs on, and the workers have "
            f"none: run it with --device cuda on a machine that has one, {_INSTEAD} "
            "(`vfeat doctor` shows what is found here)"
        )


def decoding_device(decoder: str, *, gpu: bool) -> str | None:
    """Return the device that a worker's children decode with; None for the CPU.

    Args:
        decoder: name of the recipe's decoder.
        gpu: the worker's model runs on one.

    Raises:
        EnvironmentMissing: the decoder needs a device that does not work.
    """
    refuse_without_gpu(decoder, gpu)
    if decoder != NVDEC:
        return None
    if (reason := obstacle()) is not None:
        raise EnvironmentMissing(f"decoder {NVDEC}: {reason}; {_INSTEAD}")
    return CUDA


def obstacle() -> str | None:
    """Return why this machine's GPU does not decode, once a child has tried; None if it does."""
    return try_device(NVDEC, CUDA)
