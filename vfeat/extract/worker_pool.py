"""The pool of decoder children of an extract worker."""

from __future__ import annotations

from vfeat.extract.gpu_decoding import MOST_CHILDREN, decoding_device
from vfeat.extract.spec import WorkerSettings, decoder_children
from vfeat.job.fingerprint import Recipe
from vfeat.media.children.pool import DecodePool


def make_pool(recipe: Recipe, settings: WorkerSettings, cores: int, *, gpu: bool) -> DecodePool:
    """Start the decoder children of a worker.

    Args:
        cores: of this machine, for all processes of the worker.
        gpu: the model runs on one.

    Raises:
        EnvironmentMissing: the recipe's decoder needs a GPU that does not decode here.
    """
    device = decoding_device(recipe.frame.decoder, gpu=gpu)
    children = decoder_children(settings.decode_workers, cores, gpu=gpu)
    if device is not None and settings.decode_workers is None:
        children = min(children, MOST_CHILDREN)
    return DecodePool(recipe.clip, recipe.frame, settings.limits, children, device=device)
